/**
 * Applications that export nothing and call `listen()` on their own HTTP server, as nearly every tutorial ends. While such
 * a file loads, the first HTTP server that wants to listen is taken down here instead of being opened: the FastCGI socket
 * takes the place of its port. Its callback runs and `address()` tells what was asked for, so that the file notices nothing.
 *
 * This changes `listen` of http.Server and https.Server for the whole process, so only the loader does it, and it is undone
 * when the application turns out to be an export. (Phusion Passenger has served Node applications in this way since 2013.)
 */

import { Server as HttpServer } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import type { Server } from 'node:net'

type Listen = (this: Server, ...args: unknown[]) => Server
type Prototype = { listen: Listen }

interface Replaced {
  readonly prototype: Prototype
  readonly original: Listen
  readonly own: boolean
}

export class ListenCapture {
  readonly #replaced: Replaced[] = []
  #server: Server | undefined
  #args: readonly unknown[] = []
  #original: Listen | undefined
  #captured: (() => void) | undefined

  constructor() {
    for (const { prototype } of [HttpServer, HttpsServer]) this.#replace(prototype as unknown as Prototype)
  }

  /** The server that wanted to listen, if one did. */
  get server(): Server | undefined {
    return this.#server
  }

  /** What it wanted to listen on, for people. */
  get target(): string {
    const address = addressOf(this.#args)
    return typeof address === 'string' ? address : `port ${address.port}`
  }

  /** Resolves when a server wants to listen, or after `timeoutMs` milliseconds when none did. */
  async wait(timeoutMs: number): Promise<Server | undefined> {
    if (this.#server === undefined) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, timeoutMs)
        this.#captured = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.#server
  }

  /** The application is something else: `listen` is what it was, and the server that waits is opened after all. */
  release(): void {
    this.#restore()
    const server = this.#server
    if (server === undefined) return
    Reflect.deleteProperty(server, 'address')
    this.#original?.apply(server, withoutCallback(this.#args))
  }

  /**
   * The application is the captured server, or an export that it served. Further servers for the same application (Fastify
   * opens a second one for `localhost`) stay closed as well, so `listen` stays replaced.
   */
  keep(): void {
    if (this.#server === undefined) this.#restore()
  }

  #restore(): void {
    for (const { prototype, original, own } of this.#replaced.splice(0)) {
      if (own) prototype.listen = original
      else Reflect.deleteProperty(prototype, 'listen')
    }
  }

  #replace(prototype: Prototype): void {
    const original = prototype.listen
    const receive = (server: Server, args: unknown[]): Server => this.#receive(server, args, original)
    this.#replaced.push({ prototype, original, own: Object.hasOwn(prototype, 'listen') })
    Object.defineProperty(prototype, 'listen', {
      configurable: true,
      writable: true,
      value: function listen(this: Server, ...args: unknown[]) {
        return receive(this, args)
      },
    })
  }

  #receive(server: Server, args: unknown[], original: Listen): Server {
    if (this.#server === undefined) {
      this.#server = server
      this.#args = args
      this.#original = original
      this.#captured?.()
    } else if (!haveSameListener(server, this.#server)) return original.apply(server, args)
    return pretend(server, args)
  }
}

function haveSameListener(one: Server, other: Server): boolean {
  const listener = one.listeners('request')[0]
  return listener !== undefined && listener === other.listeners('request')[0]
}

/** What `listen` does as far as its caller can see. */
function pretend(server: Server, args: readonly unknown[]): Server {
  const callback = args.at(-1)
  if (typeof callback === 'function') server.once('listening', callback as () => void)
  const address = addressOf(args)
  Object.defineProperty(server, 'address', { configurable: true, writable: true, value: () => address })
  process.nextTick(() => server.emit('listening'))
  return server
}

function withoutCallback(args: readonly unknown[]): unknown[] {
  return args.filter(arg => typeof arg !== 'function')
}

interface PortAddress {
  readonly address: string
  readonly family: string
  readonly port: number
}

/** `listen(port, host)`, `listen(path)` and `listen({ port, host, path })`. */
function addressOf(args: readonly unknown[]): PortAddress | string {
  const first = args[0]
  if (typeof first === 'object' && first !== null) {
    const { path, port, host } = first as { path?: unknown; port?: unknown; host?: unknown }
    return typeof path === 'string' ? path : portAddress(port, host)
  }
  if (typeof first === 'string' && !/^\d+$/.test(first)) return first
  return portAddress(first, args[1])
}

function portAddress(port: unknown, host: unknown): PortAddress {
  const address = typeof host === 'string' ? host : '::'
  return { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port: Number(port) || 0 }
}
