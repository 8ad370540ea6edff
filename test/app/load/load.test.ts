import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { bundled } from '../../support/bundled.ts'
import { type Project, project } from '../../support/project.ts'

const program = await bundled('test/support/programs/load-application.js')
const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url))
const run = promisify(execFile)

interface Outcome {
  readonly interface?: string
  readonly source?: { readonly file: string; readonly rule: string; readonly notListening?: string }
  readonly reply?: string
  readonly error?: { readonly name: string; readonly message: string; readonly cause?: string }
  /** What the application printed. */
  readonly printed: string
}

type Files = Readonly<Record<string, string | object>>

/** Loads an application from a folder with these files, in a process of its own, and sends `GET /` to it. */
async function load(files: Files, request: object = {}): Promise<Outcome> {
  using there = project(files)
  return await loadIn(there, request)
}

async function loadIn(there: Project, request: object): Promise<Outcome> {
  const asked = JSON.stringify({ cwd: there.folder, ...request })
  // The frameworks, for files outside the repository: CommonJS finds them by NODE_PATH, ES modules by their paths.
  const { stdout } = await run(process.execPath, [program, asked], { env: { ...process.env, NODE_PATH: modules } })
  const lines = stdout.trimEnd().split('\n')
  const outcome = JSON.parse((lines.pop() ?? '').replaceAll(there.folder, '<cwd>')) as Outcome
  return { ...outcome, printed: lines.join('\n').trim() }
}

const body = (outcome: Outcome): string | undefined => outcome.reply?.slice(outcome.reply.indexOf('\r\n\r\n') + 4)

/** An import statement for a package of this repository. */
const imports = (name: string, pkg: string): string =>
  `import ${name} from ${JSON.stringify(`file://${modules}/${pkg}`)}\n`

describe('an application is loaded and answers', () => {
  const applications: readonly (readonly [string, string, string, string])[] = [
    [
      'app.js',
      `export function application(environ, startResponse) { startResponse('200 OK', []); return ['wsgi'] }`,
      'wsgi',
      'export application, a function',
    ],
    [
      'app.mjs',
      `export default (req, res) => res.end('node')`,
      'node',
      'default export, a function (request, response)',
    ],
    [
      'app.cjs',
      `module.exports = (req, res) => res.end('node')`,
      'node',
      'default export, a function (request, response)',
    ],
    [
      'app.mjs',
      `export default { fetch: () => new Response('fetch') }`,
      'fetch',
      'default export, an object with fetch()',
    ],
    ['app.cjs', `exports.fetch = () => new Response('fetch')`, 'fetch', 'default export, an object with fetch()'],
    [
      'app.cjs',
      `exports.application = (environ, startResponse) => { startResponse('200 OK', []); return ['wsgi'] }`,
      'wsgi',
      'export application, a function',
    ],
    [
      'app.cjs',
      `const express = require('express'); const app = module.exports = express(); app.get('/', (q, s) => s.send('node'))`,
      'node',
      'default export, an Express or Connect application',
    ],
    [
      'app.cjs',
      `const Koa = require('koa'); const app = module.exports = new Koa(); app.use(c => { c.body = 'node' })`,
      'node',
      'default export, a Koa application',
    ],
    [
      'app.cjs',
      `const app = module.exports = require('fastify')(); app.get('/', async () => 'node')`,
      'node',
      'default export, a Fastify application',
    ],
    [
      'app.mjs',
      `${imports('{ Hono }', 'hono/dist/index.js')}export default new Hono().get('/', c => c.text('fetch'))`,
      'fetch',
      'default export, an object with fetch()',
    ],
    [
      'app.mjs',
      `import { createServer } from 'node:http'\nexport default createServer((req, res) => res.end('node'))`,
      'node',
      'default export, an http.Server',
    ],
  ]
  test.each(applications)('%s: %s', async (file, source, name, rule) => {
    const outcome = await load({ [file]: source })
    expect(outcome.error).toBeUndefined()
    expect([outcome.interface, outcome.source, body(outcome)]).toEqual([name, { file: `<cwd>/${file}`, rule }, name])
  })

  test('by a reference with an export and an interface', async () => {
    const files = { 'web/site.mjs': `export const admin = () => new Response('admin')` }
    const outcome = await load(files, { app: './web/site:admin', interface: 'fetch' })
    expect([outcome.source?.rule, body(outcome)]).toEqual(['export admin, a function, interface=fetch', 'admin'])
  })

  test('with the light Response as the global one if it is a fetch handler, with the genuine one else', async () => {
    const name = `Object.getOwnPropertyDescriptor(Response.prototype, 'native') ? 'light' : 'genuine'`
    expect(body(await load({ 'app.mjs': `export default { fetch: () => new Response(${name}) }` }))).toBe('light')
    expect(body(await load({ 'app.mjs': `export default (req, res) => res.end(${name})` }))).toBe('genuine')
  })
})

describe('an application that listens by itself', () => {
  const hello = `(req, res) => res.end('hello')`
  const tutorials: readonly (readonly [string, string, string])[] = [
    ['node:http', `require('node:http').createServer(${hello}).listen(3000)`, 'port 3000'],
    ['node:http with a host', `require('node:http').createServer(${hello}).listen(3000, '127.0.0.1')`, 'port 3000'],
    ['node:http with options', `require('node:http').createServer(${hello}).listen({ port: '8080' })`, 'port 8080'],
    ['node:http on a socket', `require('node:http').createServer(${hello}).listen('/tmp/x.sock')`, '/tmp/x.sock'],
    ['node:https', `require('node:https').createServer({}, ${hello}).listen(443)`, 'port 443'],
    ['node:http2', `require('node:http2').createServer(${hello}).listen(3000)`, 'port 3000'],
    [
      'node:http2 with TLS, for HTTP/1.1 as well',
      `require('node:http2').createSecureServer({ allowHTTP1: true }, ${hello}).listen(443)`,
      'port 443',
    ],
    ['Express', `const app = require('express')(); app.get('/', ${hello}); app.listen(3000)`, 'port 3000'],
    ['Koa', `const app = new (require('koa'))(); app.use(c => { c.body = 'hello' }); app.listen(3000)`, 'port 3000'],
    [
      'Fastify',
      `const app = require('fastify')(); app.get('/', async () => 'hello')
       const start = async () => { try { await app.listen({ port: 3000 }) } catch (error) { process.exit(1) } }
       start()`,
      'port 3000',
    ],
    [
      'after a while, beside exports',
      `exports.ready = new Promise(resolve => setTimeout(resolve, 300))
       exports.ready.then(() => require('node:http').createServer(${hello}).listen(3000))`,
      'port 3000',
    ],
    ['after a while', `setTimeout(() => require('node:http').createServer(${hello}).listen(3000), 50)`, 'port 3000'],
  ]
  test.each(tutorials)('is served through its server: %s', async (_name, source, notListening) => {
    const outcome = await load({ 'app.cjs': source })
    expect(outcome.error).toBeUndefined()
    expect([outcome.source, body(outcome)]).toEqual([
      { file: '<cwd>/app.cjs', rule: 'no export, an http.Server that called listen()', notListening },
      'hello',
    ])
  })

  const hono = `${imports('{ serve }', '@hono/node-server/dist/index.mjs')}${imports('{ Hono }', 'hono/dist/index.js')}
    const app = new Hono().get('/', c => c.text('hello', 200, { 'x-class': c.res.constructor.name }))
    serve(app)\n`

  test('with @hono/node-server is served through that', async () => {
    const outcome = await load({ 'app.mjs': hono })
    expect([outcome.source?.rule, body(outcome)]).toEqual(['no export, an http.Server that called listen()', 'hello'])
  })

  test('with @hono/node-server, and exports its application, is served directly', async () => {
    const outcome = await load({ 'app.mjs': `${hono}export default app` })
    expect([outcome.source?.rule, outcome.source?.notListening]).toEqual([
      'default export, an object with fetch()',
      'port 3000',
    ])
    expect(outcome.reply?.toLowerCase().split('\r\n')).toEqual(
      expect.arrayContaining([
        'status: 200 ok',
        'content-type: text/plain; charset=utf-8',
        'content-length: 5',
        'hello',
      ]),
    )
  })

  test('is told that it listens', async () => {
    const source = `import { createServer } from 'node:http'
      const server = createServer((req, res) => res.end('hello'))
      server.on('listening', () => console.log('event'))
      server.listen(3000, '::1', () => console.log('callback', JSON.stringify(server.address())))`
    const { printed } = await load({ 'app.mjs': source })
    expect(printed).toBe('event\ncallback {"address":"::1","family":"IPv6","port":3000}')
  })

  test('may wait for that with a top-level await', async () => {
    const source = `${imports('fastify', 'fastify/fastify.js')}
      const app = fastify()
      app.get('/', async () => 'hello')
      console.log(await app.listen({ port: 3000 }))`
    const outcome = await load({ 'app.mjs': source })
    expect([body(outcome), outcome.printed]).toEqual(['hello', 'http://127.0.0.1:3000'])
  })

  test('is served through its export if it has one, and the port stays closed', async () => {
    const sources = [
      `const app = require('express')(); app.get('/', (q, s) => s.send('hello')); app.listen(PORT); module.exports = app`,
      `const app = new (require('koa'))(); app.use(c => { c.body = 'hello' }); app.listen(PORT); module.exports = app`,
      `const app = require('fastify')(); app.get('/', async () => 'hello'); app.listen({ port: PORT }); module.exports = app`,
      `module.exports = require('node:http').createServer((q, s) => s.end('hello')).listen(PORT)`,
    ]
    for (const source of sources) {
      const { source: loaded, ...outcome } = await load({ 'app.cjs': source.replace('PORT', '3000') })
      expect([loaded?.rule.startsWith('default export'), loaded?.notListening, body(outcome)]).toEqual([
        true,
        'port 3000',
        'hello',
      ])
    }
  })

  test('is served through its server if there is more to that than what it exports: Socket.IO hides it so', async () => {
    const source = `const app = module.exports = require('express')()
      const server = app.listen(3000)
      const [hidden] = server.listeners('request')
      server.removeAllListeners('request').on('request', (req, res) => req.url === '/' ? res.end('hello') : hidden(req, res))`
    const { source: loaded, ...outcome } = await load({ 'app.cjs': source })
    expect([loaded?.rule, loaded?.notListening, body(outcome)]).toEqual([
      'default export, an Express or Connect application, through its http.Server',
      'port 3000',
      'hello',
    ])
  })

  test.each([
    ['keeps the port closed', 'for the application that it exports', 'app', 'true'],
    ['opens another port', 'for something else', '() => {}', 'false'],
  ])('%s when it listens only after it was loaded, %s', async (_does, _what, listener, closed) => {
    const source = `const app = module.exports = (req, res) => {
        const server = require('node:http').createServer(${listener})
        server.listen(0, '127.0.0.1', () => res.end(String(server._handle === null)))
      }`
    expect(body(await load({ 'app.cjs': source }))).toBe(closed)
  })

  test('may open another server besides the application that it exports', async () => {
    const source = `import { createServer, get } from 'node:http'
      const metrics = createServer((req, res) => res.end('metrics')).listen(0, '127.0.0.1')
      const ask = res => get({ port: metrics.address().port }, up => up.pipe(res))
      export default (req, res) => metrics.listening ? ask(res) : metrics.once('listening', () => ask(res))`
    const outcome = await load({ 'app.mjs': source })
    expect([body(outcome), outcome.source?.notListening]).toEqual(['metrics', undefined])
  })

  test('may take its time as long as it is at something', async () => {
    const source = `const { setTimeout } = require('node:timers/promises')
      const start = async () => {
        if (process.pid === 0) exports.start = start
        for (let i = 0; i < 10; i++) await setTimeout(50)
        require('node:http').createServer(${hello}).listen(3000)
      }
      start()`
    const outcome = await load({ 'app.cjs': source }, { listenTimeout: 100 })
    expect([outcome.error, body(outcome)]).toEqual([undefined, 'hello'])
  })

  test('but not for ever', async () => {
    const message = 'app.cjs: it exports nothing and calls listen() on no HTTP server'
    const { error } = await load({ 'app.cjs': 'setInterval(() => {}, 50)' }, { listenTimeout: 20, loadTimeout: 200 })
    expect(error?.message).toContain(message)
  })

  test('is told not to start workers of its own', async () => {
    const source = `import cluster from 'node:cluster'
      cluster.setupPrimary({ exec: '/dev/null' })
      cluster.fork()`
    const { error } = await load({ 'app.mjs': source })
    expect(error?.message).toBe(
      'app.mjs: it starts workers of its own (node:cluster), as runfcgi does: let it only listen, and say maxchildren=',
    )
  })

  test('may open another server for streams of HTTP/2, before or after', async () => {
    const http = `require('node:http').createServer((req, res) => res.end(typeof grpc.address().port)).listen(3000)`
    const grpc = `const grpc = require('node:http2').createServer().on('stream', stream => stream.end()).listen(0, '127.0.0.1')`
    for (const source of [`${grpc}; ${http}`, `${http}; ${grpc}`]) {
      const outcome = await load({ 'app.cjs': source })
      expect([outcome.source?.notListening, body(outcome)]).toEqual(['port 3000', 'number'])
    }
  })

  test('and then cannot be loaded opens nothing', async () => {
    const source = `const server = require('node:http').createServer(() => {}).listen(0)
      server.on('listening', () => console.log('listening'))
      throw new Error('too late')`
    const { error, printed } = await load({ 'app.cjs': source })
    expect([error?.message, printed]).toEqual(['cannot load app.cjs: Error: too late (app.cjs:3)', ''])
  })

  test.each([
    ['require.main', 'app.cjs', `if (require.main === module) require('http').createServer().listen(3000)`],
    ['import.meta.main', 'app.mjs', `if (import.meta.main === 'never') {}`],
  ])('or does so only if it is the main module, is told that it is not: %s', async (asks, name, text) => {
    const { error } = await load({ [name]: text }, { listenTimeout: 20 })
    expect(error?.message).toBe(
      `${name}: it exports nothing and calls listen() on no HTTP server: export your application (export default app), ` +
        `or let it listen without asking for ${asks}, which is not its own here`,
    )
  })

  test('or does not, and exports nothing, is told what to do', async () => {
    const { error } = await load({ 'app.mjs': 'const app = 1' }, { listenTimeout: 20 })
    expect(error).toEqual({
      name: 'LoadError',
      message:
        'app.mjs: it exports nothing and calls listen() on no HTTP server: export your application (export default app)',
    })
  })
})

describe('an application that cannot be loaded is a LoadError of one line', () => {
  const cases: readonly (readonly [string, Files, object, string, cause?: string])[] = [
    ['no file', {}, { app: './nope.js' }, 'no application "./nope.js": no file <cwd>/nope.js'],
    [
      'no file, and where it was said',
      {},
      { app: './nope.js', origin: 'RUNFCGI_APP' },
      'no application "./nope.js": no file <cwd>/nope.js (from RUNFCGI_APP)',
    ],
    [
      'throws while it loads',
      { 'app.mjs': `function connect() {\n  throw new RangeError('too far\\nand more')\n}\nconnect()` },
      {},
      'cannot load app.mjs: RangeError: too far (app.mjs:2)',
      'RangeError',
    ],
    [
      'throws in a module that it imports',
      { 'app.mjs': `import './lib/db.mjs'`, 'lib/db.mjs': `\nnull.x` },
      {},
      "cannot load app.mjs: TypeError: Cannot read properties of null (reading 'x') (lib/db.mjs:2)",
      'TypeError',
    ],
    [
      'throws in a package, called from its own file',
      {
        'app.cjs': `\nrequire('bad')()`,
        'node_modules/bad/index.js': `module.exports = () => { throw new Error('inside') }`,
      },
      {},
      'cannot load app.cjs: Error: inside (app.cjs:2)',
      'Error',
    ],
    [
      'throws something that is no error',
      { 'app.mjs': `throw { code: 1n }` },
      {},
      'cannot load app.mjs: it threw { code: 1n }',
    ],
    [
      'a syntax error in CommonJS',
      { 'app.cjs': `const a = 1\nconst b = = 2` },
      {},
      "cannot load app.cjs: SyntaxError: Unexpected token '=' (app.cjs:2)",
      'SyntaxError',
    ],
    [
      'a syntax error in an ES module',
      { 'app.mjs': `import 'node:fs'\nconst a = 1\nconst b = = 2` },
      {},
      "cannot load app.mjs: SyntaxError: Unexpected token '=' (app.mjs:3)",
      'SyntaxError',
    ],
    [
      'a syntax error in an ES module that it imports, without any of them being run a second time',
      {
        'app.mjs': `import './first.mjs'\nimport './bad.mjs'`,
        'first.mjs': `console.log('ran')`,
        'bad.mjs': `\nlet let`,
      },
      {},
      'cannot load app.mjs: SyntaxError: Unexpected strict mode reserved word (bad.mjs:2)',
      'SyntaxError',
    ],
    [
      'an import that its module does not have',
      { 'app.mjs': `\nimport { nope } from 'node:fs'` },
      {},
      "cannot load app.mjs: SyntaxError: The requested module 'node:fs' does not provide an export named 'nope' (app.mjs:2)",
      'SyntaxError',
    ],
    [
      'a package that is not installed, in CommonJS',
      { 'app.cjs': `\n\nrequire('not-installed')` },
      {},
      "cannot load app.cjs: Error: Cannot find module 'not-installed' (app.cjs:3) (is it installed? try npm install)",
      'Error',
    ],
    [
      'a package that is not installed, in an ES module',
      { 'app.mjs': `import 'not-installed'` },
      {},
      "cannot load app.mjs: Error: Cannot find package 'not-installed' imported from <cwd>/app.mjs (is it installed? try npm install)",
      'Error',
    ],
    [
      'a promise that is rejected',
      { 'app.mjs': `export default Promise.reject(new Error('no database'))` },
      {},
      'cannot load app.mjs: Error: no database (app.mjs:1)',
      'Error',
    ],
    [
      'a Fastify plugin that fails',
      {
        'app.cjs': `const app = module.exports = require('fastify')(); app.register(async () => { throw new Error('plugin') })`,
      },
      {},
      'cannot load app.cjs: Error: plugin (app.cjs:1)',
      'Error',
    ],
    [
      'an export that is missing',
      { 'app.mjs': `export const one = 1, two = 2` },
      { app: './app.mjs:three' },
      'app.mjs: no export "three"; it exports one, two',
    ],
    [
      'neither a default export nor application',
      { 'app.mjs': `export const site = (req, res) => res.end()` },
      {},
      'app.mjs: no default export and none named application; it exports site: name one, ./app.js:name',
    ],
    [
      'a server that answers nothing but streams of HTTP/2',
      { 'app.cjs': `module.exports = require('node:http2').createServer().on('stream', stream => stream.end())` },
      {},
      "app.cjs: its server listens for 'stream', which only HTTP/2 has: give it a function (request, response), " +
        'which node:http2 calls as well',
    ],
    [
      'an export of no use',
      { 'app.cjs': `module.exports = class Site {}` },
      {},
      'app.cjs: the default export is the class Site: export an instance of it',
    ],
  ]
  for (const [name, files, request, message, cause] of cases) {
    test(name, async () => {
      const { error, printed } = await load(files, request)
      expect(error).toEqual({ name: 'LoadError', message, ...(cause !== undefined && { cause }) })
      expect(printed).toBe('')
    })
  }

  test.skipIf(Boolean((process.features as { typescript?: unknown }).typescript))(
    'TypeScript where Node does not strip types',
    async () => {
      const { error } = await load({ 'app.ts': 'export default 1' }, { app: './app.ts' })
      expect(error?.message).toMatch(/^cannot load app\.ts: Node 2\d\.\S+ does not run TypeScript: compile it, /)
    },
  )
})

test.runIf(Boolean((process.features as { typescript?: unknown }).typescript))(
  'TypeScript is loaded where Node strips types',
  async () => {
    const outcome = await load({
      'app.ts': `export default { fetch: (request: Request): Response => new Response('ts') }`,
    })
    expect(body(outcome)).toBe('ts')
  },
)

test('paths in messages are relative to where the command was typed', async () => {
  using there = project({ 'deep/app.mjs': 'throw new Error("x")', 'other/y': '' })
  const { error } = await loadIn(there, { app: '../deep/app.mjs', cwd: join(there.folder, 'other') })
  expect(error?.message).toBe('cannot load <cwd>/deep/app.mjs: Error: x (<cwd>/deep/app.mjs:1)')
})
