/**
 * The shape of the tree: which folder of src may import which, where the process is touched, and what lies at the top.
 * Reads the sources as text; comments do not count.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Each part of src and the other parts that it may import. What a part is: see partOf. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  // Runs before the rest, and as other files.
  load: [],
  compile: ['load'],
  fcgi: [],
  cgi: [],
  config: [],
  log: [],
  app: ['cgi'],
  server: ['fcgi', 'cgi', 'app'],
  // A worker thread or process runs the application, and the main thread sends it the pairs as they came.
  process: ['fcgi', 'cgi', 'app', 'server', 'config'],
  front: ['fcgi', 'cgi', 'config'],
  cli: ['fcgi', 'cgi', 'config', 'log', 'app', 'server', 'process', 'front'],
  index: ['fcgi', 'cgi', 'config', 'log', 'app', 'server', 'process', 'front', 'cli'],
}

/** Packages, and the only parts that may import them. */
const PACKAGES: Record<string, readonly string[]> = {
  chokidar: ['process'],
  commander: ['cli'],
  'daemonize-process': ['cli', 'process'],
  pino: ['log'],
  'pino-pretty': ['log'],
  'sonic-boom': ['log'],
  // Speaks with the debugger of a process that hangs.
  ws: ['process'],
}

/** The cores without I/O, clock or logger. */
const PURE = /^src\/(fcgi|cgi)\/|^src\/process\/(pool\/(policy|state|draft)|threads\/(ring|under-way))\.ts$/

interface Import {
  readonly file: string
  readonly from: string
  readonly onlyTypes: boolean
}

interface Source {
  readonly file: string
  readonly text: string
  readonly code: string
}

const sources: Source[] = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .map(name => {
    const text = readFileSync(join(root, 'src', name), 'utf8')
    return { file: `src/${name}`, text, code: text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$|\s\/\/\s.*$/gm, '') }
  })

const imports: Import[] = sources.flatMap(({ file, code }) => [
  ...[...code.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'/gm)].map(([, type, from]) => ({
    file,
    from: from as string,
    onlyTypes: type !== undefined,
  })),
  ...[...code.matchAll(/(?:\bimport\(|\brequire\(|^import)\s*'([^']+)'/gm)].map(([, from]) => ({
    file,
    from: from as string,
    onlyTypes: false,
  })),
])

/** `src/app/node/node.ts` is of the part `app`, `src/cli.ts` and `src/cli/serving/run.ts` of the part `cli`. */
function partOf(file: string): string {
  return (file.split('/')[1] as string).replace(/\.ts$/, '')
}

const isOurs = (from: string) => from.startsWith('.')
const target = ({ file, from }: Import) => normalize(join(dirname(file), from))
const packageOf = (from: string) => from.split('/', from.startsWith('@') ? 2 : 1).join('/')
const show = ({ file, from }: Import) => `${file} imports ${from}`

describe('the dependency rule', () => {
  test('the sources and their imports are found', () => {
    expect(sources.length).toBeGreaterThan(20)
    expect(imports.length).toBeGreaterThan(sources.length)
  })

  test('each part of src is known', () => {
    expect(sources.map(({ file }) => file).filter(file => MAY_IMPORT[partOf(file)] === undefined)).toEqual([])
  })

  test('each part imports only the parts that it may', () => {
    const wrong = imports.filter(found => {
      if (!isOurs(found.from)) return false
      const [from, to] = [partOf(found.file), partOf(target(found))]
      if (to === 'log' && found.onlyTypes) return false
      return from !== to && !MAY_IMPORT[from]?.includes(to)
    })
    expect(wrong.map(show)).toEqual([])
  })

  test('every import of ours names an existing file with its extension', () => {
    const wrong = imports.filter(found => isOurs(found.from) && !existsSync(join(root, target(found))))
    expect(wrong.map(show)).toEqual([])
  })

  test('a package is imported only where it belongs, and each is a dependency', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const wrong = imports.filter(({ file, from }) => {
      if (isOurs(from) || isBuiltin(from)) return false
      const name = packageOf(from)
      return !PACKAGES[name]?.includes(partOf(file)) || !(name in dependencies)
    })
    expect(wrong.map(show)).toEqual([])
  })

  test('modules of Node are imported with the prefix node:', () => {
    const wrong = imports.filter(({ from }) => isBuiltin(from) && !from.startsWith('node:'))
    expect(wrong.map(show)).toEqual([])
  })

  test('no file imports itself through others', () => {
    expect(cycles()).toEqual([])
  })
})

describe('side effects', () => {
  test('process.exit, process.on and process.env appear only in cli and process', () => {
    const uses = /\bprocess\.(exit|exitCode|on|once|env)\b/
    const text = /'[^'\n]*'|`[^`]*`/g
    const below = sources.filter(({ file }) => !['cli', 'process'].includes(partOf(file)))
    expect(below.filter(({ code }) => uses.test(code.replaceAll(text, ''))).map(({ file }) => file)).toEqual([])
    expect(imports.filter(({ from }) => from === 'node:process').map(show)).toEqual([])
  })

  test('nobody writes to the console', () => {
    expect(sources.filter(({ code }) => /\bconsole\./.test(code)).map(({ file }) => file)).toEqual([])
  })

  test('the pure cores know neither I/O nor clock', () => {
    const pure = sources.filter(({ file }) => PURE.test(file))
    const clock = /\bDate\.now\b|\bnew Date\b|\bperformance\b|\bset(Timeout|Interval|Immediate)\b|\bprocess\./
    expect(pure.filter(({ code }) => clock.test(code)).map(({ file }) => file)).toEqual([])
    const modules = imports.filter(({ file, from }) => PURE.test(file) && isBuiltin(from) && from !== 'node:buffer')
    expect(modules.filter(found => !found.onlyTypes).map(show)).toEqual([])
  })
})

describe('the files', () => {
  test('each file of src begins by saying what it knows', () => {
    expect(sources.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text)).map(({ file }) => file)).toEqual([])
  })

  test('comments name files that are there: from the folder of the file on, the one above it, src or the root', () => {
    const named = sources.flatMap(({ file, text }) =>
      [...text.matchAll(/\/\*[\s\S]*?\*\/|\/\/ .*$/gm)].flatMap(([comment]) =>
        (comment.match(/(?:[\w.-]+\/)*[\w-]+\.ts\b/g) ?? []).map(name => ({ file, name })),
      ),
    )
    expect(named.length).toBeGreaterThan(50)
    const places = (file: string) => [dirname(file), dirname(dirname(file)), 'src', '.']
    const wrong = named.filter(({ file, name }) => !places(file).some(place => existsSync(join(root, place, name))))
    expect(wrong).toEqual([])
  })

  test('no file of src has more than 350 lines of code', () => {
    const lines = (code: string) => code.split('\n').filter(line => line.trim() !== '').length
    expect(sources.filter(({ code }) => lines(code) > 350).map(({ file }) => file)).toEqual([])
  })

  test('at the top lies only what the design names', () => {
    const tracked = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).trim().split('\n')
    expect([...new Set(tracked.map(file => file.split('/')[0]))].filter(name => !TOP.has(name as string))).toEqual([])
  })

  test('the lock file holds the packages of every platform, or `npm ci` refuses it', () => {
    const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>
    }
    const locked = (name: string) => Object.keys(packages).some(path => path.endsWith(`node_modules/${name}`))
    const optional = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies),
    )
    expect(optional.length).toBeGreaterThan(10)
    expect(optional.filter(name => !locked(name))).toEqual([])
  })
})

const TOP = new Set([
  ...['package.json', 'package-lock.json', 'README.md', 'LICENSE'],
  ...['tsconfig.json', 'tsconfig.build.json', 'biome.json', 'vitest.config.ts', '.gitignore', '.npmrc'],
  ...['src', 'bin', 'test', 'deploy', '.ci'],
])

/** Each ring of imports (of values: types vanish) once, beginning at its first file. */
function cycles(): string[] {
  const graph = new Map<string, string[]>()
  for (const found of imports.filter(({ from, onlyTypes }) => isOurs(from) && !onlyTypes)) {
    graph.set(found.file, [...(graph.get(found.file) ?? []), target(found)])
  }
  const rings = new Set<string>()
  const done = new Set<string>()
  const visit = (file: string, path: string[]): void => {
    if (path.includes(file)) rings.add([...path.slice(path.indexOf(file)), file].join(' -> '))
    if (path.includes(file) || done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return [...rings]
}
