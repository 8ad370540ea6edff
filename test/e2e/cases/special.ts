/** What only one web server does. Over a Node listener: the callables have been shown to be alike. */

import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { join } from 'node:path'
import { expect } from 'vitest'
import { fetchWhole, open } from '../../support/http-client.ts'
import { digestBody, digestOf, patternOf } from '../../support/pattern.ts'
import { STATIC_TEXT } from '../../support/site.ts'
import { soon, until } from '../../support/until.ts'
import { mostAtOnce } from '../../support/wiretap.ts'
import { type RunningSite, type Suite, withTap } from '../prove-behind.ts'

const ABORT_REQUEST = 2
const PARAMS = 4
const GET_VALUES = 9
const GET_VALUES_RESULT = 10

/** Registers the cases of the suite's own web server. */
export function special(suite: Suite): void {
  if (suite.callable === 'node') SPECIAL[suite.kind.name]?.(suite)
}

const SPECIAL: Readonly<Record<string, (suite: Suite) => void>> = {
  nginx(suite) {
    suite.check('X-Accel-Redirect: nginx sends a file that the application names', async () => {
      expect(await left(suite.site(), 'X-Accel-Redirect', '/static/hello.txt')).toEqual([200, STATIC_TEXT])
    })
  },

  lighttpd(suite) {
    suite.check('X-Sendfile: lighttpd sends a file that the application names', async () => {
      const { folder } = suite.site()
      expect(await left(suite.site(), 'X-Sendfile', join(folder, 'static/hello.txt'))).toEqual([200, STATIC_TEXT])
    })

    suite.check('X-Sendfile: no file outside of the folders that lighttpd serves', async () => {
      const { folder } = suite.site()
      const [status, body] = await left(suite.site(), 'X-Sendfile', join(folder, 'app.js'))
      expect([status, body]).toEqual([403, expect.not.stringContaining('import')])
    })
  },

  'Apache mod_proxy_fcgi with enablereuse=on': encodedSlash,
  'Apache mod_fcgid': encodedSlash,

  Caddy({ check, site }) {
    check('32 MiB sent back while they are still being read: more than all buffers of all sockets hold', async () => {
      const size = 32 << 20
      const headers = { 'Content-Length': size }
      const response = await open(site().port, '/echo', { method: 'POST', headers, body: patternOf(size) })
      expect(await digestBody(response)).toEqual(digestOf(size))
    })
  },

  'HAProxy multiplexed'({ check, kind }) {
    check('GET_VALUES: HAProxy asks on each new connection, and is answered before anything else', () =>
      withTap(kind, async site => {
        await fetchWhole(site.port, '/hello')
        const [first, second] = site.records
        expect(first).toMatchObject({ from: 'web server', type: GET_VALUES, id: 0 })
        expect(second).toMatchObject({ from: 'application', type: GET_VALUES_RESULT, id: 0 })
      }),
    )

    check('several requests at a time on one connection, answered in any order', () =>
      withTap(kind, async site => {
        // A connection can be shared once GET_VALUES was answered on it.
        await fetchWhole(site.port, '/hello')
        await manyAtOnce(site)
        expect(mostAtOnce(site.records)).toBeGreaterThan(1)
        expect(new Set(site.records.map(({ connection }) => connection)).size).toBeLessThan(50)
      }),
    )

    check('ABORT_REQUEST: the application learns of a client that leaves in mid-upload, the connection goes on', () =>
      withTap(kind, async site => {
        const id = randomUUID()
        site.conductor.open(id, 'begun')
        site.conductor.open(id, 'aborted')
        const path = `/upload?${site.conductor.query(id)}`
        const headers = { 'Content-Length': 10 << 20 }
        const upload = request({ host: '127.0.0.1', port: site.port, path, method: 'POST', headers, agent: false })
        upload.on('error', () => undefined).write(Buffer.alloc(20_000))
        await site.conductor.arrived(id, 'begun')
        upload.destroy()
        await site.conductor.arrived(id, 'aborted')
        expect(site.records.some(({ type }) => type === ABORT_REQUEST)).toBe(true)
        expect((await fetchWhole(site.port, '/hello')).status).toBe(200)
      }),
    )
  },

  h2o({ check, kind }) {
    check('variables of more than 64 KB: pairs that are split between records', () =>
      withTap(kind, async site => {
        const headers = Object.fromEntries(
          Array.from({ length: 12 }, (_, at) => [`X-Large-${at}`, String(at % 10).repeat(7_000)]),
        )
        const { body } = await fetchWhole(site.port, '/inspect', { headers })
        const seen = JSON.parse(body.toString()).headers
        for (const [name, value] of Object.entries(headers)) expect(seen[name.toLowerCase()]).toBe(value)
        expect(site.records.filter(({ type, length }) => type === PARAMS && length > 0).length).toBeGreaterThan(1)
      }),
    )
  },
}

function encodedSlash({ check, inspect }: Suite): void {
  check('AllowEncodedSlashes: %2F in a path reaches the application', async () => {
    expect((await inspect('/inspect/a%2Fb')).url).toBe('/inspect/a%2Fb')
  })
}

async function left({ port }: RunningSite, header: string, file: string): Promise<[number, string]> {
  const { status, body } = await fetchWhole(port, `/leave-to-server?header=${header}&file=${encodeURIComponent(file)}`)
  return [status, body.toString()]
}

/** 50 requests that the application holds until all of them are there; then the last ones are let go first. */
async function manyAtOnce({ conductor, port }: RunningSite): Promise<void> {
  const ids = Array.from({ length: 50 }, () => randomUUID() as string)
  const done: number[] = []
  const replies = ids.map(async (id, number) => {
    const { body } = await fetchWhole(port, `/slow?${conductor.query(id)}&number=${number}`)
    expect(body.toString()).toBe(`slow ${number}`)
    done.push(number)
  })
  await Promise.race([Promise.all(ids.map(id => conductor.arrived(id, 'in-flight'))), Promise.all(replies)])
  for (const [index, id] of [...ids.entries()].reverse()) {
    conductor.open(id, 'in-flight')
    await until(`reply ${index}`, () => done.includes(index))
  }
  await soon('50 replies', Promise.all(replies))
}
