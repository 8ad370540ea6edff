/**
 * What a start loads, and when: a package or a part that is loaded where nobody needs it costs each start milliseconds
 * and each process memory. Reads `require.cache` of the processes themselves.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { launch, project } from './command.ts'

/** Written by each process when it ends. */
const NOTE = `
if (require('node:worker_threads').isMainThread) process.on('exit', () => {
  const role = process.env.NODE_UNIQUE_ID || process.connected ? 'worker' : 'first'
  require('node:fs').writeFileSync(__dirname + '/' + role + '.loaded', JSON.stringify(Object.keys(require.cache)))
})`

const LISTENER = `export default (req, res) => res.end('hello')`

const SETTINGS = ['stand', './app.js', 'socket=./s.sock', 'log-level=warn']

/** Where the site of this folder answers, once it does. */
async function serving(path: string) {
  const target = { kind: 'unix', path: join(path, 's.sock') } as const
  const answers = (): Promise<boolean> =>
    probe({ target }).then(
      ({ status }) => status === 200,
      () => false,
    )
  await until('it serves', answers)
  return target
}

/** The files that each process had loaded, without their folders, and the packages among them. */
async function loadedBy(...settings: string[]): Promise<Record<string, { files: string[]; packages: string[] }>> {
  const { path, file } = project({ 'app.js': LISTENER })
  const env = { NODE_OPTIONS: `--require=${file('note.cjs', NOTE)}` }
  const one = settings.includes('method=inline') ? [] : ['maxchildren=1']
  const running = launch([...SETTINGS, ...settings, ...one], { cwd: path, env })
  await serving(path)
  running.kill('SIGTERM')
  expect((await running.outcome()).code).toBe(0)
  const notes = readdirSync(path).filter(name => name.endsWith('.loaded'))
  return Object.fromEntries(
    notes.map(name => {
      const loaded: string[] = JSON.parse(readFileSync(join(path, name), 'utf8'))
      const packages = loaded.map(one => /\/node_modules\/([^/]+)\//.exec(one)?.[1] ?? '').filter(one => one !== '')
      const files = loaded.filter(one => /\/dist\//.test(one)).map(one => one.replace(/.*\/dist\//, ''))
      return [name.replace('.loaded', ''), { files, packages }]
    }),
  )
}

describe('a start', () => {
  it.each(['inline', 'threaded', 'prefork'])(
    'with method=%s loads no package before there is something to log',
    async method => {
      for (const { packages } of Object.values(await loadedBy(`method=${method}`))) expect(packages).toEqual([])
    },
  )

  it('loads few files', async () => {
    const { first } = await loadedBy('method=threaded')
    expect(first?.files).toContain('parts/responder.cjs')
    expect(first?.files.length).toBeLessThan(20)
  })

  it('loads nothing into the primary of prefork that only its workers need, and nothing into them that is only its', async () => {
    const { first, worker } = await loadedBy('method=prefork')
    expect(first?.files).toContain('parts/prefork.cjs')
    expect(first?.files).not.toContain('parts/responder.cjs')
    expect(worker?.files).toContain('parts/responder.cjs')
    expect(worker?.files.filter(name => /command|serving|prefork|pool/.test(name))).toEqual([])
  })
})

describe('a thread that was booted ahead', () => {
  const SHOWN = `
    import { resourceLimits } from 'node:worker_threads'
    export default (req, res) =>
      res.end(JSON.stringify({ megabytes: resourceLimits.maxOldGenerationSizeMb, folder: process.cwd(), zone: process.env.ZONE }))`

  it.each(['command line', 'environment'])('has the limits of the settings, when the %s has them', async place => {
    const { path } = project({ 'app.js': SHOWN })
    const onCommandLine = place === 'command line'
    const running = launch([...SETTINGS, 'method=threaded', ...(onCommandLine ? ['max-memory=64M'] : [])], {
      cwd: path,
      env: { ZONE: 'here', ...(!onCommandLine && { RUNFCGI_MAX_MEMORY: '64M' }) },
    })
    const target = await serving(path)
    const { body } = await probe({ target })
    expect(JSON.parse(String(body))).toEqual({ megabytes: 128, folder: path, zone: 'here' })
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
  })

  it('is none when a later word chooses another method', async () => {
    const app = `import { isMainThread } from 'node:worker_threads'
      export default (req, res) => res.end(String(isMainThread))`
    const { path } = project({ 'app.js': app })
    const running = launch([...SETTINGS, 'method=threaded', 'method=inline'], { cwd: path })
    const target = await serving(path)
    expect(String((await probe({ target })).body)).toBe('true')
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0, stderr: '' })
  })
})
