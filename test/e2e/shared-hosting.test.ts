/** deploy/shared-hosting as a customer has it: public_html with a .htaccess and mysite.fcgi, the application beside it. */

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { apacheHost, cgiEnvironment, customerOf, type Hosted, lighttpdHost } from '../support/shared-hosting.ts'
import { until } from '../support/until.ts'

const APP = `
// Another one for each time that it is loaded, in a process or a thread.
const load = Math.random()
export default { async fetch(request) {
  const path = new URL(request.url).pathname
  if (path === '/slow') await new Promise(resolve => setTimeout(resolve, 1000))
  return new Response(JSON.stringify({ load, path }))
} }`

let hosted: Hosted | undefined
afterEach(async () => {
  await hosted?.stop()
  hosted = undefined
})

for (const host of [apacheHost, lighttpdHost]) {
  if (host.missing !== undefined) console.warn(`SKIPPED: ${host.name}, because ${host.missing} is not installed`)

  describe.skipIf(host.missing !== undefined)(`on shared hosting with ${host.name}`, () => {
    it('the script serves the application and logs to its file', async () => {
      const customer = customerOf(APP)
      hosted = await host.start(customer)
      const first = await hosted.get('/a/b')
      expect(first).toEqual({ load: expect.any(Number), path: '/a/b' })
      const log = join(customer.home, 'site.log')
      await until('there is a log', () => existsSync(log) && readFileSync(log, 'utf8').includes('"ready"'))
    })

    it(`a touch of the script brings the application as it is now, and no request is lost: ${host.how}`, async () => {
      const customer = customerOf(APP, host.settings)
      hosted = await host.start(customer)
      const { ask } = hosted
      const old = new Set<number>()
      const statuses: Record<number, number> = {}
      const request = async (path: string): Promise<number> => {
        const { status, load } = await ask(path)
        statuses[status] = (statuses[status] ?? 0) + 1
        return load
      }
      for (let touches = 1; touches <= 3; touches++) {
        old.add(await request('/'))
        const running = request('/slow')
        utimesSync(customer.script, new Date(), new Date(Date.now() + 5_000 * touches))
        await until('what is loaded anew answers', async () => !old.has(await request('/')))
        await until('the log says why', () => readLog(customer.home).split('was touched').length > touches)
        await running
      }
      console.info(`${host.name}: 3 touches, replies by status: ${JSON.stringify(statuses)}`)
      expect(Object.keys(statuses)).toEqual(['200'])
    })
  })
}

const readLog = (home: string): string =>
  existsSync(join(home, 'site.log')) ? readFileSync(join(home, 'site.log'), 'utf8') : ''

it('the script answers a request by plain CGI as well', () => {
  const { root, script } = customerOf(APP)
  const { status, stdout } = spawnSync(script, { env: cgiEnvironment, encoding: 'utf8' })
  rmSync(root, { recursive: true, force: true })
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringMatching(/^Status: 200 OK\r\n[\s\S]*"path":"\/a\/b"/),
  })
})
