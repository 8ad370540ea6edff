/** Threads are in one folder, all of them: that of the process. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { launch, project } from '../../cli/command.ts'
import { probe } from '../../support/probe.ts'

const APP = `process.chdir(__dirname)
require('node:http').createServer((request, response) => {
  try { process.chdir(request.url) } catch (error) { return response.end(error.code) }
  response.end(process.cwd())
}).listen(3000)`

it('an application may change to the folder in which it is already, and to no other', async () => {
  const { path, file } = project({ 'app.cjs': APP })
  mkdirSync(join(path, 'elsewhere'))
  const socket = join(path, 'site.sock')
  const running = launch(['stand', `socket=${socket}`, 'method=threaded', `workdir=${path}`, join(path, 'app.cjs')], {
    cwd: join(path, 'elsewhere'),
  })
  await running.says('"ready"')
  const get = async (url: string) =>
    (await probe({ target: { kind: 'unix', path: socket }, path: url })).body.toString()
  expect(await get(`${path}/elsewhere/..`)).toBe(path)
  expect(await get(join(path, 'elsewhere'))).toBe('ERR_WORKER_UNSUPPORTED_OPERATION')
  expect(await get(join(path, 'missing'))).toBe('ENOENT')
  running.kill('SIGTERM')
  expect((await running.outcome()).code).toBe(0)
  file('other.cjs', 'process.chdir("elsewhere")')
  const refused = await launch(['stand', `socket=${socket}`, 'method=threaded', './other.cjs'], { cwd: path }).outcome()
  expect(refused).toMatchObject({
    code: 3,
    stderr:
      'runfcgi: cannot load other.cjs: TypeError: process.chdir() is not supported in workers (other.cjs:1) ' +
      '(all threads are in one folder: name it with workdir=, or use method=prefork)\n',
  })
})
