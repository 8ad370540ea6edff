/** On shared hosting: nothing but a .htaccess and mysite.fcgi in the folder that Apache serves. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { apacheFcgid, startSharedHosting } from '../support/apache.ts'
import { fetchWhole } from '../support/http-client.ts'
import { createSite, type Site, STATIC_TEXT } from '../support/site.ts'
import type { Launched } from '../support/web-server.ts'

const { missing } = apacheFcgid
if (missing !== undefined) console.warn(`SKIPPED: the tests of .htaccess, because ${missing} is not installed`)

describe.skipIf(missing !== undefined)('an application reached through .htaccess', () => {
  let site: Site
  let server: Launched

  beforeAll(async () => {
    site = createSite('node')
    server = await startSharedHosting(site)
  })
  afterAll(async () => {
    await server?.stop()
    site.remove()
  })

  const get = (path: string, headers = {}) => fetchWhole(server.ports[0] as number, path, { headers })

  test('sees the paths that were asked for, as if it were at the root', async () => {
    const facts = JSON.parse((await get('/inspect/a%20b/%C3%A4?x=y&x=%20')).body.toString())
    expect(facts).toMatchObject({ scriptName: '', url: '/inspect/a%20b/%C3%A4?x=y&x=%20', query: 'x=y&x=%20' })
    expect(Buffer.from(facts.pathInfo, 'latin1').toString()).toBe('/inspect/a b/ä')
  })

  test('answers for the root and for what does not exist', async () => {
    for (const path of ['/', '/nothing/here', '/app.js']) {
      const { status, headers } = await get(path)
      expect({ path, status, by: headers['x-application'] }).toEqual({ path, status: 404, by: 'node' })
    }
  })

  test('is given Authorization', async () => {
    const { body } = await get('/inspect', { Authorization: 'Basic dTpw' })
    expect(JSON.parse(body.toString()).headers.authorization).toBe('Basic dTpw')
  })

  test('is not asked for files that exist', async () => {
    expect((await get('/hello.txt')).body.toString()).toBe(STATIC_TEXT)
  })
})
