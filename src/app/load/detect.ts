/**
 * Which of the three callables a module's exports are. THE RULE (the README tells it in the same words):
 *
 *   1. The export named on the command line (`./app.js:name`), if one is named, and no other.
 *   2. Else the export `application`, if there is one.
 *   3. Else the default export, which in CommonJS is `module.exports`.
 *
 * A promise is awaited. What the export is decides the interface, unless `interface=` says it:
 *
 *   an http.Server, an Express, Connect, Koa or Fastify application   → node
 *   another object with a method `fetch` (Hono)                       → fetch
 *   a function named `application`                                    → wsgi
 *   a function with two parameters or more                            → node
 *   a function with one parameter                                     → fetch
 *   a function without parameters                                     → an error: say interface=
 *
 * A WSGI-style function under another name therefore needs `interface=wsgi`. With `interface=node` or `interface=fetch` the
 * default export goes before `application`, so that one file may offer both.
 *
 * Besides, a function that is exported as `authorizer` answers requests of the role Authorizer. It is never the application.
 *
 * Knows shapes only: imports no framework, runs nothing.
 */

import type { InterfaceName } from '../exchange.ts'
import { isFastify, isHttpServer, isKoa } from './frameworks.ts'
import { LoadError } from './load-error.ts'

export type InterfaceChoice = InterfaceName | 'auto'

export interface Detected {
  readonly interface: InterfaceName
  readonly callable: unknown
  /** The line of the rule that matched, for people: `default export, a Koa application`. */
  readonly rule: string
}

/** A module namespace object, or the `module.exports` of CommonJS. */
export type Exports = Readonly<Record<string, unknown>>

interface Shape {
  readonly interface: InterfaceName
  readonly name: string
  matches(value: unknown): boolean
}

/** How many names a message holds. */
const LISTED = 12

const isFunction = (value: unknown): value is (...args: unknown[]) => unknown => typeof value === 'function'
const isHolder = (value: unknown): value is Exports =>
  (typeof value === 'object' && value !== null) || isFunction(value)
const has = (value: unknown, ...methods: string[]): boolean =>
  isHolder(value) && methods.every(method => isFunction(value[method]))

/** Applications of known make, more particular ones first. */
const frameworks: readonly Shape[] = [
  { interface: 'node', name: 'an http.Server', matches: isHttpServer },
  { interface: 'node', name: 'a Fastify application', matches: isFastify },
  { interface: 'node', name: 'a Koa application', matches: isKoa },
  {
    interface: 'node',
    name: 'an Express or Connect application',
    matches: value => isFunction(value) && has(value, 'handle', 'use'),
  },
  { interface: 'fetch', name: 'an object with fetch()', matches: value => has(value, 'fetch') },
]

const functions: readonly Shape[] = [
  {
    interface: 'node',
    name: 'a function (request, response)',
    matches: value => isFunction(value) && value.length >= 2,
  },
  { interface: 'fetch', name: 'a function (request)', matches: value => isFunction(value) && value.length === 1 },
]

/** What `interface=` accepts, whatever the number of parameters. */
const plainFunction = (name: InterfaceName): Shape => ({ interface: name, name: 'a function', matches: isFunction })

const isClass = (value: unknown): boolean =>
  isFunction(value) && /^class\b/.test(Function.prototype.toString.call(value))

/**
 * Applies the rule.
 * @throws LoadError when the export is missing or of no use; `undefined` is returned when the module exports nothing to judge
 */
export async function detect(
  exports: Exports,
  exportName: string | undefined,
  choice: InterfaceChoice,
): Promise<Detected | undefined> {
  const candidates = exportName === undefined ? defaultNames(choice) : [exportName]
  const name = candidates.find(candidate => !isNothing(lookUp(exports, candidate)))
  if (name === undefined) {
    if (exportName !== undefined)
      throw new LoadError(`no export ${JSON.stringify(exportName)}; ${listExports(exports)}`)
    return undefined
  }
  const label = name === 'default' ? 'default export' : `export ${name}`
  return judge(await lookUp(exports, name), label, choice, name === 'application')
}

/**
 * The second half of the rule: what a value is.
 * @param label what the value is to the person, for messages: `default export`
 * @param wsgi whether a plain function is a WSGI-style callable
 * @throws LoadError when it is none of the three
 */
export function judge(callable: unknown, label: string, choice: InterfaceChoice, wsgi = false): Detected {
  const shape = isClass(callable) ? undefined : shapes(choice, wsgi).find(candidate => candidate.matches(callable))
  if (shape === undefined) throw new LoadError(`the ${label} is ${describe(callable)}${advice(callable, choice)}`)
  const said = choice === 'auto' ? '' : `, interface=${choice}`
  return { interface: shape.interface, callable, rule: `${label}, ${shape.name}${said}` }
}

/** The export for the role Authorizer. What is no function is something else of that name. */
export const AUTHORIZER = 'authorizer'

/** Only what the module itself exports: a framework may hang something of that name on its application. */
export function findAuthorizer(exports: Exports): unknown {
  const main = exports.default
  const holder = !Object.hasOwn(exports, AUTHORIZER) && isPlainObject(main) ? main : exports
  const found = Object.hasOwn(holder, AUTHORIZER) ? holder[AUTHORIZER] : undefined
  return isFunction(found) && !isClass(found) ? found : undefined
}

/** The names of the exports; of a CommonJS module, or of a plain object exported as default, the names in it. */
export function exportNames(exports: Exports): string[] {
  const main = exports.default
  const inner = isPlainObject(main) ? Object.keys(main) : undefined
  // Of CommonJS also what looks like an export and is none, yet.
  const given = Object.keys(exports).filter(name => exports[name] !== undefined)
  const outer = given.filter(name => name !== 'default' || (inner === undefined && !isNothing(main)))
  return [...new Set([...outer, ...(inner ?? [])])].filter(name => name !== '__esModule' && name !== 'module.exports')
}

/** The exports there are, for the message that the right one is missing. */
export function listExports(exports: Exports): string {
  const names = exportNames(exports)
  return names.length === 0 ? 'it exports nothing' : `it exports ${names.slice(0, LISTED).join(', ')}`
}

function defaultNames(choice: InterfaceChoice): readonly string[] {
  return choice === 'node' || choice === 'fetch' ? ['default', 'application'] : ['application', 'default']
}

function shapes(choice: InterfaceChoice, wsgi: boolean): readonly Shape[] {
  if (choice === 'auto') return wsgi ? [...frameworks, plainFunction('wsgi')] : [...frameworks, ...functions]
  if (choice === 'wsgi') return [plainFunction('wsgi')]
  return [...frameworks.filter(shape => shape.interface === choice), plainFunction(choice)]
}

/**
 * An export by name. CommonJS shows only some of its names to `import`, and a compiled ES module hides its default in
 * `default.default`; so what is not found outside is looked for inside.
 */
function lookUp(exports: Exports, name: string): unknown {
  const main = exports.default
  if (name === 'default') return isHolder(main) && main.__esModule === true ? main.default : main
  if (Object.hasOwn(exports, name)) return exports[name]
  return isHolder(main) && Object.hasOwn(main, name) ? main[name] : undefined
}

const isPlainObject = (value: unknown): value is Exports =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** An empty object is what `module.exports` is when nobody assigns to it. */
function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (isPlainObject(value) && Object.keys(value).length === 0)
}

function describe(value: unknown): string {
  if (isClass(value)) return `the class ${(value as { name: string }).name}`
  if (isFunction(value)) return `a function with ${value.length} parameters`
  if (Array.isArray(value)) return 'an array'
  if (typeof value !== 'object' || value === null) return `a ${typeof value} (${String(value)})`
  const name = classOf(value)
  if (name !== undefined) return `an object of the class ${name}`
  const keys = Object.keys(value).slice(0, LISTED).join(', ')
  return keys === '' ? 'an empty object' : `an object with ${keys}`
}

/** Whose properties are its own business. A name of one letter is what a bundler has left of one. */
function classOf(value: object): string | undefined {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name.length > 1 && name !== 'Object' ? name : undefined
}

function advice(value: unknown, choice: InterfaceChoice): string {
  if (isClass(value)) return ': export an instance of it'
  if (choice !== 'auto') return `, which interface=${choice} cannot run`
  if (isFunction(value) && value.length === 0)
    return ': say interface=wsgi, interface=node or interface=fetch; if it makes the application, export what it returns'
  if (isFunction(value)) return ': say interface=wsgi, interface=node or interface=fetch'
  const starts = isPlainObject(value) ? undefined : ['listen', 'start'].find(name => has(value, name))
  if (starts !== undefined)
    return `, which is no application itself: if its ${starts}() makes a server listen, let the file call that and export nothing`
  return ', which is no application: export a function (req, res), an object with fetch(), or name the export: ./app.js:name'
}
