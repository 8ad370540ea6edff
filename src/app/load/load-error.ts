/**
 * Why an application could not be loaded, in one line: what was tried, what Node said, where in the person's own file.
 *
 * Node tells the place of an error in three different ways (a stack, a line put before the stack, or, for the syntax of
 * an ES module, not at all); here they become one.
 */

import { spawnSync } from 'node:child_process'
import { relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { OWN_CODE } from '../own-code.ts'

/** The application could not be found, loaded or understood. `message` is one line; `cause` is what Node threw, if it threw. */
export class LoadError extends Error {
  override readonly name = 'LoadError'
}

/** How long the search for the line of a syntax error may take. */
const SYNTAX_CHECK_MS = 5_000

/** A path as the person would write it. */
export function shortPath(file: string, cwd: string): string {
  const short = relative(cwd, file)
  return short === '' || short.startsWith('..') ? file : short
}

/** What importing `file` threw, as a LoadError. */
export function loadFailure(thrown: unknown, file: string, cwd: string): LoadError {
  const short = shortPath(file, cwd)
  return new LoadError(`cannot load ${short}: ${describe(thrown, file, cwd)}`, { cause: thrown })
}

function describe(thrown: unknown, file: string, cwd: string): string {
  if (!(thrown instanceof Error)) return `it threw ${inspect(thrown, { depth: 0, breakLength: Infinity })}`
  const code = 'code' in thrown ? thrown.code : undefined
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && /\.[cm]?ts\b/.test(thrown.message)) return typescriptHint()
  const place = placeOf(thrown, file)
  const text = `${thrown.name}: ${firstLine(thrown.message)}`
  const hint = hintFor(code, thrown.message)
  return place === undefined ? text + hint : `${text} (${shortPath(place.file, cwd)}:${place.line})${hint}`
}

/** Node 22.18 and later strip types; before that somebody has to compile, or register a loader such as tsx. */
export function typescriptHint(): string {
  return `Node ${process.versions.node} does not run TypeScript: compile it, use Node 22.18 or later, or set NODE_OPTIONS="--import tsx"`
}

function firstLine(text: string): string {
  const end = text.indexOf('\n')
  return end < 0 ? text : text.slice(0, end)
}

function hintFor(code: unknown, message: string): string {
  if (isMissingPackage(code, message)) return ' (is it installed? try npm install)'
  if (code === 'ERR_WORKER_UNSUPPORTED_OPERATION')
    return message.includes('chdir')
      ? ' (all threads are in one folder: name it with workdir=, or use method=prefork)'
      : ' (threads cannot do that: use method=prefork)'
  // One server is taken over; a second one, for metrics say, is opened for real.
  if (code === 'EADDRINUSE') return ' (each child opens the ports of the application, and only one can have them)'
  return ''
}

function isMissingPackage(code: unknown, message: string): boolean {
  if (code !== 'MODULE_NOT_FOUND' && code !== 'ERR_MODULE_NOT_FOUND') return false
  return /Cannot find (?:package|module) '[^./]/.test(message)
}

interface Place {
  readonly file: string
  readonly line: string
}

function placeOf(error: Error, file: string): Place | undefined {
  const stack = error.stack ?? ''
  const before = placeBefore(stack)
  if (before !== undefined) return before
  const inStack = placeInStack(stack)
  if (inStack !== undefined) return inStack
  return error instanceof SyntaxError ? placeBefore(checkSyntax(file)) : undefined
}

/** `file:line` on a line of its own before the source line it points at. */
function placeBefore(text: string): Place | undefined {
  const found = /^((?:file:\/\/)?\/.+):(\d+)$/m.exec(text)
  return found === null ? undefined : { file: toPath(found[1]!), line: found[2]! }
}

/** The innermost frame in a file of the person's own. */
function placeInStack(stack: string): Place | undefined {
  for (const frame of stack.split('\n')) {
    const found = /^ +at (?:.+ \()?(?:async )?((?:file:\/\/)?\/[^()]+):(\d+):\d+\)?$/.exec(frame)
    if (found !== null && !frame.includes('/node_modules/') && !isOurs(found[1]!)) {
      return { file: toPath(found[1]!), line: `${found[2]}` }
    }
  }
  return undefined
}

function isOurs(place: string): boolean {
  return (place.startsWith('file:') ? place : pathToFileURL(place).href).startsWith(OWN_CODE)
}

function toPath(place: string): string {
  return place.startsWith('file:') ? fileURLToPath(place) : place
}

/**
 * Node keeps the place of a syntax error in an ES module for its own last words, so a second Node is asked. It links the
 * whole graph of static imports before it runs any of it, and the first thing it would run ends it.
 */
function checkSyntax(file: string): string {
  const script = `import 'data:text/javascript,process.exit()'\nimport ${JSON.stringify(pathToFileURL(file).href)}`
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: SYNTAX_CHECK_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return stderr ?? ''
}
