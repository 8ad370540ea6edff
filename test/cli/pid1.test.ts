/** As process 1 of a pid namespace, which is what a container gives a program. */

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { accepts } from '../support/ports.ts'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { launch, project, type Running } from './command.ts'

const works = (...command: string[]): boolean => spawnSync(command[0] as string, command.slice(1)).status === 0

const UNSHARE = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
const missing = works(...UNSHARE, 'true') ? undefined : 'pid namespaces cannot be made here'
if (missing !== undefined) console.warn(`SKIPPED: process 1, because ${missing}`)

/** Leaves a process without a parent, or takes a while. */
const APP = `
import { spawn } from 'node:child_process'
export default { async fetch(request) {
  const { pathname } = new URL(request.url)
  if (pathname === '/orphan') spawn('sh', ['-c', 'sleep 0.1 & exit 0'], { stdio: 'ignore' })
  if (pathname === '/slow') { console.error('it runs'); await new Promise(resolve => setTimeout(resolve, 1500)) }
  return new Response('pid ' + process.pid)
} }`

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

interface Entry {
  readonly pid: number
  readonly name: string
  readonly state: string
  readonly parent: number
}

/** A line of /proc/<pid>/stat: `pid (name) state parent …`. None for a process that is gone meanwhile. */
function entryOf(pid: string): Entry[] {
  try {
    const [, name = '', state = '', parent] =
      /\((.*)\) (\S) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return [{ pid: Number(pid), name, state, parent: Number(parent) }]
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return []
  }
}

const processes = (): Entry[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(entryOf)

/** Everything below a process. */
function below(pid: number, all = processes()): Entry[] {
  return all.filter(({ parent }) => parent === pid).flatMap(entry => [entry, ...below(entry.pid, all)])
}

const zombiesBelow = (pid: number): number => below(pid).filter(({ state }) => state === 'Z').length

async function inNamespace(args: readonly string[], via: readonly string[] = []) {
  const { path } = project({ 'app.js': APP })
  const running: Running = launch(['socket=./s.sock', ...args], { cwd: path, via: [...UNSHARE, ...via] })
  onTestFinished(() => running.kill('SIGKILL'))
  await until('it serves', () => accepts(join(path, 's.sock')))
  await running.says('"ready"')
  const [init = 0] = childrenOf(running.child.pid as number)
  const ask = async (uri: string): Promise<string> =>
    (await probe({ target: { kind: 'unix', path: join(path, 's.sock') }, path: uri })).body.toString()
  return { running, init, ask }
}

describe.skipIf(missing !== undefined)('process 1', () => {
  it('does not detach, and TERM ends it after what runs', async () => {
    const { running, init, ask } = await inNamespace(['method=inline'])
    expect(await ask('/')).toBe('pid 1')
    const slow = ask('/slow')
    await running.says('it runs')
    process.kill(init, 'SIGTERM')
    expect(await slow).toBe('pid 1')
    expect((await running.outcome()).code).toBe(0)
  })

  it.each(['inline', 'threaded', 'prefork'])('ends within graceful-timeout, whatever runs: method=%s', async method => {
    const { running, init, ask } = await inNamespace([`method=${method}`, 'maxchildren=1', 'graceful-timeout=200ms'])
    const slow = ask('/slow').catch(() => 'cut off')
    await running.says('it runs')
    process.kill(init, 'SIGTERM')
    expect((await running.outcome()).code).toBe(0)
    await slow
  })

  it('leaves no zombie of a worker that was killed', async () => {
    const { init, ask } = await inNamespace(['method=prefork', 'maxchildren=1'])
    const before = await ask('/')
    const [worker = 0] = childrenOf(init)
    process.kill(worker, 'SIGKILL')
    await until('another worker serves', async () => (await ask('/').catch(() => before)) !== before)
    expect(zombiesBelow(init)).toBe(0)
  })

  it.runIf(works('tini', '--version'))(
    'below tini leaves none of what the application has left behind either',
    async () => {
      const { running, init, ask } = await inNamespace(
        ['method=prefork', 'maxchildren=1', 'daemonize=false'],
        ['tini', '--'],
      )
      for (let count = 0; count < 3; count++) await ask('/orphan')
      await until('the orphans have ended', () => !below(init).some(({ name }) => name === 'sleep'))
      await until('they were waited for', () => zombiesBelow(init) === 0)
      process.kill(init, 'SIGTERM')
      expect((await running.outcome()).code).toBe(0)
    },
  )
})
