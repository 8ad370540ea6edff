/** What comes back, and how it arrives. */

import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { fetchWhole, keepAliveAgent, open } from '../../support/http-client.ts'
import { until } from '../../support/until.ts'
import type { Suite } from '../prove-behind.ts'

export function replies({ check, limits, site }: Suite): void {
  check('three Set-Cookie headers stay three', async () => {
    const { headers } = await fetchWhole(site().port, '/cookies')
    expect(headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2; HttpOnly', 'c=3; Secure'])
  })

  check('204 and 304 have no body, and the connection goes on', async () => {
    const agent = keepAliveAgent()
    expect(await fetchWhole(site().port, '/empty', { agent })).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    const unchanged = await fetchWhole(site().port, '/unchanged', { agent, headers: { 'If-None-Match': '"v1"' } })
    expect(unchanged).toMatchObject({ status: 304, body: Buffer.alloc(0), headers: { etag: '"v1"' } })
    expect((await fetchWhole(site().port, '/hello', { agent })).status).toBe(200)
    agent.destroy()
  })

  check('a redirect reaches the client, to a path as to a URL', async () => {
    for (const target of ['/hello', 'https://example.org/elsewhere?a=b']) {
      const { status, headers } = await fetchWhole(site().port, `/redirect?to=${encodeURIComponent(target)}`)
      expect(status).toBe(302)
      expect(headers.location?.replace(`http://127.0.0.1:${site().port}`, '')).toBe(target)
    }
    // HAProxy 2.6.12 makes 302 of a status that stands before the Location.
    for (const status of [201, 301, 303, 307, 308])
      expect((await fetchWhole(site().port, `/redirect?to=%2Fhello&status=${status}`)).status).toBe(status)
  })

  check(
    'a stream arrives line by line: each before the application is told to write the next',
    () => stream(),
    'buffersUnlessAsked',
  )

  async function stream(): Promise<void> {
    const id = randomUUID()
    const unbuffered = limits.buffersUnlessAsked ? '&unbuffered' : ''
    site().conductor.open(id, 'line-1')
    const response = await open(site().port, `/lines?${site().conductor.query(id)}${unbuffered}`)
    let text = ''
    response.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    for (let line = 1; line <= 5; line++) {
      await until(`line ${line}`, () => text.includes(`data: line ${line}\n\n`))
      site().conductor.open(id, `line-${line + 1}`)
    }
    await until('the end of the stream', () => response.complete)
    expect(text).toBe([1, 2, 3, 4, 5].map(line => `data: line ${line}\n\n`).join(''))
  }

  check(
    'a response header of 8,000 bytes',
    async () => {
      const { headers } = await fetchWhole(site().port, `/large-header?size=${limits.responseHeader}`)
      expect(headers['x-large']?.length).toBe(limits.responseHeader)
    },
    'responseHeader',
  )
}
