/** deploy/init/mysite with every word that it knows. */

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { shipped } from '../support/web-server.ts'
import { launch, project } from './command.ts'

const shipping = new URL('../../deploy/init/mysite', import.meta.url).pathname
const program = new URL('../../bin/runfcgi.js', import.meta.url).pathname
const has = (command: string): boolean => spawnSync(command, ['--version']).error === undefined

let stop = (): unknown => undefined
afterEach(() => stop())

/** The script as a person installs it, for a folder of its own. */
function installed(settings = 'method=threaded maxchildren=1') {
  const { path, file } = project({ 'app.js': 'export default { fetch: () => new Response("one") }' })
  const script = join(path, 'mysite')
  const changes = {
    '/srv/$name': path,
    '/run/$name.pid': join(path, 'site.pid'),
    '$FOLDER/node_modules/.bin/runfcgi': program,
    'SETTINGS=': `SETTINGS="socket=${path}/s.sock ${settings}"`,
    '${NODE:+:$NODE}': `:${dirname(process.execPath)}`,
  }
  writeFileSync(script, shipped('init/mysite', changes))
  chmodSync(script, 0o755)
  const call = (word: string) => {
    const { status, stdout, stderr } = spawnSync(script, [word], { encoding: 'utf8', timeout: 60_000 })
    return { code: status, text: stdout + stderr }
  }
  stop = () => call('stop')
  const ask = async () => (await probe({ target: { kind: 'unix', path: join(path, 's.sock') } })).body.toString()
  return { path, file, script, call, ask, pidfile: join(path, 'site.pid') }
}

describe('the init script', () => {
  it.runIf(has('shellcheck'))('has nothing that shellcheck would say', () => {
    expect(spawnSync('shellcheck', [shipping], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' })
  })

  it('starts, tells its status, reloads, restarts and stops, with the codes of the LSB', async () => {
    const { call, ask, file, pidfile } = installed()
    expect(call('status').code).toBe(3)
    for (const word of ['reload', 'reopen', 'upgrade', 'force-reload']) expect(call(word).code).toBe(7)
    expect(call('try-restart').code).toBe(0)
    expect(call('stop').code).toBe(0)
    expect(existsSync(pidfile)).toBe(false)

    expect(call('start')).toMatchObject({ code: 0 })
    expect(await ask()).toBe('one')
    const pid = readFileSync(pidfile, 'utf8')
    expect(call('start').code).toBe(0)
    expect(readFileSync(pidfile, 'utf8')).toBe(pid)
    expect(call('status').code).toBe(0)

    file('app.js', 'export default { fetch: () => new Response("two") }')
    expect(call('reload').code).toBe(0)
    expect(await ask()).toBe('two')
    expect(call('reopen').code).toBe(0)
    expect(readFileSync(pidfile, 'utf8')).toBe(pid)

    expect(call('upgrade').code).toBe(0)
    const upgraded = readFileSync(pidfile, 'utf8')
    expect(upgraded).not.toBe(pid)
    expect(call('restart').code).toBe(0)
    expect(readFileSync(pidfile, 'utf8')).not.toBe(upgraded)
    expect(call('try-restart').code).toBe(0)
    expect(call('force-reload').code).toBe(0)
    expect(await ask()).toBe('two')

    expect(call('stop').code).toBe(0)
    expect({ pidfile: existsSync(pidfile), status: call('status').code }).toEqual({ pidfile: false, status: 3 })
  })

  it('says what is wrong when it cannot start, and when it is called wrongly', () => {
    const { call, file, pidfile } = installed()
    file('app.js', 'throw new Error("no luck")')
    const { code, text } = call('start')
    expect(code).toBe(3)
    expect(text).toContain('no luck')
    writeFileSync(pidfile, '999999999\n')
    expect(call('status').code).toBe(1)
    expect(call('dance')).toMatchObject({ code: 2, text: expect.stringMatching(/^Usage: .*\/mysite \{start\|stop\|/) })
  })

  it('stands in the foreground', async () => {
    const { path, script, ask } = installed()
    const running = launch([], { cwd: path, via: ['/bin/sh', '-c', `exec ${script} stand`, 'sh'] })
    await until('it serves', async () => (await ask().catch(() => '')) === 'one')
    running.kill('SIGTERM')
    await running.outcome()
  })
})
