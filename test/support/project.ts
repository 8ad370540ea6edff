/** Folders with files in them, for tests that need an application on disk. */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface Project {
  readonly folder: string
  [Symbol.dispose](): void
}

/** A temporary folder with these files; content that is an object is written as JSON. Remove it with `using` or `dispose`. */
export function project(files: Readonly<Record<string, string | object>>): Project {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'runfcgi-app-')))
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}
