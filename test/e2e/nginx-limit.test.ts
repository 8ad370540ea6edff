/**
 * nginx stops sending a request body as soon as the head of the reply has come. An application that sends back what it
 * reads then waits for bytes that never come: a time limit must end that.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fetchWhole } from '../support/http-client.ts'
import { nginx } from '../support/nginx.ts'
import { patternOf } from '../support/pattern.ts'
import { type RunningSite, startSite } from './prove-behind.ts'

const SIZE = 8 << 20

describe.skipIf(nginx.missing !== undefined).each(['node', 'wsgi', 'fetch'] as const)(
  'a %s application that echoes more than nginx goes on sending',
  callable => {
    let site: RunningSite
    beforeAll(async () => {
      site = await startSite(nginx, callable, ['stdin-timeout=1'])
    })
    afterAll(() => site?.stop())

    test('is ended by stdin-timeout, and others are served', async () => {
      const headers = { 'Content-Length': SIZE }
      const outcome = await fetchWhole(site.port, '/echo', { method: 'POST', headers, body: patternOf(SIZE) }).then(
        reply => reply.body.length,
        () => 'cut off',
      )
      expect(outcome).not.toBe(SIZE)
      expect((await fetchWhole(site.port, '/hello')).status).toBe(200)
    })
  },
)
