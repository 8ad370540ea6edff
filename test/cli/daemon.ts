/** Daemons in a folder of their own, as a person has them: started, asked and stopped by the command. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { type ProbeOptions, probe } from '../support/probe.ts'
import { isAlive, kill, processesIn } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Folder, launch, type Outcome, project, type Running, run } from './command.ts'

/** Answers with its process id; after a file has appeared below /slow; never below /loop. */
export const APP = `
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
export default async (request, response) => {
  if (request.url.startsWith('/slow')) {
    writeFileSync('slow', '')
    while (!existsSync('go')) await sleep(5)
  }
  if (request.url === '/loop') {
    writeFileSync('loop', '')
    for (;;);
  }
  response.end('one ' + process.pid)
}
`

/** Is not loaded while there is a file `hold`; tells by a file `loading` that it waits. */
export const HELD_APP = `
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
if (existsSync('hold')) writeFileSync('loading', '')
while (existsSync('hold')) await sleep(5)
export default (request, response) => response.end('here')
`

export interface Home {
  readonly folder: Folder
  readonly socket: string
  readonly pidfile: string
  /** Runs a command on the daemon of this folder to its end. */
  command(...args: string[]): Promise<Outcome>
  /** The same, and leaves it running. */
  begin(...args: string[]): Running
  /** Starts the daemon. */
  start(...args: string[]): Promise<void>
  /** What stands in the pidfile. */
  pid(): number
  get(path?: string, options?: Partial<ProbeOptions>): Promise<{ status: number; text: string }>
  /** What a file holds; nothing while it is not there. */
  read(name: string): string
  /** What is in the folder. */
  listing(): string[]
  /** What is left when nothing runs: no socket, no pidfile, no process. */
  expectNothingLeft(): void
}

const homes: Folder[] = []

afterEach(() => {
  for (const { path } of homes.splice(0)) processesIn(path).forEach(kill)
})

export function home(files: Readonly<Record<string, string>> = { 'app.js': APP }): Home {
  const folder = project(files)
  homes.unshift(folder)
  const at = (name: string): string => join(folder.path, name)
  const [socket, pidfile] = [at('site.sock'), at('site.pid')]
  const words = (args: readonly string[]): string[] => [...args, ...(needsPidfile(args) ? ['pidfile=site.pid'] : [])]
  return {
    folder,
    socket,
    pidfile,
    command: (...args) => run(words(args), { cwd: folder.path }),
    begin: (...args) => launch(words(args), { cwd: folder.path }),
    async start(...args) {
      const { code, stderr } = await run(words(['start', 'socket=site.sock', 'errlog=err.log', ...args]), {
        cwd: folder.path,
      })
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    },
    pid: () => Number(readFileSync(pidfile, 'utf8')),
    async get(path = '/', options = {}) {
      const { status, body } = await probe({ target: { kind: 'unix', path: socket }, path, ...options })
      return { status, text: body.toString() }
    },
    read: name => (existsSync(at(name)) ? readFileSync(at(name), 'utf8') : ''),
    listing: () => readdirSync(folder.path).sort(),
    expectNothingLeft() {
      for (const name of ['site.sock', 'site.pid', 'site.pid.control'])
        expect([name, existsSync(at(name))]).toEqual([name, false])
      expect(processesIn(folder.path).filter(isAlive)).toEqual([])
    },
  }
}

const needsPidfile = (args: readonly string[]): boolean => !args.some(word => /^(pidfile|control)=/.test(word))

/** A request that is being answered until the file `go` is there. */
export async function slowRequest({
  get,
  folder,
}: Home): Promise<{ readonly reply: ReturnType<Home['get']>; go(): void }> {
  const reply = get('/slow')
  reply.catch(() => {})
  await until('it has begun', () => existsSync(join(folder.path, 'slow')))
  return { reply, go: () => void folder.file('go', '') }
}
