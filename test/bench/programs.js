/** Programs of the machine: where they are, and what version. */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'

/** Servers that root starts give up their rights; what the bench makes for them is open to all. */
export const isRoot = process.getuid?.() === 0

/** The path of the first of some programs that is installed, or undefined. */
export function findProgram(...names) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return names.flatMap(name => folders.map(folder => join(folder, name))).find(existsSync)
}

/** Read from package.json itself: not every package exports it. */
export function packageVersion(name) {
  const folders = createRequire(import.meta.url).resolve.paths(name)
  const file = folders.map(folder => join(folder, name, 'package.json')).find(existsSync)
  return JSON.parse(readFileSync(file, 'utf8')).version
}

const ASKED = [
  ['nginx', ['nginx'], ['-v']],
  ['Apache', ['apache2', 'httpd'], ['-v']],
  ['lighttpd', ['lighttpd'], ['-v']],
  ['Go', ['go'], ['version']],
  ['PHP', ['php-fpm', 'php-fpm8.4', 'php-fpm8.3', 'php-fpm8.2', 'php-fpm8.1'], ['-v']],
]

/** The versions of what is there, by name. nginx tells its own on standard error. */
export function programVersions() {
  const versions = ASKED.flatMap(([name, files, args]) => {
    const program = findProgram(...files)
    if (!program) return []
    const said = execFileSync('/bin/sh', ['-c', '"$0" "$@" 2>&1', program, ...args], { encoding: 'utf8' })
    return [[name, /\d+\.\d+(\.\d+)?/.exec(said)?.[0] ?? '?']]
  })
  return Object.fromEntries(versions)
}
