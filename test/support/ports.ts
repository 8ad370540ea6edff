/** TCP ports for programs that cannot be told to take any free one. */

import { createServer, connect as netConnect } from 'node:net'

/**
 * Below the range that the kernel hands out itself (32768 and up), so that no outgoing connection has one of them when the
 * program starts.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Whether somebody accepts connections there: a port of this machine or the path of a Unix socket. */
export function accepts(where: number | string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = typeof where === 'number' ? netConnect(where, '127.0.0.1') : netConnect(where)
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
