/** The real command, as a person has it: from this working copy, or installed in a site's node_modules. */

import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RunningProgram, startProgram } from './child-process.ts'
import { accepts } from './ports.ts'
import type { Site } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { shipped } from './web-server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * `runfcgi stand ./app.js` in the site's folder, on its port or on its socket with the rights that the shipped
 * configurations name.
 */
export function stand(site: Site, settings: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<RunningProgram> {
  const rights = unprivileged === undefined ? [] : [`socket-group=${unprivileged.name}`, 'socket-mode=660']
  const listen =
    site.port === undefined ? [`socket=${site.socket}`, ...rights] : ['host=127.0.0.1', `port=${site.port}`]
  const args = [join(root, 'bin/runfcgi.js'), 'stand', './app.js', ...listen, ...settings]
  const ready = () => accepts(site.port ?? site.socket)
  return startProgram(process.execPath, args, { cwd: site.folder, env: { ...process.env, ...env }, ready })
}

/** mysite.fcgi as shipped, but that Node may lie elsewhere on this machine. */
export function writeScript(file: string, changes: Record<string, string> = {}): void {
  const path = { '/usr/local/bin:/usr/bin:/bin': `${dirname(process.execPath)}:/usr/bin:/bin` }
  writeFileSync(file, shipped('apache/mysite.fcgi', { ...path, ...changes }))
  chmodSync(file, 0o755)
}

/** What `npm install runfcgi` would leave in the folder. A working copy can lie where a web server's account cannot read. */
export function install(folder: string): void {
  const modules = join(folder, 'node_modules')
  for (const path of ['package.json', 'bin', 'dist']) {
    cpSync(join(root, path), join(modules, 'runfcgi', path), { recursive: true })
  }
  for (const name of dependenciesOf(root)) {
    cpSync(join(root, 'node_modules', name), join(modules, name), { recursive: true })
  }
  mkdirSync(join(modules, '.bin'))
  symlinkSync('../runfcgi/bin/runfcgi.js', join(modules, '.bin', 'runfcgi'))
}

function dependenciesOf(folder: string, found = new Set<string>()): Set<string> {
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies).filter(name => !found.has(name))) {
    found.add(name)
    dependenciesOf(join(root, 'node_modules', name), found)
  }
  return found
}
