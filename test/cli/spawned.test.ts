import { spawnSync } from 'node:child_process'
import { existsSync, utimesSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { bind } from '../../src/server/sockets/listen.ts'
import { accepts } from '../support/ports.ts'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { FETCH_APP, launch, project, run } from './command.ts'

const NOWHERE = "runfcgi: nowhere to listen: say socket=PATH or port=NUMBER ('runfcgi help' lists all settings)\n"

const NOISY = `console.log('noise'); ${FETCH_APP}`

describe('a listening socket on descriptor 0', () => {
  it.each(['unix', 'tcp'] as const)('of kind %s is served, without a word on standard output', async kind => {
    const { path } = project({ 'app.js': NOISY })
    const bound = await bind(
      kind === 'tcp' ? { kind, host: '127.0.0.1', port: 0 } : { kind, path: join(path, 's.sock') },
    )
    const target = bound.address as Parameters<typeof probe>[0]['target']
    const running = launch([], { cwd: path, stdin: bound.fd })
    await bound.close({ leaveFile: true })
    expect((await probe({ target, path: '/x' })).body.toString()).toBe('hello /x')
    await running.says('"ready"')
    running.kill('SIGTERM')
    const { code, stdout, stderr } = await running.outcome()
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(stderr).toContain('noise\n')
    // It belongs to whoever bound it.
    if (kind === 'unix') expect(existsSync(join(path, 's.sock'))).toBe(true)
  })

  it('answers only those whom FCGI_WEB_SERVER_ADDRS allows', async () => {
    const { path } = project()
    const bound = await bind({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    const target = bound.address as Parameters<typeof probe>[0]['target']
    const running = launch([], { cwd: path, stdin: bound.fd, env: { FCGI_WEB_SERVER_ADDRS: '10.0.0.1,10.0.0.2' } })
    await bound.close()
    await running.says('"ready"')
    await expect(probe({ target })).rejects.toThrow()
    await running.says('not in allowed-clients')
  })

  it.each(['inline', 'threaded', 'prefork'])(
    'takes no more connections when it is to end, and finishes what runs: method=%s',
    async method => {
      const app = `
        import { existsSync } from 'node:fs'
        import { setTimeout as sleep } from 'node:timers/promises'
        export default { fetch: async request => {
          if (!request.url.endsWith('/slow')) return new Response('now')
          console.error('it runs')
          while (!existsSync('go')) await sleep(5)
          return new Response('late') } }`
      const { path, file } = project({ 'app.js': app })
      const bound = await bind({ kind: 'tcp', host: '127.0.0.1', port: 0 })
      const target = bound.address as Parameters<typeof probe>[0]['target'] & { port: number }
      const running = launch([`method=${method}`, 'maxchildren=1'], { cwd: path, stdin: bound.fd })
      await bound.close()
      await running.says('"ready"')
      let over = false
      const slow = probe({ target, path: '/slow' }).finally(() => {
        over = true
      })
      await running.says('it runs')
      running.kill('SIGTERM')
      await until('connections are refused', async () => !(await accepts(target.port)))
      expect(over).toBe(false)
      file('go', '')
      expect((await slow).body.toString()).toBe('late')
      expect((await running.outcome()).code).toBe(0)
    },
  )

  it.each(['inline', 'threaded', 'prefork'])(
    'serves what was touched while it was loading: method=%s',
    async method => {
      const app = `import { existsSync, utimesSync } from 'node:fs'
        console.error('it loads')
        while (!existsSync('go')) await new Promise(resolve => setTimeout(resolve, 5))
        ${FETCH_APP}`
      const { path, file } = project({ 'app.js': app, touched: '' })
      const bound = await bind({ kind: 'unix', path: join(path, 's.sock') })
      const settings = [`method=${method}`, 'maxchildren=1', 'touch-reload=touched']
      const running = launch(settings, { cwd: path, stdin: bound.fd })
      await bound.close({ leaveFile: true })
      await running.says('it loads')
      utimesSync(join(path, 'touched'), new Date(), new Date(Date.now() + 5_000))
      file('go', '')
      await running.says('touched was touched')
      // Without children to replace the process ends, and the web server starts another one.
      if (method === 'inline') expect((await running.outcome()).code).toBe(0)
      else await running.says('generation 2 serves')
    },
  )

  it('is asked by prefork, too, whom FCGI_WEB_SERVER_ADDRS allows', async () => {
    const { path } = project()
    const bound = await bind({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    const target = bound.address as Parameters<typeof probe>[0]['target']
    const env = { FCGI_WEB_SERVER_ADDRS: '10.0.0.1' }
    const running = launch(['method=prefork', 'maxchildren=1'], { cwd: path, stdin: bound.fd, env })
    await bound.close()
    await running.says('"ready"')
    await expect(probe({ target })).rejects.toThrow()
    await running.says('not in allowed-clients')
  })

  it('never detaches, whatever daemonize says', async () => {
    const { path } = project()
    const bound = await bind({ kind: 'unix', path: join(path, 's.sock') })
    const running = launch(['daemonize=true'], { cwd: path, stdin: bound.fd })
    await bound.close({ leaveFile: true })
    await running.says('"ready"')
  })
})

describe('anything else on descriptor 0', () => {
  it('such as /dev/null, a pipe or text is no place to listen', async () => {
    const { path } = project()
    for (const stdin of ['ignore', 'pipe', 'text'] as const) {
      const running = launch([], { cwd: path, stdin })
      expect(await running.outcome()).toMatchObject({ code: 2, stdout: '', stderr: NOWHERE })
    }
  })

  it('such as a connected socket is none either', async () => {
    const { path } = project()
    const server = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await new Promise(resolve => server.once('listening', resolve))
    const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    await new Promise(resolve => socket.once('connect', resolve))
    const fd = Reflect.get(Reflect.get(socket, '_handle') as object, 'fd') as number
    expect(await run([], { cwd: path, stdin: fd })).toMatchObject({ code: 2, stderr: NOWHERE })
  })

  it.runIf(spawnSync('script', ['--version']).status === 0)('such as a terminal is none either', () => {
    const { path } = project()
    const program = new URL('../../bin/runfcgi.js', import.meta.url).pathname
    const { stdout } = spawnSync('script', ['-qec', `${process.execPath} ${program}; echo code $?`, '/dev/null'], {
      cwd: path,
      encoding: 'utf8',
    })
    expect(stdout.replaceAll('\r', '')).toBe(`${NOWHERE}code 2\n`)
  })
})

describe('the environment of a CGI request', () => {
  const request = {
    GATEWAY_INTERFACE: 'CGI/1.1',
    REQUEST_METHOD: 'GET',
    REQUEST_URI: '/cgi-bin/site/x?y',
    SCRIPT_NAME: '/cgi-bin/site',
    PATH_INFO: '/x',
    QUERY_STRING: 'y',
    SERVER_NAME: 'localhost',
    SERVER_PORT: '80',
    SERVER_PROTOCOL: 'HTTP/1.1',
  }

  it('is answered on standard output, with whatever the application prints on standard error', async () => {
    const { path } = project({ 'app.js': NOISY })
    const { code, stdout, stderr } = await run([], { cwd: path, env: request })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Status: 200 OK\r\n(.+\r\n)+\r\nhello .*\/x$/)
    expect(stderr).toBe('noise\n')
  })

  it('brings the body on standard input, of which CONTENT_LENGTH bytes count', async () => {
    const app = 'export default { fetch: async request => new Response((await request.text()).toUpperCase()) }'
    const { path } = project({ 'app.js': app })
    const env = { ...request, REQUEST_METHOD: 'POST', CONTENT_LENGTH: '5' }
    const { code, stdout } = await run([], { cwd: path, env, stdin: 'hello and more' })
    expect(code).toBe(0)
    expect(stdout).toMatch(/\r\n\r\nHELLO$/)
  })

  it('does not need standard input to end', async () => {
    const app = 'export default { fetch: async request => new Response(await request.text()) }'
    const { path } = project({ 'app.js': app })
    const running = launch([], {
      cwd: path,
      stdin: 'pipe',
      env: { ...request, REQUEST_METHOD: 'POST', CONTENT_LENGTH: '5' },
    })
    running.child.stdin?.write('hello')
    const { code, stdout } = await running.outcome()
    expect(code).toBe(0)
    expect(stdout).toMatch(/\r\n\r\nhello$/)
  })

  it('carries a large body and a large reply whole', async () => {
    const app = `import { createHash } from 'node:crypto'
      export default { fetch: async request => {
        const body = Buffer.from(await request.arrayBuffer())
        return new Response('z'.repeat(5_000_000) + createHash('sha256').update(body).digest('hex')) } }`
    const { path } = project({ 'app.js': app })
    const body = Buffer.alloc(5_000_000, 'a')
    const env = { ...request, REQUEST_METHOD: 'POST', CONTENT_LENGTH: String(body.length) }
    const { code, stdout } = await run([], { cwd: path, env, stdin: body })
    expect(code).toBe(0)
    const text = stdout.slice(stdout.indexOf('\r\n\r\n') + 4)
    const { createHash } = await import('node:crypto')
    expect(text.length).toBe(5_000_064)
    expect(text.slice(-64)).toBe(createHash('sha256').update(body).digest('hex'))
  })

  it('gets a page when the application throws or does not load, and the reason is on standard error', async () => {
    const thrower = project({ 'app.js': "export default { fetch() { throw new Error('no luck') } }" })
    const thrown = await run([], { cwd: thrower.path, env: request })
    expect(thrown.code).toBe(1)
    expect(thrown.stdout).toMatch(/^Status: 500 Internal Server Error\r\n/)
    expect(thrown.stderr).toContain('Error: no luck')
    expect(thrown.stdout).not.toContain('no luck')
    const missing = await run([], { cwd: project({}).path, env: request })
    expect(missing.code).toBe(3)
    expect(missing.stdout).toMatch(/^Status: 500 Internal Server Error\r\n/)
    expect(missing.stderr).toMatch(/^runfcgi: no application in /)
  })
})
