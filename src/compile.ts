/**
 * Makes the code that src/load.ts loads the program with. Run when the package is built and when it is installed, by the
 * Node.js that is there.
 */

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { CODE, scriptOf } from './load.ts'

/** All functions of a file: those that are compiled when they are first called would be left out. */
function codeOf(name: string): Buffer {
  setFlagsFromString('--no-lazy')
  const script = scriptOf(name)
  // V8 takes no code that was made under other flags than it runs with.
  setFlagsFromString('--lazy')
  return script.createCachedData()
}

for (const name of ['cli.cjs', ...readdirSync(join(import.meta.dirname, 'parts')).map(file => join('parts', file))]) {
  const file = join(CODE, name)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, codeOf(name))
}
