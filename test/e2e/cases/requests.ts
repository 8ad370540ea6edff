/** What the application is told about a request, and which requests reach it. */

import { expect } from 'vitest'
import { fetchWhole } from '../../support/http-client.ts'
import { STATIC_TEXT } from '../../support/site.ts'
import type { Suite } from '../prove-behind.ts'

export function requests({ check, limits, site, callable, inspect }: Suite): void {
  check('a request header of 7,000 bytes', async () => {
    const { headers } = await inspect('/inspect', { 'X-Large': 'y'.repeat(7_000) })
    expect(headers['x-large']).toBe('y'.repeat(7_000))
  })

  check('Authorization, cookies and the client’s address', async () => {
    const facts = await inspect('/inspect', { Authorization: 'Basic dTpw', Cookie: 'a=1; b=2' })
    expect(facts.headers).toMatchObject({ authorization: 'Basic dTpw', cookie: 'a=1; b=2' })
    expect(facts.remoteAddress).toBe('127.0.0.1')
  })

  check('the Proxy header does not become HTTP_PROXY', async () => {
    expect(JSON.stringify(await inspect('/inspect', { Proxy: 'http://evil.example' }))).not.toContain('evil')
  })

  check('the query string as it was sent', async () => {
    for (const query of ['a=1&b=2&a=3', 'q=%C3%A4%20b+c', 'no-value', '']) {
      expect((await inspect(`/inspect?${query}`)).query).toBe(query)
    }
  })

  check('percent-encoded and UTF-8 paths', async () => {
    const path = '/inspect/h%C3%A9llo%20w%C3%B6rld/%E2%82%AC'
    const facts = await inspect(path)
    expect(facts.scriptName).toBe('')
    expect(Buffer.from(facts.pathInfo, 'latin1').toString()).toBe('/inspect/héllo wörld/€')
    if (facts.url !== undefined) expect(facts.url).toBe(path)
  })

  check('a mount below /app', async () => {
    const at = site().mountPort
    const facts = await inspect('/app/inspect/a%20b?x=y', {}, at)
    expect(facts).toMatchObject({ scriptName: '/app', pathInfo: '/inspect/a b', query: 'x=y' })
    if (facts.url !== undefined) expect(facts.url).toBe('/inspect/a%20b?x=y')
    expect((await fetchWhole(at, '/app/')).headers['x-application']).toBe(callable)
    expect((await fetchWhole(at, '/hello')).status).toBe(404)
    if (limits.servesFiles) expect((await fetchWhole(at, '/hello.txt')).body.toString()).toBe(STATIC_TEXT)
  })

  check(
    'the mount point without its slash is sent on to the one with it',
    async () => {
      for (const query of ['', '?a=1&b=%2F']) {
        const { status, headers } = await fetchWhole(site().mountPort, `/app${query}`)
        expect({ status, location: headers.location?.replace(/^https?:\/\/[^/]*/, '') }).toEqual({
          status: 301,
          location: `/app/${query}`,
        })
      }
    },
    'addsSlash',
  )

  check(
    'files are the web server’s, everything else is the application’s',
    async () => {
      const file = await fetchWhole(site().port, '/static/hello.txt')
      expect(file).toMatchObject({ status: 200, body: Buffer.from(STATIC_TEXT) })
      for (const path of ['/static/none.txt', '/static/%2e%2e/app.js']) {
        const { status, body } = await fetchWhole(site().port, path)
        expect({ path, status, isSource: body.includes('import ') }).toMatchObject({ isSource: false })
        expect(status).toBeGreaterThanOrEqual(400)
      }
      for (const path of ['/', '/app.js', '/package.json', '/nothing/here']) {
        const { status, headers } = await fetchWhole(site().port, path)
        expect({ path, status, by: headers['x-application'] }).toEqual({ path, status: 404, by: callable })
      }
    },
    'servesFiles',
  )
}
