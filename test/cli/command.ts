/** The command as a person runs it: the built program in a process of its own, with what it printed and how it ended. */

import { type ChildProcess, type IOType, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'
import { soon, until } from '../support/until.ts'

const program = fileURLToPath(new URL('../../bin/runfcgi.js', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  kill(signal: NodeJS.Signals): void
  /** Waits for the end. */
  outcome(): Promise<Outcome>
  /** Waits for text on standard error. */
  says(text: string): Promise<void>
}

export interface SpawnOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** Default: /dev/null. */
  readonly stdin?: IOType | number | string | Buffer
  /** Arguments for node itself. */
  readonly node?: readonly string[]
  /** Descriptors that it inherits as 3 and more. */
  readonly inherit?: readonly number[]
  /** A program and its arguments that starts it, by exec: the process id stays. */
  readonly via?: readonly string[]
}

const alive = new Set<ChildProcess>()

afterEach(() => {
  for (const child of alive) child.kill('SIGKILL')
  alive.clear()
})

export function launch(
  args: readonly string[],
  { cwd, env = {}, stdin = 'ignore', node = [], inherit = [], via = [] }: SpawnOptions,
): Running {
  const isInput =
    Buffer.isBuffer(stdin) || (typeof stdin === 'string' && !['ignore', 'pipe', 'inherit'].includes(stdin))
  const [command = '', ...words] = [...via, process.execPath, ...node, program, ...args]
  const child = spawn(command, words, {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: [isInput ? 'pipe' : (stdin as IOType | number), 'pipe', 'pipe', ...inherit],
  })
  alive.add(child)
  const ended = once(child, 'close').finally(() => alive.delete(child))
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  // A program that ends early leaves its input unread.
  child.stdin?.on('error', error => {
    text.stderr += `stdin: ${error.message}\n`
  })
  if (isInput) child.stdin?.end(stdin)
  return {
    child,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    kill: signal => void child.kill(signal),
    async outcome() {
      const [code, signal] = await soon(`${args.join(' ')} ends`, ended)
      return { code, signal, ...text }
    },
    says: wanted =>
      until(
        () => `"${wanted}" from ${args.join(' ')}: ${text.stderr}`,
        () => {
          if (child.exitCode !== null && !text.stderr.includes(wanted)) throw new Error(`it ended: ${text.stderr}`)
          return text.stderr.includes(wanted)
        },
      ),
  }
}

/** Runs the command to its end. */
export const run = (args: readonly string[], options: SpawnOptions): Promise<Outcome> => launch(args, options).outcome()

export const FETCH_APP = `export default { fetch: request => new Response('hello ' + new URL(request.url).pathname) }`

export interface Folder {
  readonly path: string
  file(name: string, content: string): string
}

const folders: string[] = []

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A person's project, removed after the test. */
export function project(files: Readonly<Record<string, string>> = { 'app.js': FETCH_APP }): Folder {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'runfcgi-cli-')))
  folders.push(path)
  const file = (name: string, content: string): string => {
    writeFileSync(join(path, name), content)
    return join(path, name)
  }
  file('package.json', '{ "type": "module" }')
  for (const [name, content] of Object.entries(files)) file(name, content)
  return { path, file }
}
