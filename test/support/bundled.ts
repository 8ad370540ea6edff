/**
 * Modules of src for a process of its own: what dist has is made for the command and the library, and shows no inner
 * module. A program that imports `src/….ts` is bundled into a temporary folder and can be run by Node as it is.
 */

import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { afterAll } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** @param file below the repository. @returns the path of an ES module, which is removed after the tests of this file */
export async function bundled(file: string): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'runfcgi-bundle-')))
  // Some run it as a user without rights.
  await chmod(folder, 0o755)
  afterAll(() => rm(folder, { recursive: true, force: true }))
  const bundle = await rolldown({ cwd: root, input: { program: file }, platform: 'node', tsconfig: false })
  // Code of ours is known by the folder above it, as in dist.
  await bundle.write({ dir: join(folder, 'parts'), entryFileNames: '[name].mjs', chunkFileNames: '[name].mjs' })
  return join(folder, 'parts/program.mjs')
}
