/**
 * One buffer for what all connections of a process receive. For each read node allocates 64 KiB, then once more as much as
 * has come, and passes it through a stream: that is 2.5 of the 8 µs that a bare server takes for a small request, and more
 * than half of what it takes for an upload (test/bench).
 *
 * node can do without (`onread` of `net.Socket`), but offers it to those who make a socket, not for one that a server has
 * accepted. So an accepted socket is given here what its constructor would have set: the two properties are found on a
 * socket that is made with the option, and the handle is told by `useUserBuffer`. It is the same from Node 20 to 26; where
 * any of it is missing the bytes come by 'data' as ever.
 */

import { Socket } from 'node:net'

/** Gets the first `length` bytes of `bytes`, which are somebody else's as soon as it returns. */
export type Receive = (bytes: Buffer, length: number) => void

/** More than a Unix socket holds, so that a body takes a third as many reads as with the 64 KiB that node asks for. */
const SIZE = 262_144

const buffer = Buffer.allocUnsafeSlow(SIZE)

/** The properties in which a socket keeps `onread.buffer` and `onread.callback`; undefined where they are not to be found. */
const [BUFFER, CALLBACK] = onreadProperties()

function onreadProperties(): readonly (symbol | undefined)[] {
  // On Windows the kernel writes into the buffers of all connections at the same time.
  if (process.platform === 'win32') return []
  const callback = (): boolean => true
  const socket = new Socket({ onread: { buffer, callback } } as object)
  const symbols = Object.getOwnPropertySymbols(socket)
  return [buffer, callback].map(value => symbols.find(symbol => Reflect.get(socket, symbol) === value))
}

/** Calls `receive` with whatever comes in on `socket`, from now on. The socket can be paused and resumed, and emits 'end'. */
export function readFrom(socket: Socket, receive: Receive): void {
  const handle: unknown = Reflect.get(socket, '_handle')
  // What has come already waits in the stream.
  const untouched = socket.readableLength === 0 && !socket.readableEnded
  if (BUFFER !== undefined && CALLBACK !== undefined && untouched && canUseBuffer(handle)) {
    Reflect.set(socket, BUFFER, buffer)
    Reflect.set(socket, CALLBACK, (length: number) => receive(buffer, length))
    handle.useUserBuffer(buffer)
    socket.resume()
  } else socket.on('data', chunk => receive(chunk as Buffer, chunk.length))
}

function canUseBuffer(handle: unknown): handle is { useUserBuffer(buffer: Buffer): void } {
  if (typeof handle !== 'object' || handle === null) return false
  return typeof Reflect.get(handle, 'useUserBuffer') === 'function'
}
