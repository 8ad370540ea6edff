/**
 * From what the person wrote (or did not write) to the file of the application.
 *
 * A reference is a path or a package, with `:name` behind it for one export. A path is taken as it is or with one of the
 * extensions behind it; a folder is searched as the current folder is when nothing was written:
 *
 *   "runfcgi": {"app": …} in package.json, application.*, app.*, server.*, index.*, "main" in package.json
 *
 * where `*` is js, mjs, cjs, and ts, mts, cts if this Node strips types. A package is its `runfcgi.app`, else what Node
 * would import. Touches the file system; loads nothing.
 */

import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, isAbsolute, join, resolve } from 'node:path'
import { LoadError, shortPath, typescriptHint } from './load-error.ts'

export interface Located {
  /** Absolute. */
  readonly file: string
  /** The export that was asked for, if one was. */
  readonly exportName: string | undefined
}

const scripts = ['js', 'mjs', 'cjs'] as const
const typed = ['ts', 'mts', 'cts'] as const
const basenames = ['application', 'app', 'server', 'index'] as const

/** True where Node itself runs TypeScript (22.18 and later, unless told not to). */
const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript)
const extensions: readonly string[] = runsTypeScript ? [...scripts, ...typed] : scripts

/**
 * Finds the application.
 * @param reference as the person wrote it; undefined: nothing was written
 * @param cwd what relative paths are relative to, and where a package is looked for
 * @throws LoadError that lists what was tried
 */
export function locateApplication(reference: string | undefined, cwd: string): Located {
  if (reference === undefined || reference === '') {
    const found = searchFolder(cwd, cwd)
    if (found !== undefined) return found
    throw new LoadError(`no application in ${cwd}: ${searched(cwd)}; name one: runfcgi ./my-app.js`)
  }
  const whole = locatePath(reference, undefined, cwd)
  if (whole !== undefined) return whole
  const { path, exportName } = splitReference(reference)
  const located = (exportName && locatePath(path, exportName, cwd)) || locatePackage(path, exportName, cwd)
  if (located !== undefined) return located
  throw new LoadError(`no application ${JSON.stringify(reference)}: ${missing(path, cwd)}`)
}

/** `./app.js:name`. The name is an identifier, so that a path may hold a colon. */
function splitReference(reference: string): { path: string; exportName: string | undefined } {
  const found = /^(.+):([\p{ID_Start}$_][\p{ID_Continue}$]*)$/u.exec(reference)
  return found === null ? { path: reference, exportName: undefined } : { path: found[1]!, exportName: found[2]! }
}

function locatePath(path: string, exportName: string | undefined, cwd: string): Located | undefined {
  const absolute = resolve(cwd, path)
  if (kindOf(absolute) === 'folder') {
    const inside = searchFolder(absolute, cwd)
    if (inside === undefined) throw new LoadError(`no application in ${path}: ${searched(absolute)}`)
    return exportName === undefined ? inside : { file: inside.file, exportName }
  }
  const file = withExtension(absolute)
  return file === undefined ? undefined : { file, exportName }
}

/** `path` if it is a file, else the first extension that makes it one. */
function withExtension(path: string): string | undefined {
  if (kindOf(path) === 'file') return path
  return extensions.map(extension => `${path}.${extension}`).find(candidate => kindOf(candidate) === 'file')
}

function searchFolder(folder: string, cwd: string): Located | undefined {
  const manifest = readManifest(folder)
  const { app } = manifest
  if (app !== undefined) return fromManifest(app, folder, cwd)
  for (const basename of basenames) {
    const found = withExtension(join(folder, basename))
    // A file named "app", without an extension, is more likely a program or a folder's stray file than a module.
    if (found !== undefined && extname(found) !== '') return { file: found, exportName: undefined }
  }
  const main = manifest.main === undefined ? undefined : mainFile(resolve(folder, manifest.main))
  return main === undefined ? undefined : { file: main, exportName: undefined }
}

function mainFile(path: string): string | undefined {
  return kindOf(path) === 'folder' ? withExtension(join(path, 'index')) : withExtension(path)
}

function fromManifest(app: string, folder: string, cwd: string): Located {
  const { path, exportName } = splitReference(app)
  const file = withExtension(resolve(folder, app)) ?? withExtension(resolve(folder, path))
  const manifest = shortPath(join(folder, 'package.json'), cwd)
  if (file === undefined) throw new LoadError(`no file ${JSON.stringify(path)}, which runfcgi.app in ${manifest} names`)
  return { file, exportName }
}

/** A package as Node finds it from `cwd`, except that its `runfcgi.app` comes first. */
function locatePackage(name: string, exportName: string | undefined, cwd: string): Located | undefined {
  if (name.startsWith('.') || isAbsolute(name)) return undefined
  const folder = packageFolder(name, cwd)
  const { app, entry } = folder === undefined ? {} : readManifest(folder)
  if (folder !== undefined && app !== undefined) {
    const named = fromManifest(app, folder, cwd)
    return exportName === undefined ? named : { file: named.file, exportName }
  }
  const file = requireResolve(name, cwd) ?? (folder && entry && withExtension(resolve(folder, entry)))
  return file ? { file, exportName } : undefined
}

function packageFolder(name: string, cwd: string): string | undefined {
  for (let at = cwd; ; at = dirname(at)) {
    const folder = join(at, 'node_modules', name)
    if (kindOf(folder) === 'folder') return folder
    if (dirname(at) === at) return undefined
  }
}

function requireResolve(name: string, cwd: string): string | undefined {
  try {
    const file = createRequire(join(cwd, 'package.json')).resolve(name)
    return isAbsolute(file) ? file : undefined
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return undefined
    throw new LoadError(`package ${JSON.stringify(name)}: ${error}`, { cause: error })
  }
}

interface Manifest {
  readonly app?: string
  readonly main?: string
  /** What `exports` gives for the package itself under the conditions of `import`, which `require.resolve` does not know. */
  readonly entry?: string
}

function readManifest(folder: string): Manifest {
  const file = join(folder, 'package.json')
  if (kindOf(file) !== 'file') return {}
  const content = parseManifest(file)
  const runfcgi = isRecord(content.runfcgi) ? content.runfcgi : {}
  const entry = importEntry(content.exports)
  return {
    ...(typeof runfcgi.app === 'string' && { app: runfcgi.app }),
    ...(typeof content.main === 'string' && { main: content.main }),
    ...(entry !== undefined && { entry }),
  }
}

function parseManifest(file: string): Record<string, unknown> {
  try {
    const content: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return isRecord(content) ? content : {}
  } catch (error) {
    const reason = error instanceof Error ? error.message.replaceAll(/\s+/g, ' ') : String(error)
    throw new LoadError(`cannot read ${file}: ${reason}`, { cause: error })
  }
}

function importEntry(exports: unknown): string | undefined {
  if (typeof exports === 'string') return exports
  if (!isRecord(exports)) return undefined
  for (const condition of ['.', 'node', 'import', 'default']) {
    const entry = importEntry(exports[condition])
    if (entry !== undefined) return entry
  }
  return undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function kindOf(path: string): 'file' | 'folder' | undefined {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return undefined
  return stats.isDirectory() ? 'folder' : 'file'
}

/** What was looked at in a folder, for the message that nothing was there. */
function searched(folder: string): string {
  const names = `{${basenames.join(',')}}.{${extensions.join(',')}}`
  const tried = `tried runfcgi.app in package.json, ${names}, main in package.json`
  return hasTypeScript(folder) && !runsTypeScript ? `${tried}; there is TypeScript, but ${typescriptHint()}` : tried
}

function hasTypeScript(folder: string): boolean {
  return basenames.some(basename =>
    typed.some(extension => kindOf(join(folder, `${basename}.${extension}`)) === 'file'),
  )
}

function missing(path: string, cwd: string): string {
  const suffix = `{${['', ...extensions.map(extension => `.${extension}`)].join(',')}}`
  const files = `no file ${resolve(cwd, path)}${extname(path) === '' ? suffix : ''}`
  return path.startsWith('.') || isAbsolute(path)
    ? files
    : `${files}, no package ${JSON.stringify(path)} seen from ${cwd}`
}
