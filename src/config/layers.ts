/**
 * Where values come from: package.json, the configuration file, the environment, the command line. Each becomes a list
 * of assignments that remember their origin; what a name means and whether a value is good is decided in resolve.ts.
 *
 * Relative paths count from the folder of the file they stand in; those of the environment and of the command line from
 * the directory where the command was typed.
 */

import { existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UsageError } from './errors.ts'

/** From the weakest to the strongest. */
const STRENGTH = ['default', 'package', 'file', 'environment', 'command line'] as const

export interface Origin {
  readonly kind: (typeof STRENGTH)[number]
  /** The path of a file, the name of a variable. */
  readonly name?: string
}

export const DEFAULT: Origin = { kind: 'default' }
const COMMAND_LINE: Origin = { kind: 'command line' }

export const strength = (origin: Origin): number => STRENGTH.indexOf(origin.kind)

/** As it stands in messages: `command line`, `environment RUNFCGI_PORT`, `runfcgi.config.json`. */
export function describeOrigin(origin: Origin): string {
  if (origin.kind === 'environment') return `environment ${origin.name}`
  return origin.name === undefined ? origin.kind : basename(origin.name)
}

/** A setting with the text it is given, before anybody looked at either. */
export interface Assignment {
  readonly name: string
  readonly value: unknown
  readonly origin: Origin
  /** The folder that relative paths count from. */
  readonly base: string
}

export const commandLineLayer = (words: readonly (readonly [string, string])[], cwd: string): Assignment[] =>
  words.map(([name, value]) => ({ name, value, origin: COMMAND_LINE, base: cwd }))

const PREFIX = 'RUNFCGI_'

/** Kubernetes and Docker set such variables in every container when a service happens to be called runfcgi. */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_(HOST|PORT)|_PORT_\d+_/.test(name) || /^(tcp|udp|sctp):\/\//.test(value)

/** `RUNFCGI_<NAME>`; an empty variable counts as not set, as it comes from compose files and unit files. */
export function environmentLayer(env: Readonly<NodeJS.ProcessEnv>, cwd: string): Assignment[] {
  const layer: Assignment[] = []
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || value === undefined || value === '' || isServiceLink(name, value)) continue
    layer.push({
      name: name.slice(PREFIX.length).toLowerCase(),
      value,
      origin: { kind: 'environment', name },
      base: cwd,
    })
  }
  return layer
}

const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''

function parseJson(path: string): unknown {
  try {
    // Editors of Windows put a byte order mark before it.
    return JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${messageOf(error)}`)
  }
}

/** How long a module may take to load, in milliseconds: one that waits for ever would keep the command, or a reload. */
const IMPORT_TIMEOUT_MS = 10_000

let readings = 0

async function importDefault(path: string): Promise<unknown> {
  try {
    // It is read again at a reload, which a module that is known already would not be.
    delete createRequire(path).cache[path]
    const url = `${pathToFileURL(path).href}?${++readings}`
    const loading = import(url).then((module: { readonly default?: unknown }) => module.default ?? module)
    return await within(IMPORT_TIMEOUT_MS, loading)
  } catch (error) {
    throw new UsageError(`cannot load ${path}: ${messageOf(error)}`)
  }
}

async function within<T>(milliseconds: number, loading: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const text = `it has not finished loading after ${milliseconds / 1_000} seconds`
    timer = setTimeout(() => reject(new Error(text)), milliseconds)
  })
  return await Promise.race([loading, late]).finally(() => clearTimeout(timer))
}

function assignmentsOf(values: unknown, origin: Origin, path: string): Assignment[] {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new UsageError(`${path}: must hold an object of settings, such as { "socket": "/tmp/site.sock" }`)
  }
  return Object.entries(values).map(([name, value]) => ({ name, value, origin, base: dirname(path) }))
}

/** The `"runfcgi"` object of the package.json in the directory where the command was typed. */
export function packageLayer(cwd: string): Assignment[] {
  const path = join(cwd, 'package.json')
  if (!existsSync(path)) return []
  const content = parseJson(path)
  if (typeof content !== 'object' || content === null || !('runfcgi' in content)) return []
  return assignmentsOf(content.runfcgi, { kind: 'package', name: path }, path)
}

const FILE_NAMES = ['runfcgi.config.json', 'runfcgi.config.js', 'runfcgi.config.mjs', 'runfcgi.config.cjs']

/** The configuration file of a folder. @throws UsageError when there are two */
export function findFile(cwd: string): string | undefined {
  const found = FILE_NAMES.map(name => join(cwd, name)).filter(path => existsSync(path))
  if (found.length > 1) {
    const names = found.map(path => basename(path)).join(' and ')
    throw new UsageError(`two configuration files, ${names}: keep one, or name it with config=FILE`)
  }
  return found[0]
}

/** The settings in a configuration file: an object as JSON or as the default export of a module. */
export async function fileLayer(path: string): Promise<Assignment[]> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile())
    throw new UsageError(`configuration file ${path}: there is no such file`)
  const values = path.endsWith('.json') ? parseJson(path) : await importDefault(path)
  return assignmentsOf(values, { kind: 'file', name: path }, path)
}
