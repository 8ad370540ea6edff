/**
 * Downloads that the web server sends itself: the application says createReadStream, runfcgi with `sendfile` makes a header
 * of it, and the web server does the rest, ranges included. nginx, lighttpd, Apache with mod_xsendfile.
 */

import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { configureApache, missingApache } from '../support/apache.ts'
import { fetchWhole } from '../support/http-client.ts'
import { configureLighttpd, lighttpd } from '../support/lighttpd.ts'
import { mainConfiguration, nginx } from '../support/nginx.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite, type Site } from '../support/site.ts'
import { findProgram, type Launch, type Launched, launch } from '../support/web-server.ts'

const SIZE = 3 << 20
const CONTENT = randomBytes(SIZE)
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Sends what is named, wherever it is, and tells how many bytes it has sent itself. */
const APPLICATION = `
import { createReadStream } from 'node:fs'
let sent = 0
export default (request, response) => {
  if (request.url === '/sent') return response.end(String(sent))
  const write = response.write
  response.write = (chunk, ...rest) => { sent += chunk.length; return write.call(response, chunk, ...rest) }
  response.setHeader('Content-Type', 'application/x-test')
  response.setHeader('Cache-Control', 'private')
  response.setHeader('X-Own', 'own')
  response.setHeader('Content-Disposition', 'attachment; filename="own"')
  createReadStream(new URL('.' + request.url, import.meta.url)).on('error', () => response.writeHead(404).end()).pipe(response)
}
`

interface FrontEnd {
  readonly name: string
  readonly missing: string | undefined
  /** It passes on whatever headers the application set; else the few that nginx keeps. */
  readonly keepsHeaders: boolean
  /** The value of `sendfile`. */
  setting(files: string): string
  configure(site: Site, port: number): Launch
}

const FRONT_ENDS: readonly FrontEnd[] = [
  {
    name: 'nginx, X-Accel-Redirect',
    missing: nginx.missing,
    keepsHeaders: false,
    setting: files => `x-accel-redirect:/internal/=${files}`,
    configure({ folder, socket }, port) {
      const logFile = join(folder, 'nginx-error.log')
      writeFileSync(
        join(folder, 'nginx.conf'),
        mainConfiguration(
          folder,
          logFile,
          `server {
            listen 127.0.0.1:${port};
            location / {
              include /etc/nginx/fastcgi_params;
              fastcgi_pass unix:${socket};
            }
            location /internal/ {
              internal;
              alias ${folder}/files/;
            }
          }`,
        ),
      )
      return {
        command: findProgram('nginx') as string,
        args: ['-p', folder, '-c', 'nginx.conf', '-e', logFile],
        logFile,
      }
    },
  },
  {
    name: 'lighttpd, X-Sendfile',
    missing: lighttpd.missing,
    keepsHeaders: true,
    setting: files => `x-sendfile:${files}`,
    configure: (site, port) =>
      configureLighttpd(
        site,
        port,
        `server.modules += ( "mod_fastcgi" )
        fastcgi.server = ( "/" => (( "socket" => "${site.socket}", "check-local" => "disable",
          "fix-root-scriptname" => "enable",
          "x-sendfile" => "enable", "x-sendfile-docroot" => ( "${site.folder}/files" ) )) )`,
      ),
  },
  {
    name: 'Apache, mod_xsendfile',
    missing: missingApache('mod_proxy', 'mod_proxy_fcgi', 'mod_xsendfile'),
    keepsHeaders: true,
    setting: files => `x-sendfile:${files}`,
    configure: (site, port) =>
      configureApache(
        site,
        [port],
        `ProxyPass "/" "unix:${site.socket}|fcgi://localhost/"
        AllowEncodedSlashes NoDecode
        <Location "/">
          XSendFile on
          XSendFilePath "${site.folder}/files"
        </Location>`,
        ['xsendfile'],
      ),
  },
]

describe.each(FRONT_ENDS)('a download behind $name', ({ name, missing, keepsHeaders, setting, configure }) => {
  if (missing !== undefined) console.warn(`SKIPPED: downloads behind ${name}, because ${missing} is not installed`)
  const skip = missing !== undefined
  const cleanUp: (() => unknown)[] = []
  let server: Launched

  beforeAll(async () => {
    if (skip) return
    const site = createSite('node')
    cleanUp.push(site.remove)
    writeFileSync(join(site.folder, 'app.js'), APPLICATION)
    for (const folder of ['files', 'files/sub', 'others']) mkdirSync(join(site.folder, folder))
    for (const file of ['files/big', 'files/sub/a b+é#?.bin', 'files/sub/a%41.bin', 'others/big'])
      writeFileSync(join(site.folder, file), CONTENT)
    const program = await stand(site, [`sendfile=${setting('files')}`, 'method=threaded', 'maxchildren=1'])
    cleanUp.push(program.stop)
    server = await launch(site, 1, port => configure(site, port))
    cleanUp.push(server.stop)
  })
  afterAll(async () => {
    for (const one of cleanUp.splice(0).reverse()) await one()
  })

  const get = (path: string, headers = {}, method = 'GET') =>
    fetchWhole(server.ports[0] as number, path, { headers, method })
  const sent = async () => Number((await get('/sent')).body)

  test.skipIf(skip)('costs the application nothing, and has the headers that it gave', async () => {
    const before = await sent()
    const { status, headers, body } = await get('/files/big')
    expect([status, sha256(body)]).toEqual([200, sha256(CONTENT)])
    expect(headers).toMatchObject({ 'content-type': 'application/x-test', 'content-length': String(SIZE) })
    expect([headers['cache-control'], headers['x-own']]).toEqual(['private', keepsHeaders ? 'own' : undefined])
    expect(headers['content-disposition']).toBe('attachment; filename="own"')
    expect(Object.keys(headers).filter(one => /^x-(sendfile|accel)/.test(one))).toEqual([])
    expect(await sent()).toBe(before)
  })

  test.skipIf(skip)('may be of a file whose name needs escaping', async () => {
    const before = await sent()
    const { status, body } = await get('/files/sub/a%20b+%C3%A9%23%3F.bin')
    expect([status, sha256(body)]).toEqual([200, sha256(CONTENT)])
    expect(await sent()).toBe(before)
    const percent = await get('/files/sub/a%2541.bin')
    expect([percent.status, sha256(percent.body)]).toEqual([200, sha256(CONTENT)])
  })

  test.skipIf(skip)('may be in part', async () => {
    const { status, headers, body } = await get('/files/big', { Range: 'bytes=1000000-1000099' })
    expect([status, headers['content-range']]).toEqual([206, `bytes 1000000-1000099/${SIZE}`])
    expect(body.equals(CONTENT.subarray(1_000_000, 1_000_100))).toBe(true)
  })

  test.skipIf(skip)('comes from the application, if the file is elsewhere', async () => {
    const before = await sent()
    const { status, body } = await get('/others/big')
    expect([status, sha256(body)]).toEqual([200, sha256(CONTENT)])
    expect(await sent()).toBe(before + SIZE)
  })

  test.skipIf(skip)('cannot be had without the application', async () => {
    expect((await get('/internal/big')).status).toBe(404)
    expect((await get('/files/none')).status).toBe(404)
  })
})
