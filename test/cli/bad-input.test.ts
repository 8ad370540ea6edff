import { closeSync, existsSync, openSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { bind } from '../../src/server/sockets/listen.ts'
import { launch, project, run } from './command.ts'

/** What is refused says why in one line, prints nothing else, and leaves nothing behind. */
async function refusal(args: readonly string[], options: Parameters<typeof run>[1]) {
  const before = readdirSync(options.cwd)
  const { code, stdout, stderr } = await run(args, options)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/^runfcgi: .+\n$/)
  expect(readdirSync(options.cwd)).toEqual(before)
  return { code, message: stderr.slice('runfcgi: '.length, -1) }
}

describe('a mistake on the command line ends with 2', () => {
  it.each([
    [['stand', 'sokcet=/tmp/x'], "unknown setting 'sokcet'; did you mean 'socket'?"],
    [['stand', '--sokcet', '/tmp/x'], "unknown flag '--sokcet'; did you mean '--socket'?"],
    [['stand', 'port=99999'], 'port=99999 (command line): must be 0 to 65535'],
    [['stand', 'port=http'], 'port=http (command line): must be 0 to 65535'],
    [
      ['stand', 'socket=/tmp/x', 'port=1'],
      'socket=/tmp/x (command line) and port=1 (command line) exclude each other: use one, or listen= with several addresses',
    ],
    [['stand', 'host=localhost'], 'host=localhost (command line): needs a port as well, such as port=3033'],
    [['stand'], "nowhere to listen: say socket=PATH or port=NUMBER ('runfcgi help' lists all settings)"],
    [[], "nowhere to listen: say socket=PATH or port=NUMBER ('runfcgi help' lists all settings)"],
    [
      ['stand', 'port=0', 'daemonize=true'],
      "daemonize=true (command line): 'stand' never detaches: leave it out, or use 'start'",
    ],
    [['stop'], 'which server? say pidfile=PATH or control=PATH, as when it was started'],
    [['help', 'sokcet'], "no setting or command 'sokcet'; did you mean 'socket'?"],
    [['probe', '/'], 'which server? say socket=PATH or port=NUMBER'],
    [['probe', 'port=1', 'hello'], "'hello' is no part of a request: write METHOD, /path, 'Name: value', @file or -"],
    [
      ['stand', 'port=0', 'allowed-clients=10.0.0.0/99'],
      'allowed-clients=10.0.0.0/99 (command line): bad entry "10.0.0.0/99" in allowed-clients: the prefix must be a number from 0 to 32',
    ],
  ])('%j', async (args, message) => {
    expect(await refusal(args, { cwd: project().path })).toEqual({ code: 2, message })
  })

  it('such as an address that is none', async () => {
    const { code, message } = await refusal(['stand', 'listen=nowhere'], { cwd: project().path })
    expect(code).toBe(2)
    expect(message).toMatch(/^listen=nowhere \(command line\): "nowhere" is no address to listen on/)
  })

  it('or in the environment or a file, which is named', async () => {
    const site = project()
    const env = { RUNFCGI_PORT: '-1' }
    expect(await refusal(['stand'], { cwd: site.path, env })).toEqual({
      code: 2,
      message: 'port=-1 (environment RUNFCGI_PORT): must be 0 to 65535',
    })
    site.file('runfcgi.config.json', '{ "prot": 3033 }')
    expect(await refusal(['stand'], { cwd: site.path })).toEqual({
      code: 2,
      message: "unknown setting 'prot' (runfcgi.config.json); did you mean 'port'?",
    })
  })
})

describe('a mistyped command', () => {
  it('is named where it would otherwise be an application without an address', async () => {
    const { path } = project()
    expect(await refusal(['statsu', 'pidfile=site.pid'], { cwd: path })).toEqual({
      code: 2,
      message: "nowhere to listen: say socket=PATH or port=NUMBER (or did you mean the command 'status'?)",
    })
  })
})

describe('a setting without its =', () => {
  it('is named where it would otherwise be an application', async () => {
    const { path } = project()
    expect(await refusal(['stand', 'socket'], { cwd: path })).toEqual({
      code: 2,
      message: 'nowhere to listen: say socket=PATH or port=NUMBER (or did you mean socket=PATH?)',
    })
    expect(await refusal(['stand', 'port=0', 'socket'], { cwd: path })).toMatchObject({
      code: 3,
      message: expect.stringMatching(/^no application "socket": .*; did you mean socket=PATH\?$/),
    })
    expect(await refusal(['socket', './site.sock'], { cwd: path })).toEqual({
      code: 2,
      message: "'start' takes one application, not 2: socket ./site.sock; did you mean socket=./site.sock?",
    })
  })
})

describe.each(['prefork', 'threaded', 'inline'])('with method=%s an application', method => {
  const refusalOf = async (text: string) => {
    const site = project()
    site.file('broken.mjs', text)
    return await refusal(['stand', 'socket=site.sock', `method=${method}`, './broken.mjs'], { cwd: site.path })
  }

  it('that calls process.exit() while it is loaded has not been loaded', async () => {
    const { code, message } = await refusalOf('process.exit(0)')
    expect(code).toBe(3)
    expect(message).toMatch(/^cannot load the application: (a worker |a thread |it )ended .*: exit code 0$/)
  })

  it('that leaves a promise rejected has not been loaded, and the line is told', async () => {
    const text = 'const main = async () => { throw new Error("no database") }\nmain()\nexport default (q, s) => s.end()'
    expect(await refusalOf(text)).toEqual({
      code: 3,
      message: 'cannot load broken.mjs: Error: no database (broken.mjs:1)',
    })
  })
})

describe('a configuration module that never finishes loading', () => {
  it.each([
    ['await new Promise(() => {})', 'with nothing to wait for'],
    ['await new Promise(resolve => setTimeout(resolve, 1e8))', 'while it waits for something'],
  ])('ends the command: %s, %s', async text => {
    const site = project()
    site.file('runfcgi.config.mjs', text)
    expect(await refusal(['stand', 'socket=site.sock'], { cwd: site.path })).toEqual({
      code: 2,
      message: `cannot load ${site.path}/runfcgi.config.mjs: it has not finished loading after 10 seconds`,
    })
  })
})

describe('what cannot be done ends with 1', () => {
  it('a socket in a folder that is not there', async () => {
    const { path } = project()
    expect(await refusal(['stand', 'socket=run/site.sock'], { cwd: path })).toEqual({
      code: 1,
      message: `folder ${path}/run of socket ${path}/run/site.sock does not exist: create it first`,
    })
  })

  it('a socket path that is too long', async () => {
    const { path } = project()
    const socket = join(path, `${'s'.repeat(107 - path.length)}`)
    expect(socket.length).toBe(108)
    const { code, message } = await refusal(['stand', `socket=${socket}`], { cwd: path })
    expect(code).toBe(1)
    expect(message).toContain('is 108 bytes long, the system allows 107')
  })

  it('a socket that another process serves, which it goes on doing', async () => {
    const { path } = project()
    const socket = join(path, 'site.sock')
    const server = createServer().listen(socket)
    onTestFinished(() => void server.close())
    const { ino } = statSync(socket)
    const { code, message } = await refusal(['stand', 'socket=site.sock'], { cwd: path })
    expect(code).toBe(1)
    expect(message).toMatch(/^socket .*site\.sock is in use by process \d+/)
    expect(statSync(socket).ino).toBe(ino)
  })

  it('a socket path where something else is, which is left alone', async () => {
    const { path, file } = project()
    file('site.sock', 'dear data')
    const { code, message } = await refusal(['stand', 'socket=site.sock'], { cwd: path })
    expect(code).toBe(1)
    expect(message).toContain('is a regular file, not a socket, and is left alone')
  })

  it('a port that is in use', async () => {
    const bound = await bind({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    onTestFinished(() => bound.close())
    const { port } = bound.address as { port: number }
    const { code, message } = await refusal(['stand', `port=${port}`], { cwd: project().path })
    expect({ code, message }).toEqual({
      code: 1,
      message: `port ${port} of 127.0.0.1:${port} is in use by process ${process.pid}: stop it first, or choose another port`,
    })
  })

  it('a descriptor that is no socket, or not open', async () => {
    const site = project()
    const fd = openSync(join(site.path, 'app.js'), 'r')
    onTestFinished(() => closeSync(fd))
    expect(await refusal(['stand', 'listen=fd:0'], { cwd: site.path, stdin: fd })).toEqual({
      code: 1,
      message: 'descriptor 0 is not a socket: pass a listening socket, or set socket=',
    })
    const { code, message } = await refusal(['stand', 'listen=fd:77'], { cwd: site.path })
    expect(code).toBe(1)
    expect(message).toMatch(/^descriptor 77 is not open/)
  })

  it('a group that does not exist', async () => {
    const { code, message } = await refusal(['stand', 'socket=site.sock', 'socket-group=nosuchgroup'], {
      cwd: project().path,
    })
    expect(code).toBe(1)
    expect(message).toContain('there is no group "nosuchgroup"')
  })

  it('a folder for temporary files that is not there', async () => {
    const { path } = project()
    expect(await refusal(['serve', 'http=127.0.0.1:0'], { cwd: path, env: { TMPDIR: join(path, 'none') } })).toEqual({
      code: 1,
      message:
        `folder ${path}/none for temporary files cannot be written (ENOENT): ` +
        'let TMPDIR name one that can be, or say socket=PATH',
    })
  })

  it('a working folder or a log file that cannot be used', async () => {
    const { path } = project()
    expect(await refusal(['stand', 'port=0', 'workdir=none'], { cwd: path })).toEqual({
      code: 1,
      message: 'workdir=none (command line): cannot change to that folder (ENOENT): create it, or check its rights',
    })
    expect(await refusal(['stand', 'port=0', 'errlog=none/log'], { cwd: path })).toEqual({
      code: 1,
      message: 'errlog=none/log (command line): cannot be written (ENOENT): create its folder first',
    })
    expect(await refusal(['stand', 'port=0', 'access-log=.'], { cwd: path })).toEqual({
      code: 1,
      message: 'access-log=. (command line): is a folder: add the name of a file',
    })
  })

  it('an HTTP port that is in use', async () => {
    const bound = await bind({ kind: 'tcp', host: '127.0.0.1', port: 0 })
    onTestFinished(() => bound.close())
    const { port } = bound.address as { port: number }
    const { code, message } = await refusal(['serve', `http=127.0.0.1:${port}`], { cwd: project().path })
    expect(code).toBe(1)
    expect(message).toMatch(/^cannot serve HTTP on 127\.0\.0\.1:\d+: the address is in use/)
  })

  it('a probe that nobody answers', async () => {
    const { code, message } = await refusal(['probe', 'socket=none.sock'], { cwd: project().path })
    expect(code).toBe(1)
    expect(message).toMatch(/^cannot connect to .*none\.sock: no such file/)
  })
})

describe('an application that does not load ends with 3', () => {
  it('because there is none', async () => {
    const { path } = project({})
    expect((await refusal(['stand', 'socket=site.sock'], { cwd: path })).code).toBe(3)
    const { code, message } = await refusal(['stand', './none.js', 'socket=site.sock'], { cwd: path })
    expect(code).toBe(3)
    expect(message).toContain(`no file ${path}/none.js`)
  })

  it('because it is a command with a mistake in it', async () => {
    const { code, message } = await refusal(['stnad', 'socket=site.sock', 'daemonize=false'], { cwd: project().path })
    expect(code).toBe(3)
    expect(message).toMatch(/did you mean the command 'stand'\?$/)
  })

  it('because it throws, with file and line', async () => {
    const { path } = project({ 'app.js': "\n\nthrow new Error('no database')\n" })
    const { code, message } = await refusal(['stand', 'socket=site.sock'], { cwd: path })
    expect(code).toBe(3)
    expect(message).toBe('cannot load app.js: Error: no database (app.js:3)')
  })

  it('because it crashes behind the back of the import', async () => {
    const app =
      "\nsetTimeout(() => { throw new Error('too late') }, 1)\nawait new Promise(() => setInterval(() => {}, 1000))\n"
    const { path } = project({ 'app.js': app })
    const { code, message } = await refusal(['stand', 'socket=site.sock'], { cwd: path })
    expect(code).toBe(3)
    expect(message).toContain('Error: too late (app.js:2)')
  })

  it('although it has left a timer and a server behind', async () => {
    const app = "setInterval(() => {}, 1000)\nthrow new Error('no luck')\n"
    expect((await refusal(['stand', 'socket=site.sock'], { cwd: project({ 'app.js': app }).path })).code).toBe(3)
  })

  it('and says which file the name came from', async () => {
    const site = project({})
    site.file('runfcgi.config.json', '{ "app": "./none.js" }')
    const { message } = await refusal(['stand', 'socket=site.sock'], { cwd: site.path })
    expect(message).toMatch(/\(from runfcgi\.config\.json\)$/)
  })
})

describe('check', () => {
  it('says what would run, and leaves no trace of it', async () => {
    const site = project({
      'app.js': "console.log('noise')\nexport default { fetch() {} }\nsetInterval(() => {}, 1000)",
    })
    const { code, stdout } = await run(['check', 'socket=site.sock', 'backlog=5'], { cwd: site.path })
    expect(stdout).toBe(
      'Settings that are not the default:\n' +
        '  socket=site.sock (command line)\n' +
        '  backlog=5 (command line)\n' +
        `ok    address: ${site.path}/site.sock\n` +
        'ok    logs: standard error\n' +
        `ok    folder: ${site.path}\n` +
        'ok    application: app.js (default export, an object with fetch())\n',
    )
    expect(code).toBe(0)
    expect(existsSync(join(site.path, 'site.sock'))).toBe(false)
  })

  it('finds everything that is wrong at once, as text and as JSON', async () => {
    const site = project({ 'app.js': "throw new Error('no luck')" })
    const args = ['check', 'socket=none/site.sock', 'errlog=none/log', 'allowed-clients=nobody']
    const text = await run(args, { cwd: site.path })
    expect(text.code).toBe(3)
    expect(text.stdout.match(/^FAIL {2}(address|clients|logs|application): /gm)).toHaveLength(4)
    const json = await run([...args, '--json'], { cwd: site.path })
    expect(json.code).toBe(3)
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: false,
      findings: [
        { what: 'address', ok: false },
        { ok: false },
        { what: 'logs', ok: false },
        { ok: true },
        { ok: false },
      ],
      settings: [
        { name: 'socket', value: 'none/site.sock', origin: 'command line' },
        { name: 'errlog' },
        { name: 'allowed-clients' },
        { name: 'json' },
      ],
    })
  })

  it('ends with 1 when only the address is taken', async () => {
    const site = project()
    const running = launch(['stand', 'socket=site.sock'], { cwd: site.path })
    await running.says('ready')
    const { code, stdout } = await run(['check', 'socket=site.sock'], { cwd: site.path })
    expect(code).toBe(1)
    expect(stdout).toContain(`FAIL  address: socket ${site.path}/site.sock is in use by process ${running.child.pid}`)
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
  })
})

describe('help', () => {
  it('goes to standard output and ends with 0, in whichever way it is asked for', async () => {
    const { path } = project()
    writeFileSync(join(path, 'runfcgi.config.json'), 'broken')
    for (const args of [['help'], ['--help'], ['-h']]) {
      const { code, stdout, stderr } = await run(args, { cwd: path })
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain('\n  socket=PATH ')
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    }
  })

  it('explains one setting, or one command', async () => {
    const { path } = project()
    expect((await run(['help', 'max-spool'], { cwd: path })).stdout).toContain('RUNFCGI_MAX_SPOOL')
    expect((await run(['probe', '--help'], { cwd: path })).stdout).toMatch(
      /^Usage: runfcgi probe \[request\] \[key=value \.\.\.\]\n/,
    )
    expect((await run(['help', 'version'], { cwd: path })).stdout).toMatch(/^Usage: runfcgi version\n/)
  })

  it('names the version as package.json has it', async () => {
    const { path } = project()
    for (const args of [['version'], ['--version']]) expect((await run(args, { cwd: path })).stdout).toBe('0.1.0\n')
  })
})
