/** What becomes of an exception that the application has a listener for, with each method: what becomes of it under node. */

import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { launch, project } from '../cli/command.ts'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'

const METHODS = ['inline', 'threaded', 'prefork'] as const

const site = (listener: string): string => `
import { createServer } from 'node:http'
import { threadId } from 'node:worker_threads'
let server
process.on('uncaughtException', ${listener})
let throwing = 0
if (process.env.EARLY) setTimeout(() => { throw new Error('thrown early') })
const start = () => server = createServer((request, response) => {
  if (request.url === '/throw') setImmediate(() => { throw new Error('thrown ' + ++throwing) })
  response.end(process.pid + '.' + threadId + ' ' + throwing)
}).listen(3000)
setTimeout(start, 20)
`

async function stand(method: string, listener: string, env: Readonly<Record<string, string>> = {}) {
  const folder = project({ 'app.mjs': site(listener) })
  const path = join(folder.path, 'site.sock')
  const running = launch(['stand', `socket=${path}`, `method=${method}`, 'maxchildren=1'], {
    cwd: folder.path,
    env,
  })
  await running.says('"ready"')
  const get = async (path_: string) => (await probe({ target: { kind: 'unix', path }, path: path_ })).body.toString()
  return { running, get }
}

describe.each(METHODS)('method=%s', method => {
  it('leaves the process to an application that listens for uncaught exceptions, while it loads and while it serves', async () => {
    const { running, get } = await stand(method, `error => console.log('heard: ' + error.message)`, { EARLY: '1' })
    const first = await get('/throw')
    await until('it was heard', () => running.stdout().includes('heard: thrown 1'))
    expect(await get('/')).toBe(first.replace(/0$/, '1'))
    expect(running.stdout()).toContain('heard: thrown early')
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
    expect(running.stderr()).not.toMatch(/uncaught|did not catch/)
  })

  it('does not where the listener is that of Sentry, which leaves it to others', async () => {
    const listener = `Object.assign(error => console.log('reported: ' + error.message), { _errorHandler: true })`
    const { running, get } = await stand(method, listener)
    await get('/throw')
    await running.says(method === 'inline' ? 'did not catch an exception' : 'uncaught: thrown 1')
    await until('Sentry has it too', () => running.stdout().includes('reported: thrown 1'))
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(method === 'inline' ? 1 : 0)
  })

  it.skipIf(method === 'inline')('replaces the child of one that closes its server because of it', async () => {
    const { running, get } = await stand(method, `error => server.close(() => process.exit(1))`)
    const first = await get('/throw')
    await running.says('uncaught: thrown 1')
    await until('another serves', async () => (await get('/')).split(' ')[0] !== first.split(' ')[0])
    running.kill('SIGTERM')
    expect((await running.outcome()).code).toBe(0)
  })
})
