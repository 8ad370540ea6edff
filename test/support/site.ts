/**
 * The folder of a site as a person has it on a host: the application, files to serve, the socket. Below the temporary
 * directory, and readable for the account that web servers run under.
 */

import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { unprivileged } from './unprivileged.ts'

export interface Site {
  readonly folder: string
  /** The path of the Unix socket. */
  readonly socket: string
  /** The TCP port instead of it, if the site is to use one. */
  readonly port: number | undefined
  remove(): void
}

export type Callable = 'node' | 'wsgi' | 'fetch'

export const STATIC_TEXT = 'A file that the web server serves itself.\n'

export function createSite(callable: Callable, port?: number): Site {
  const folder = mkdtempSync(join(tmpdir(), 'runfcgi-e2e-'))
  chmodSync(folder, 0o755)
  const fixtures = fileURLToPath(new URL('../e2e/fixtures', import.meta.url))
  for (const file of ['package.json', 'shared.js']) cpSync(join(fixtures, file), join(folder, file))
  cpSync(join(fixtures, `${callable}-app.js`), join(folder, 'app.js'))
  mkdirSync(join(folder, 'static'))
  writeFileSync(join(folder, 'static', 'hello.txt'), STATIC_TEXT)
  return {
    folder,
    socket: join(folder, 'site.sock'),
    port,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** A folder in the site's that the web server's account may write to. */
export function writableFolder(site: Pick<Site, 'folder'>, name: string): string {
  const folder = join(site.folder, name)
  mkdirSync(folder, { recursive: true })
  if (unprivileged !== undefined) chownSync(folder, unprivileged.uid, unprivileged.gid)
  return folder
}
