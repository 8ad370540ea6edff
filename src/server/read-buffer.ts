/**
 * One buffer for what all connections of a process receive. For each read node allocates 64 KiB, then once more as much as
 * has come, and passes it through a stream: that is 2.5 of the 8 µs that a bare server takes for a small request, and more
 * than half of what it takes for an upload (test/bench). While a connection receives a body it has a buffer of its own,
 * which is left to those who read the body, and then it gets another.
 *
 * node can do without (`onread` of `net.Socket`), but offers it to those who make a socket, not for one that a server has
 * accepted. So an accepted socket is given here what its constructor would have set: the properties are found on sockets
 * that are made with the option, and the handle is told by `useUserBuffer`. It is the same from Node 20 to 26; where any of
 * it is missing the bytes come by 'data' as ever.
 */

import { Socket } from 'node:net'

/**
 * Gets the first `length` bytes of `bytes`, which are somebody else's as soon as it returns. True: it has kept them, or would
 * have liked to. Only with `mayKeep` it may: then nobody changes them any more.
 */
export type Receive = (bytes: Buffer, length: number, mayKeep: boolean) => boolean

/** As much as node asks the kernel for. With twice as much, chunks are so large that malloc returns each to the kernel. */
const SIZE = 65_536

const shared = Buffer.allocUnsafeSlow(SIZE)

/** One that was got for a connection that did not need it any more. */
let spare: Buffer | null = null

/** Where a socket keeps the buffer, what is called with it, and what is asked for the next one. */
interface Properties {
  readonly buffer: symbol
  readonly callback: symbol
  readonly next: symbol
}

const properties = onreadProperties()

function onreadProperties(): Properties | null {
  // On Windows the kernel writes into the buffers of all connections at the same time.
  if (process.platform === 'win32') return null
  const callback = (): boolean => true
  const next = (): Buffer => shared
  const buffer = propertyOf({ buffer: shared, callback }, shared)
  const found = { buffer, callback: propertyOf({ buffer: shared, callback }, callback) }
  const asked = propertyOf({ buffer: next, callback }, next)
  if (found.buffer === undefined || found.callback === undefined || asked === undefined) return null
  return { buffer: found.buffer, callback: found.callback, next: asked }
}

/** The property with `value` of a socket made with `onread`. */
function propertyOf(onread: object, value: unknown): symbol | undefined {
  const socket = new Socket({ onread } as object)
  return Object.getOwnPropertySymbols(socket).find(symbol => Reflect.get(socket, symbol) === value)
}

/** Calls `receive` with whatever comes in on `socket`, from now on. The socket can be paused and resumed, and emits 'end'. */
export function readFrom(socket: Socket, receive: Receive): void {
  const handle: unknown = Reflect.get(socket, '_handle')
  // What has come already waits in the stream.
  const untouched = socket.readableLength === 0 && !socket.readableEnded
  if (properties !== null && untouched && canUseBuffer(handle)) {
    new Reader(socket, receive, properties)
    handle.useUserBuffer(shared)
    socket.resume()
  } else socket.on('data', chunk => receive(chunk as Buffer, chunk.length, true))
}

function canUseBuffer(handle: unknown): handle is { useUserBuffer(buffer: Buffer): void } {
  if (typeof handle !== 'object' || handle === null) return false
  return typeof Reflect.get(handle, 'useUserBuffer') === 'function'
}

/** Which buffer a socket is read into. */
class Reader {
  #buffer: Buffer = shared
  readonly #socket: Socket
  readonly #receive: Receive
  readonly #properties: Properties

  constructor(socket: Socket, receive: Receive, properties: Properties) {
    this.#socket = socket
    this.#receive = receive
    this.#properties = properties
    Reflect.set(socket, properties.buffer, shared)
    Reflect.set(socket, properties.callback, (length: number) => this.#read(length))
  }

  #read(length: number): void {
    const buffer = this.#buffer
    if (this.#receive(buffer, length, buffer !== shared)) {
      this.#change(spare ?? Buffer.allocUnsafeSlow(SIZE))
      spare = null
    } else if (buffer !== shared) {
      this.#change(shared)
      spare = buffer
    }
  }

  #change(buffer: Buffer): void {
    this.#buffer = buffer
    Reflect.set(this.#socket, this.#properties.next, () => {
      Reflect.set(this.#socket, this.#properties.next, null)
      return buffer
    })
  }
}
