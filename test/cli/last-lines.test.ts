/** What an application prints right before the end: pipes and files get all of it. */

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { accepts } from '../support/ports.ts'
import { probe } from '../support/probe.ts'
import { until } from '../support/until.ts'
import { launch, project } from './command.ts'

const LINES = 30_000

/** `/err/…` and `/out/…` say where to; `…/exit` ends the process then, `…/throw` crashes it, `…/reply` just replies. */
const APP = `
const line = n => 'line ' + n + ' ' + 'x'.repeat(90) + '\\n'
export default (request, response) => {
  const [, to, then] = request.url.split('/')
  for (let n = 0; n < ${LINES}; n++) process[to === 'err' ? 'stderr' : 'stdout'].write(line(n))
  if (then === 'exit') process.exit(1)
  if (then === 'throw') setImmediate(() => { throw new Error('crash') })
  response.end('here')
}
`

const METHODS = ['prefork', 'threaded', 'inline'] as const

/** How many lines are there whole, in a row. */
function linesIn(text: string): number {
  const numbers = [...text.matchAll(/^line (\d+) x{90}$/gm)].map(([, n]) => Number(n))
  expect(numbers.every((n, at) => n === at)).toBe(true)
  return numbers.length
}

async function stand(...args: string[]) {
  const { path } = project({ 'app.js': APP })
  const socket = join(path, 'site.sock')
  const running = launch(['stand', 'socket=site.sock', 'maxchildren=1', ...args], { cwd: path })
  await until('it serves', () => accepts(socket))
  return {
    running,
    get: (uri: string) => probe({ target: { kind: 'unix', path: socket }, path: uri }),
    read: (name: string) => (existsSync(join(path, name)) ? readFileSync(join(path, name), 'utf8') : ''),
  }
}

describe.each(METHODS)('method=%s', method => {
  it.each(['err', 'out'] as const)('stops after everything is written to a pipe that is standard %s', async to => {
    const { running, get } = await stand(`method=${method}`)
    await get(`/${to}/reply`)
    running.kill('SIGTERM')
    const { code, stdout, stderr } = await running.outcome()
    expect({ code, lines: linesIn(to === 'err' ? stderr : stdout) }).toEqual({ code: 0, lines: LINES })
  })

  it('writes to standard error what comes before a crash', async () => {
    const { running, get } = await stand(`method=${method}`)
    await get('/err/throw').catch(() => undefined)
    await until('all is there', () => ['crash', `line ${LINES - 1} `].every(text => running.stderr().includes(text)))
    running.kill('SIGTERM')
    expect(linesIn((await running.outcome()).stderr)).toBe(LINES)
  })

  it('writes to log files what comes before process.exit', async () => {
    const { running, get, read } = await stand(
      `method=${method}`,
      'errlog=err.log',
      'outlog=out.log',
      'access-log=access',
    )
    for (const to of ['err', 'out'] as const) {
      await get(`/${to}/exit`).catch(() => undefined)
      if (method === 'inline') {
        expect(linesIn(read(`${to}.log`))).toBe(LINES)
        return
      }
      await until('it is written', () => linesIn(read(`${to}.log`)) === LINES)
    }
    running.kill('SIGTERM')
    expect(await running.outcome()).toMatchObject({ code: 0 })
  })
})

it('writes the access log of a worker that ends right after a request', async () => {
  const { running, get, read } = await stand('method=prefork', 'access-log=access.log', 'errlog=err.log')
  await get('/err/reply')
  await get('/err/exit').catch(() => undefined)
  await until('there is another worker', () => read('err.log').includes('started worker 2'))
  running.kill('SIGTERM')
  expect(await running.outcome()).toMatchObject({ code: 0 })
  expect(read('access.log')).toContain('/err/reply')
})

it('keeps the lines of workers whole that write to the same pipe, and prints what does not end', async () => {
  const { path } = project({
    'app.js': `
      export default (request, response) => {
        const text = request.url.slice(1)
        if (text === 'open') process.stderr.write('no end')
        else for (let n = 0; n < 2000; n++) process.stderr.write(text.repeat(200) + '\\n')
        response.end('here')
      }`,
  })
  const socket = join(path, 'site.sock')
  const running = launch(['stand', 'socket=site.sock', 'method=prefork', 'minspare=2', 'maxchildren=2'], { cwd: path })
  await running.says('"ready"')
  const get = (uri: string) => probe({ target: { kind: 'unix', path: socket }, path: uri })
  await Promise.all(['/a', '/b', '/c', '/d'].map(get))
  await get('/open')
  await running.says('no end')
  running.kill('SIGTERM')
  const { stderr } = await running.outcome()
  expect(stderr.match(/^([abcd])\1{199}$/gm)).toHaveLength(8000)
})
