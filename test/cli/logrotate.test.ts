/** deploy/logrotate with the real logrotate, while requests come in. */

import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { accepts } from '../support/ports.ts'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { shipped } from '../support/web-server.ts'
import { FETCH_APP, launch, project } from './command.ts'

const missing = spawnSync('logrotate', ['--version']).error !== undefined
if (missing) console.warn('SKIPPED: log rotation, because logrotate is not installed')

/** The log opens its files when there is something to write. */
const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0

const program = new URL('../../bin/runfcgi.js', import.meta.url).pathname

describe.skipIf(missing)('logrotate under load', () => {
  it.each(['inline', 'prefork'])('loses no line, and none goes to the old file afterwards: method=%s', async method => {
    const { path } = project({ 'app.js': `console.error('application'); ${FETCH_APP}` })
    const logs = join(path, 'logs')
    mkdirSync(logs, { mode: 0o700 })
    const configuration = join(path, 'logrotate.conf')
    const text = shipped('logrotate/runfcgi', {
      '/var/log/mysite': logs,
      '/srv/mysite/node_modules/.bin/runfcgi': `${process.execPath} ${program}`,
      '/run/mysite/site.pid': join(path, 'site.pid'),
    })
    writeFileSync(configuration, text, { mode: 0o600 })
    const running = launch(
      [
        ...[`method=${method}`, 'daemonize=false', 'maxchildren=1', 'socket=./s.sock', 'pidfile=./site.pid'],
        ...[`errlog=${logs}/error.log`, `access-log=${logs}/access.log`],
      ],
      { cwd: path },
    )
    onTestFinished(() => running.kill('SIGKILL'))
    const ask = (uri: string) => probe({ target: { kind: 'unix', path: join(path, 's.sock') }, path: uri })
    await until('it serves', () => accepts(join(path, 's.sock')))
    await ask('/')

    let asked = 0
    let over = false
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!over) expect((await ask(`/${++asked}`)).status).toBe(200)
      }),
    )
    const finished: { file: string; size: number }[] = []
    for (let rotation = 1; rotation <= 3; rotation++) {
      // Lines are collected for up to a second.
      await until('there are lines', () => sizeOf(join(logs, 'access.log')) > 0)
      const { stderr } = await promisify(execFile)('logrotate', ['-f', '-s', join(path, 'state'), configuration])
      expect(stderr).toBe('')
      const file = join(logs, 'access.log.1')
      finished.push({ file, size: statSync(file).size })
    }
    const last = finished.at(-1)
    await until('there are lines', () => sizeOf(join(logs, 'access.log')) > 0)
    over = true
    await load
    expect(statSync(last?.file as string).size).toBe(last?.size)
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)

    const lines = readdirSync(logs)
      .filter(name => name.startsWith('access.log'))
      .flatMap(name => contentOf(join(logs, name)).split('\n'))
    const numbers = lines.flatMap(line => /"GET \/(\d+) /.exec(line)?.[1] ?? []).map(Number)
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: asked }, (_, at) => at + 1))
    console.info(`${method}: ${asked} requests over 3 rotations, ${numbers.length} lines`)
  })
})

function contentOf(file: string): string {
  const bytes = readFileSync(file)
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
}
