/**
 * Tests of the command run what people run: the compiled files. `npm test` has just built them; whoever starts vitest by
 * hand gets them built here, once, if a source is newer.
 */

import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export default function buildWhenStale(): void {
  if (newest('src') <= newest('dist')) return
  const { status } = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) console.error('THE BUILD FAILED: tests that run the command run what could be compiled.')
}

/** The last change in a folder, in milliseconds; 0 if there is none. */
function newest(folder: string): number {
  try {
    const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    return Math.max(0, ...files.map(file => statSync(join(root, folder, file)).mtimeMs))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
