/**
 * Loads the program: the command and what its threads and processes run, from the files of dist, each with the code that V8
 * made of it when it was installed (src/compile.ts). Compiling is a third of what a start has to do otherwise.
 *
 * V8 itself refuses code of another version, of other flags, or of a file of another length; a file that was changed later
 * is told by its time. Then, and if there is no code, it is compiled as usual.
 *
 * Modules that are loaded here are in the cache of `require`, which this file has because the build makes CommonJS of it: an
 * application that imports 'runfcgi' finds the same ones.
 */

import { readFileSync, statSync } from 'node:fs'
import { Module } from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'

const here = import.meta.dirname

/** The code of each file of dist, for this Node.js and for where dist lies: code tells in stacks where its file was. */
export const CODE = join(here, 'code', `${process.versions.v8}-${process.arch}`, here)

/** A file of dist as V8 compiles it. */
export function scriptOf(name: string, cachedData?: Buffer): Script {
  const filename = join(here, name)
  return new Script(Module.wrap(readFileSync(filename, 'utf8')), { filename, ...(cachedData && { cachedData }) })
}

/** What a file of dist exports. `name`: relative to dist. */
export function load(name: string): unknown {
  const file = join(here, name)
  const known = require.cache[file]
  if (known !== undefined) return known.exports
  const module = new Module(file)
  require.cache[file] = module
  const folder = dirname(name)
  const requireFrom = (id: string): unknown => (id.startsWith('.') ? load(join(folder, id)) : require(id))
  const run = scriptOf(name, codeOf(name)).runInThisContext()
  run.call(module.exports, module.exports, requireFrom, module, file, dirname(file))
  module.loaded = true
  return module.exports
}

/** Undefined if there is none that fits, or if it may not be read. */
function codeOf(name: string): Buffer | undefined {
  const file = join(CODE, name)
  try {
    if (statSync(file).mtimeMs >= statSync(join(here, name)).mtimeMs) return readFileSync(file)
  } catch {
    // It is compiled as usual.
  }
  return undefined
}

/** `import()`, which scripts do not have. From here packages are found as from any other file of dist. */
export const importModule = (specifier: string): Promise<unknown> => import(specifier)
