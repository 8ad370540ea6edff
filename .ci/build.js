/**
 * Makes dist of src: tsc checks and writes the types, rolldown writes what is run. Two hundred small modules would be half
 * of the time that a start takes, so they are put together into some twenty files, by what is loaded together.
 *
 * V8's code for them is made as well (src/compile.ts). The files are CommonJS: the loader of ES modules takes Node 20 another
 * 7 ms in each process and thread, and many of them never need it. The application is imported as what it is. `import
 * 'runfcgi'` finds an ES module.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { parseAst } from 'rolldown/parseAst'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')

/** What is started, or loaded by its name. */
const ENTRIES = {
  cli: 'src/cli.ts',
  index: 'src/index.ts',
  load: 'src/load.ts',
  compile: 'src/compile.ts',
  'parts/thread': 'src/process/threads/thread.ts',
  'parts/worker': 'src/process/workers/worker.ts',
}

/** What Node itself is to run: all that these files do is to load another (src/load.ts). */
const STARTED = { 'process/thread': 'parts/thread', 'process/worker': 'parts/worker' }

/**
 * Modules that share a file, together with what they import; the first match counts. All others share one with those that
 * the same entries and dynamic imports lead to. Files lie one folder below dist, as modules do below src, so that paths
 * from `import.meta.url` stay right.
 */
const FILES = {
  /** What the command does before it has read anything else. */
  first: /\/src\/process\/threads\/bare-thread\.ts$/,
  /** To load an application and to understand requests: every process and thread that runs one. */
  application:
    /\/src\/(app\/(load\/load|streams|abort)|cgi\/(plan|request|reply)|fcgi\/pairs|process\/(pool\/child|uncaught|standard-streams))\.ts$/,
  /** Whatever has to do with sockets. */
  sockets:
    /\/src\/(server\/(clients|tally|thrown|sockets\/(address|last-connections))|process\/(passing|parent-channel|redirect|queue|loop-meter|workers\/inspected|workers\/messages|daemon\/account))\.ts$/,
  /** Connections and FastCGI. */
  responder: /\/src\/server\/(responder|access-log)\.ts$/,
  /** Every command: the words of the command line, and the settings. */
  command: /\/src\/(cli\/(main|argv|commands|errors|settings|commands\/start)|process\/daemon\/starter)\.ts$/,
  /** Whatever the method is. */
  serving: /\/src\/(cli\/(serving\/begin|load)|server\/sockets\/listen)\.ts$/,
  /** Several children, be they threads or processes. */
  pool: /\/src\/(cli\/engines\/(reloading|engine)|process\/pool\/supervisor)\.ts$/,
}

/** Modules of Node that most starts can do without: required where they are used. */
const RARE = ['child_process', 'crypto', 'dns/promises', 'os', 'timers/promises', 'tty', 'v8', 'worker_threads']

/** What rolldown writes and no option of it changes: loading less, and less at once, is most of what a start takes. */
const lighter = {
  name: 'lighter',
  renderChunk(code, { name }) {
    const chunk = new Chunk(code)
    for (const statement of chunk.program.body) {
      requireWhereUsed(chunk, statement)
      exportAsIs(chunk, statement)
    }
    requireOurs(chunk)
    if (name !== 'load') importByLoader(chunk)
    return chunk.text()
  },
}

class Chunk {
  #edits = []

  constructor(code) {
    this.code = code
    this.program = parseAst(code)
    this.nodes = [...nodesIn(this.program)]
  }

  replace({ start, end }, text) {
    this.#edits.push({ start, end, text })
  }

  text() {
    const edits = this.#edits.toSorted((one, other) => other.start - one.start)
    return edits.reduce((text, edit) => text.slice(0, edit.start) + edit.text + text.slice(edit.end), this.code)
  }
}

function* nodesIn(value) {
  if (typeof value !== 'object' || value === null) return
  if (typeof value.type === 'string') yield value
  for (const inner of Object.values(value)) yield* nodesIn(inner)
}

const isCallOf = (node, name) => node?.type === 'CallExpression' && node.callee.name === name

/** `let node_os = require("node:os")`: taken away, and required again at each `node_os.tmpdir`. */
function requireWhereUsed(chunk, statement) {
  const { id, init } = statement.declarations?.[0] ?? {}
  if (!isCallOf(init, 'require') || !RARE.some(name => init.arguments[0].value === `node:${name}`)) return
  const uses = chunk.nodes.filter(({ type, object }) => type === 'MemberExpression' && object.name === id.name)
  const named = chunk.nodes.filter(({ type, name }) => type === 'Identifier' && name === id.name)
  if (named.length !== uses.length + 1) throw new Error(`${id.name} is used as a whole: it cannot be required late`)
  chunk.replace({ start: statement.start, end: statement.end + 1 }, '')
  for (const { object } of uses) chunk.replace(object, `(${chunk.code.slice(init.start, init.end)})`)
}

/** `Object.defineProperty(exports, 'x', { get })`, for a value that may change later: a plain property costs less. */
function exportAsIs(chunk, statement) {
  const [target, name, descriptor] = statement.expression?.arguments ?? []
  if (target?.name !== 'exports' || descriptor?.type !== 'ObjectExpression') return
  const getter = descriptor.properties.find(({ key }) => key.name === 'get')
  const value = getter?.value.body.body[0].argument.name
  const changes = ({ type, left, argument }) =>
    (type === 'AssignmentExpression' && left.name === value) || (type === 'UpdateExpression' && argument.name === value)
  if (value !== undefined && !chunk.nodes.some(changes)) chunk.replace(statement, `exports.${name.value} = ${value};`)
}

const isOfOurs = ({ source }) => /^\..*\.cjs$/.test(source.value)
const importsIn = ({ nodes }) => nodes.filter(({ type }) => type === 'ImportExpression')

/** `import(file)`, which files that are loaded with their code do not have. */
function importByLoader(chunk) {
  for (const node of importsIn(chunk).filter(found => !isOfOurs(found)))
    chunk.replace({ start: node.start, end: node.source.start }, '(0, require("../load.cjs").importModule)(')
}

/** `import("./target.cjs")` of a file that we write: the loader of ES modules would be loaded for it. */
function requireOurs(chunk) {
  for (const node of importsIn(chunk).filter(isOfOurs)) {
    chunk.replace(
      node,
      `Promise.resolve().then(() => require(${chunk.code.slice(node.source.start, node.source.end)}))`,
    )
  }
}

async function bundle() {
  const external = id => !/^\.|\/src\//.test(id)
  const built = await rolldown({
    cwd: root,
    input: ENTRIES,
    external,
    platform: 'node',
    tsconfig: false,
    plugins: [lighter],
    // One command asks at run time for what another one has anyway.
    checks: { ineffectiveDynamicImport: false },
  })
  const { output } = await built.write({
    dir: dist,
    format: 'cjs',
    strict: true,
    entryFileNames: '[name].cjs',
    chunkFileNames: 'parts/[name].cjs',
    codeSplitting: { groups: Object.entries(FILES).map(([name, test], at) => ({ name, test, priority: 10 - at })) },
  })
  const { exports } = output.find(({ fileName }) => fileName === 'index.cjs')
  writeFileSync(join(dist, 'index.js'), `export { ${exports.join(', ')} } from './index.cjs'\n`)
  mkdirSync(join(dist, 'process'), { recursive: true })
  for (const [name, file] of Object.entries(STARTED))
    writeFileSync(join(dist, `${name}.cjs`), `require('../load.cjs').load('${file}.cjs')\n`)
  return output
}

/** What reaches itself would see half of what the other file exports. */
function refuseRings(files) {
  const importsOf = new Map(files.map(({ fileName, imports }) => [fileName, imports]))
  const visit = (name, path) => {
    if (path.includes(name)) throw new Error(`files that import each other: ${[...path, name].join(' -> ')}`)
    for (const next of importsOf.get(name) ?? []) visit(next, [...path, name])
  }
  for (const name of importsOf.keys()) visit(name, [])
}

async function run(...args) {
  const [code] = await once(spawn(process.execPath, args, { cwd: root, stdio: 'inherit' }), 'exit')
  if (code !== 0) process.exit(code)
}

const check = () => run(join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json')

/** What is left of an earlier build. */
function removeOlder(than) {
  for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    const file = statSync(join(dist, name), { throwIfNoEntry: false })
    if (file?.isFile() && file.mtimeMs < than) rmSync(join(dist, name))
  }
}

const started = Date.now()
const [files] = await Promise.all([bundle(), check()])
refuseRings(files)
removeOlder(started)
await run(join(dist, 'compile.cjs'))
if (process.argv.includes('--verbose'))
  for (const { fileName, code, imports } of files)
    console.log(fileName.padEnd(28), String(code.length).padStart(7), ...imports.filter(name => name.endsWith('.cjs')))
