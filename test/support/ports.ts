/** TCP ports for programs that cannot be told to take any free one. */

import { createServer, type ListenOptions, connect as netConnect, type Server } from 'node:net'

/**
 * Below the range that the kernel hands out itself (32768 and up), so that no outgoing connection has one of them when the
 * program starts. Nobody else who asks here is given one of them before this process ends: the program may not have bound it
 * yet, or has been stopped and is to be started again.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if ((await reserve(port)) && (await isFree(port))) ports.add(port)
  }
  return [...ports]
}

/** False if another test has it. The mark is a name that ends with the process: an abstract Unix socket, which Linux has. */
async function reserve(port: number): Promise<boolean> {
  return process.platform !== 'linux' || (await listens({ path: `\0runfcgi-test-port-${port}` })) !== undefined
}

async function isFree(port: number): Promise<boolean> {
  const server = await listens({ port, host: '127.0.0.1' })
  if (server === undefined) return false
  await new Promise(resolve => server.close(resolve))
  return true
}

/** Listens there as long as the process lives, but is no reason for it to live; undefined if it cannot. */
function listens(where: ListenOptions): Promise<Server | undefined> {
  return new Promise(resolve => {
    const server = createServer().unref()
    server.once('error', () => resolve(undefined))
    server.listen(where, () => resolve(server))
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
