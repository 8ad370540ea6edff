/**
 * The programs of the bench that are not JavaScript, compiled when they are first asked for, into a folder that goes
 * with the run.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const source = name => fileURLToPath(new URL(name, import.meta.url))

const COMPILERS = {
  'load.c': output => ['cc', ['-O2', '-o', output, source('load.c')]],
  'responder.c': output => ['cc', ['-O2', '-pthread', '-o', output, source('responder.c'), '-lfcgi']],
  'responder.go': output => ['go', ['build', '-o', output, source('responder.go')]],
}

/** Whether a command can be run at all. */
export const hasCommand = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).error === undefined

export const hasCompiler = () => hasCommand('cc', '--version')

/** Whether the C compiler finds a header. */
export const hasHeader = name =>
  spawnSync('cc', ['-E', '-o', '/dev/null', '-'], {
    input: `#include <${name}>\n`,
    stdio: ['pipe', 'ignore', 'ignore'],
  }).status === 0

const compiled = new Map()

/**
 * The path of the program compiled from a source file of this folder.
 * @throws Error with what the compiler said
 */
export function compile(name, directory) {
  if (!compiled.has(name)) {
    const [command, args] = COMPILERS[name](join(directory, `${name}.out`))
    // Go caches in the home folder, if there is one.
    const cache = process.env.HOME ? {} : { GOCACHE: join(directory, 'go-cache') }
    const env = { ...cache, ...process.env, GO111MODULE: 'off' }
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env, cwd: directory })
    compiled.set(name, join(directory, `${name}.out`))
  }
  return compiled.get(name)
}
