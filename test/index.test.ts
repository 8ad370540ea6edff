import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../src/index.ts'
import { probe } from './support/probe.ts'
import { until } from './support/until.ts'

const entry = fileURLToPath(new URL('../dist/index.js', import.meta.url))
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'library-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('createServer', () => {
  it('serves an application on a path and ends like an http.Server', async () => {
    const app = new Hono().get('/hello', context => context.json({ query: context.req.query() }))
    const server = createServer(app)
    const socket = path.join(folder, 'hono.sock')
    server.listen(socket)
    await once(server, 'listening')
    const reply = await probe({ target: { kind: 'unix', path: socket }, path: '/hello?a=1' })
    expect(reply.status).toBe(200)
    expect(String(reply.body)).toBe('{"query":{"a":"1"}}')
    expect(server.stats().requests).toBe(1)
    server.close()
    await once(server, 'close')
  })

  it('reports an application that cannot be served as an error event', async () => {
    const server = createServer({ nothing: 'to call' })
    const [error] = await once(server, 'error')
    expect(String(error)).toMatch(/application/)
  })
})

describe('serve', () => {
  it('does for a script what the command does, and leaves no socket behind', async () => {
    const script = path.join(folder, 'site.mjs')
    const socket = path.join(folder, 'site.sock')
    await writeFile(
      script,
      `import { serve } from ${JSON.stringify(entry)}
       serve({ app: (request, response) => response.end('from ' + request.url), socket: ${JSON.stringify(socket)}, requestTimeout: '5m' })`,
    )
    const child = spawn(process.execPath, [script], { stdio: 'ignore' })
    await until('the script serves', () => existsSync(socket))
    expect(String((await probe({ target: { kind: 'unix', path: socket }, path: '/x' })).body)).toBe('from /x')
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
    await expect(probe({ target: { kind: 'unix', path: socket } })).rejects.toThrow(/no such file/)
  })

  it('ends with exit code 2 and one line for a setting that there is not', async () => {
    const script = path.join(folder, 'wrong.mjs')
    await writeFile(script, `import { serve } from ${JSON.stringify(entry)}; serve({ app() {}, port: 99999 })`)
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      said += text
    })
    expect((await once(child, 'close'))[0]).toBe(2)
    expect(said.trimEnd().split('\n')).toHaveLength(1)
    expect(said).toContain('99999')
  })
})
