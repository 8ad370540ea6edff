/**
 * Where the test decides when an application goes on. The application announces the point it has reached with an HTTP
 * request to the conductor; the answer comes when the test opens that point. So a test knows what is in flight, and in
 * which order things happened, without any clock; and it works for applications in any number of processes.
 */

import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { until } from './until.ts'

export interface Conductor {
  /** What an application's URL carries, so that it knows whom to ask: `conductor=127.0.0.1:1234&id=…`. */
  query(id: string): string
  /** How many applications have come to the point so far. */
  arrivals(id: string, point: string): number
  /** Resolves when at least so many have. */
  arrived(id: string, point: string, count?: number): Promise<void>
  /** Let those who wait at the point go on, and all who come later. */
  open(id: string, point: string): void
  close(): Promise<void>
}

interface Point {
  arrivals: number
  open: boolean
  readonly waiting: ServerResponse[]
}

export async function startConductor(): Promise<Conductor> {
  const points = new Map<string, Point>()
  const pointAt = (path: string) => {
    const point = points.get(path) ?? { arrivals: 0, open: false, waiting: [] }
    points.set(path, point)
    return point
  }
  const server = createServer((request, response) => {
    const point = pointAt(request.url ?? '')
    point.arrivals++
    if (point.open) response.end()
    else point.waiting.push(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const arrivals = (id: string, point: string) => pointAt(`/${id}/${point}`).arrivals

  return {
    query: id => `conductor=127.0.0.1:${port}&id=${id}`,
    arrivals,
    arrived: (id, point, count = 1) =>
      until(`${count} requests at "${point}" (${id})`, () => arrivals(id, point) >= count),
    open(id, name) {
      const point = pointAt(`/${id}/${name}`)
      point.open = true
      for (const response of point.waiting.splice(0)) response.end()
    },
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
