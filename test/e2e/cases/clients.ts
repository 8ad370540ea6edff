/** Clients: many at once, and some that go away. */

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { expect } from 'vitest'
import { fetchWhole, open } from '../../support/http-client.ts'
import { soon, until } from '../../support/until.ts'
import type { Suite } from '../prove-behind.ts'

const MiB = 1 << 20

export function clients({ check, limits, site, expectHello }: Suite): void {
  check(
    '50 slow requests at once, all of them in the application at the same time',
    async () => {
      const id = randomUUID()
      const paths = Array.from({ length: 50 }, (_, number) => `/slow?${site().conductor.query(id)}&number=${number}`)
      const replies = Promise.all(paths.map(path => fetchWhole(site().port, path)))
      await Promise.race([site().conductor.arrived(id, 'in-flight', limits.inFlight), replies])
      expect(site().conductor.arrivals(id, 'in-flight')).toBe(limits.inFlight)
      site().conductor.open(id, 'in-flight')
      const bodies = (await soon('50 replies', replies)).map(reply => reply.body.toString())
      expect(bodies).toEqual(paths.map((_, number) => `slow ${number}`))
    },
    'inFlight',
  )

  check(
    'the application learns that the client went away in mid-download; later requests are right',
    () => leaving(),
    'tellsOfLeaving',
  )

  async function leaving(): Promise<void> {
    const ids = Array.from({ length: 3 }, () => randomUUID() as string)
    for (const id of ids) {
      const response = await open(site().port, `/endless?${site().conductor.query(id)}`)
      await readAtLeast(response, MiB)
      response.destroy()
      site().conductor.open(id, 'aborted')
    }
    for (const id of ids) await site().conductor.arrived(id, 'aborted')
    for (let i = 0; i < 10; i++) await expectHello()
    expect(ids.map(id => site().conductor.arrivals(id, 'aborted'))).toEqual([1, 1, 1])
  }

  check(
    'connections to the application are kept',
    async () => {
      for (let i = 0; i < 5; i++) await expectHello()
      const kept = () =>
        site().backendPort === undefined ? openOn(site().socket) : openAt(site().backendPort as number)
      if (limits.keepsConnections) expect(kept()).toBeGreaterThan(0)
      else await until('all connections are closed, because each serves one request', () => kept() === 0)
    },
    'keepsConnections',
  )
}

async function readAtLeast(response: IncomingMessage, bytes: number): Promise<void> {
  let length = 0
  response.on('data', (chunk: Buffer) => {
    length += chunk.length
  })
  await until(`${bytes} bytes of the reply`, () => length >= bytes)
  response.pause()
}

/**
 * Accepted connections of a listening Unix socket, as Linux tells: state 03, and the path that the listener was bound to
 * (runfcgi binds `site.sock.<pid>` and renames it).
 */
function openOn(socket: string): number {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n')
  return lines.filter(line => line.includes(` ${socket}`) && line.split(/\s+/)[5] === '03').length
}

/** The same for a TCP port: state 01, and the port in hexadecimal behind the local address. */
function openAt(port: number): number {
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return lines
    .map(line => line.trim().split(/\s+/))
    .filter(([, at = '', , state]) => at.endsWith(local) && state === '01').length
}
