/**
 * The role Authorizer behind the web servers that ask for it: lighttpd in mode "authorizer", Apache's mod_fcgid (all three of
 * its questions) and mod_authnz_fcgi. First the shipped files as they are, with the example; then what else there is to
 * answer, and whether the next application gets the variables.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { configureApache, missingApache } from '../support/apache.ts'
import { fetchWhole, type Reply } from '../support/http-client.ts'
import { configureLighttpd, lighttpd } from '../support/lighttpd.ts'
import { freePorts } from '../support/ports.ts'
import { install, stand, writeScript } from '../support/runfcgi.ts'
import { createSite, type Site } from '../support/site.ts'
import { type Launched, launch, shipped } from '../support/web-server.ts'

const SECRET = 'Only for ann.\n'

/** Decides by what it is asked; as the application it tells who was let in. */
const APPLICATION = `
const decide = {
  AUTHENTICATOR: ({ REMOTE_USER, REMOTE_PASSWD }) => REMOTE_USER === 'ann' && REMOTE_PASSWD === 'x:y' ? { variables: { LEVEL: 'gold' } } : false,
  AUTHORIZER: ({ REMOTE_USER, REQUEST_URI }) => REMOTE_USER === 'ann' && !REQUEST_URI.endsWith('/not-ann'),
  ACCESS_CHECKER: ({ HTTP_X_TOKEN }) => HTTP_X_TOKEN === 'yes',
  undefined({ HTTP_X_TOKEN }) {
    if (HTTP_X_TOKEN === 'throw') throw new Error('on purpose')
    if (HTTP_X_TOKEN === 'yes') return { variables: { LEVEL: 'gold', SEEN_BY: 'the authorizer' } }
    return { status: 303, headers: [['Location', 'http://localhost/login']], body: 'please log in' }
  },
}
export const authorizer = environ => decide[environ.FCGI_APACHE_ROLE](environ)
export const application = (environ, startResponse) => {
  startResponse('200 OK', [['Content-Type', 'application/json']])
  return JSON.stringify({ level: environ.LEVEL, seenBy: environ.SEEN_BY, user: environ.REMOTE_USER, role: environ.FCGI_ROLE })
}
`

const example = readFileSync(fileURLToPath(new URL('../../deploy/examples/authorizer.js', import.meta.url)), 'utf8')

function siteWith(application: string): Site {
  const site = createSite('node')
  writeFileSync(join(site.folder, 'app.js'), application)
  mkdirSync(join(site.folder, 'files'))
  writeFileSync(join(site.folder, 'files', 'secret.txt'), SECRET)
  return site
}

const basic = (name: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
})

/** What every front end must make of the example. */
function provesTheExample(get: (path: string, headers?: Record<string, string>) => Promise<Reply>): void {
  test('a file is given to whom the example lets pass, and to nobody else', async () => {
    for (const headers of [{}, basic('ann', 'wrong'), basic('bob', ''), basic('', '')]) {
      const refused = await get('/files/secret.txt', headers)
      expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Basic realm="Files"'])
      expect(refused.body.toString()).not.toContain(SECRET)
    }
    const given = await get('/files/secret.txt', basic('ann', 'open sesame'))
    expect([given.status, given.body.toString()]).toEqual([200, SECRET])
    expect((await get('/files/none.txt', basic('ann', 'open sesame'))).status).toBe(404)
    expect((await get('/files/none.txt')).status).toBe(401)
  })
}

/** Starts what a group of tests needs, and ends it. */
function around(start: () => Promise<{ server: Launched; end: (() => unknown)[] }>) {
  let running: Awaited<ReturnType<typeof start>> | undefined
  beforeAll(async () => {
    running = await start()
  })
  afterAll(async () => {
    await running?.server.stop()
    for (const one of running?.end ?? []) await one()
  })
  return (path: string, headers: Record<string, string> = {}) =>
    fetchWhole(running?.server.ports[0] as number, path, { headers })
}

// lighttpd

if (lighttpd.missing !== undefined) console.warn('SKIPPED: the authorizer behind lighttpd, which is not installed')

const startLighttpd = (site: Site, configuration: string): Promise<Launched> =>
  launch(site, 1, port => configureLighttpd(site, port, configuration))

describe.skipIf(lighttpd.missing !== undefined)('lighttpd', () => {
  describe('with the shipped configuration and the example', () => {
    provesTheExample(
      around(async () => {
        const site = siteWith(example)
        const program = await stand(site)
        const paths = { '/run/mysite/auth.sock': site.socket, '/srv/mysite': site.folder }
        const server = await startLighttpd(site, shipped('lighttpd/authorizer.conf', paths))
        return { server, end: [program.stop, site.remove] }
      }),
    )
  })

  describe.each(['prefork', 'threaded'])('in front of authorizer and application in one, method=%s', method => {
    const get = around(async () => {
      const site = siteWith(APPLICATION)
      for (const folder of ['gated', 'open']) {
        mkdirSync(join(site.folder, 'files', folder))
        writeFileSync(join(site.folder, 'files', folder, 'x'), '')
      }
      const program = await stand(site, [`method=${method}`, 'maxchildren=1'])
      const server = await startLighttpd(
        site,
        // After the authorizer lighttpd looks for a file, and asks the application only if there is one.
        `server.modules += ( "mod_fastcgi" )
        server.document-root := "${site.folder}/files"
        fastcgi.server = (
          "/gated/" => (( "socket" => "${site.socket}", "mode" => "authorizer", "check-local" => "disable", "docroot" => "${site.folder}/files" )),
          "/" => (( "socket" => "${site.socket}" ))
        )`,
      )
      return { server, end: [program.stop, site.remove] }
    })

    test('the application gets the variables of the authorizer', async () => {
      const reply = await get('/gated/x', { 'X-Token': 'yes' })
      expect(JSON.parse(reply.body.toString())).toEqual({ level: 'gold', seenBy: 'the authorizer' })
      expect(Object.keys(reply.headers).filter(name => name.startsWith('variable-'))).toEqual([])
      expect(JSON.parse((await get('/open/x')).body.toString())).toEqual({})
    })

    test('the client gets the reply of an authorizer that refuses, and 500 of one that fails', async () => {
      const reply = await get('/gated/x')
      expect([reply.status, reply.headers.location, reply.body.toString()]).toEqual([
        303,
        'http://localhost/login',
        'please log in',
      ])
      expect((await get('/gated/x', { 'X-Token': 'throw' })).status).toBe(500)
    })
  })

  describe('in front of an application without an authorizer', () => {
    const get = around(async () => {
      const site = siteWith("export default (request, response) => response.end('everybody is welcome')")
      const program = await stand(site)
      const paths = { '/run/mysite/auth.sock': site.socket, '/srv/mysite': site.folder }
      const server = await startLighttpd(site, shipped('lighttpd/authorizer.conf', paths))
      return { server, end: [program.stop, site.remove] }
    })

    test('gives nothing to anybody', async () => {
      const { status, body } = await get('/files/secret.txt')
      expect(status).toBeGreaterThanOrEqual(500)
      expect(body.toString()).not.toContain(SECRET)
    })
  })
})

// Apache

const missing = missingApache('mod_fcgid', 'mod_auth_basic')
const missingAuthnz = missing ?? missingApache('mod_authnz_fcgi')
for (const name of new Set([missing, missingAuthnz])) {
  if (name !== undefined)
    console.warn(`SKIPPED: tests of the authorizer behind Apache, because ${name} is not installed`)
}

const FOR_ACCESS = ['headers', 'authn_core', 'authz_user', 'auth_basic']

const startApache = (site: Site, more: string[], configure: (port: number) => string): Promise<Launched> =>
  launch(site, 1, port => configureApache(site, [port], configure(port), [...FOR_ACCESS, ...more]))

const hostOf = (site: Site, port: number, gates: string): string => `
  <VirtualHost 127.0.0.1:${port}>
    Alias "/app" "${site.folder}/auth.fcgi"
    <Directory "${site.folder}">
      Require all granted
      Options +ExecCGI
      SetHandler fcgid-script
    </Directory>
    ${gates}
  </VirtualHost>`

describe.skipIf(missing !== undefined)('Apache', () => {
  describe('mod_fcgid with the shipped configuration and the example', () => {
    const get = around(async () => {
      const site = siteWith(example)
      install(site.folder)
      writeScript(join(site.folder, 'auth.fcgi'))
      const server = await startApache(site, [], port =>
        shipped('apache/mod_fcgid-authorizer.conf', { '/srv/mysite': site.folder, '*:80': `127.0.0.1:${port}` }),
      )
      return { server, end: [site.remove] }
    })
    provesTheExample(get)

    test('the client does not see the variables', async () => {
      const { headers } = await get('/files/secret.txt', basic('ann', 'open sesame'))
      expect(Object.keys(headers).filter(name => name.startsWith('variable-'))).toEqual([])
    })
  })

  describe('mod_fcgid with all of its questions', () => {
    const get = around(async () => {
      const site = siteWith(APPLICATION)
      install(site.folder)
      writeScript(join(site.folder, 'auth.fcgi'))
      const gates = `
        <Location "/app/authenticated">
          AuthType Basic
          AuthName "x"
          AuthBasicAuthoritative Off
          FcgidAuthenticator "${site.folder}/auth.fcgi"
          FcgidAuthorizer "${site.folder}/auth.fcgi"
          Require valid-user
        </Location>
        <Location "/app/checked">
          FcgidAccessChecker "${site.folder}/auth.fcgi"
        </Location>`
      const server = await startApache(site, [], port => hostOf(site, port, gates))
      return { server, end: [site.remove] }
    })

    test('FcgidAuthenticator asks who it is, and hands its variables on', async () => {
      expect((await get('/app/authenticated')).status).toBe(401)
      expect((await get('/app/authenticated', basic('ann', 'x'))).status).toBe(401)
      const reply = await get('/app/authenticated', basic('ann', 'x:y'))
      expect(JSON.parse(reply.body.toString())).toEqual({ level: 'gold', user: 'ann' })
    })

    test('FcgidAuthorizer asks whether this user may', async () => {
      expect((await get('/app/authenticated/not-ann', basic('ann', 'x:y'))).status).toBeGreaterThanOrEqual(401)
    })

    test('FcgidAccessChecker asks whether this client may', async () => {
      expect((await get('/app/checked')).status).toBe(401)
      expect((await get('/app/checked', { 'X-Token': 'yes' })).status).toBe(200)
    })
  })
})

describe.skipIf(missingAuthnz !== undefined)('Apache mod_authnz_fcgi', () => {
  const get = around(async () => {
    const [port] = await freePorts(1)
    const site = { ...siteWith(example), port }
    const program = await stand(site)
    const server = await startApache(
      site,
      ['authnz_fcgi'],
      http => `
      AuthnzFcgiDefineProvider authn Gate fcgi://127.0.0.1:${port}/
      <VirtualHost 127.0.0.1:${http}>
        Alias "/files/" "${site.folder}/files/"
        <Directory "${site.folder}/files">
          AuthType Basic
          AuthName "Files"
          AuthBasicProvider Gate
          Require valid-user
        </Directory>
      </VirtualHost>`,
    )
    return { server, end: [program.stop, site.remove] }
  })
  provesTheExample(get)
})
