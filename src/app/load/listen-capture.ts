/**
 * Applications that export nothing and call `listen()` on their own HTTP server, as nearly every tutorial ends. While such
 * a file loads, the first HTTP server that wants to listen is taken down here instead of being opened: the FastCGI socket
 * takes the place of its port. Its callback runs, `address()` tells what was asked for, and `close()` takes effect when the
 * last request has been answered, as with any server: nearly every graceful shutdown is `server.close(() => process.exit())`.
 *
 * This changes `listen` of net.Server for the whole process, so only the loader does it, and it is undone when the application
 * turns out to be an export. (Phusion Passenger has served Node applications in this way since 2013.)
 */

import { EventEmitter } from 'node:events'
import { Server } from 'node:net'
import { isHttpServer, onlyStreams } from './frameworks.ts'

type Listen = (this: Server, ...args: unknown[]) => Server

/** How long a file may take that has not called `listen()` yet, in milliseconds. */
export interface Patience {
  /** While nothing is under way in it that could lead to that: no timer, no connection, no file. */
  readonly idle: number
  /** In all. */
  readonly limit: number
  /** Whether it will never do that. */
  isInVain(): boolean
}

const LOOK_MS = 50

/** What keeps this thread from ending, by kind: timers, sockets, requests to the system. */
function underWay(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

/** A server that believes it listens. */
class Pretence {
  readonly server: Server
  readonly #args: readonly unknown[]
  readonly #original: Listen
  readonly #announcing: NodeJS.Immediate
  readonly #onClose: () => void
  #announced = false
  /** The application has called `close()`. */
  #closing = false
  #finished = false

  constructor(server: Server, args: readonly unknown[], original: Listen, onClose: () => void) {
    this.#onClose = onClose
    this.server = server
    this.#args = args
    this.#original = original
    const close = (callback?: unknown): Server => this.#close(callback)
    for (const [name, value] of Object.entries({ listening: true, address: () => this.address, close }))
      Object.defineProperty(server, name, { configurable: true, writable: true, value })
    // Later than what decides about the server after a file without a top-level await was loaded.
    this.#announcing = setImmediate(() => this.#announce())
  }

  get address(): ListenAddress {
    return addressOf(this.#args)
  }

  #announce(): void {
    this.#announced = true
    const callback = this.#args.at(-1)
    if (typeof callback === 'function') this.server.once('listening', callback as () => void)
    this.server.emit('listening')
  }

  #close(callback: unknown): Server {
    if (typeof callback === 'function') this.server.once('close', callback as () => void)
    Object.defineProperty(this.server, 'listening', { configurable: true, writable: true, value: false })
    this.#closing = true
    this.#onClose()
    if (this.#finished) process.nextTick(() => this.server.emit('close'))
    return this.server
  }

  /** The last request has been answered: the server is closed if the application has closed it, or will. */
  finish(): void {
    this.#finished = true
    if (this.#closing) this.server.emit('close')
  }

  /** The server stays closed and nobody is told that it listens. */
  cancel(): void {
    clearImmediate(this.#announcing)
  }

  /** Opens it after all. */
  end(): void {
    this.cancel()
    for (const name of ['listening', 'address', 'close']) Reflect.deleteProperty(this.server, name)
    if (this.#closing) return void this.server.emit('close')
    const args = this.#announced ? this.#args.filter(arg => typeof arg !== 'function') : this.#args
    this.#original.apply(this.server, [...args])
  }
}

export class ListenCapture {
  #original: Listen | undefined
  #on: unknown
  readonly #pretences: Pretence[] = []
  /** The listeners of requests that each server was given while the file was loaded, what it was made with first. */
  readonly #given = new WeakMap<Server, unknown[]>()
  #isServed = (_server: Server): boolean => true
  #onClose = (): void => {}
  /** Resolves when the application closes a server that is served. */
  readonly closed = new Promise<void>(resolve => {
    this.#onClose = resolve
  })
  #captured: (() => void) | undefined
  /** Before the file was loaded. */
  readonly #before = underWay()

  constructor() {
    const original = Server.prototype.listen as Listen
    const receive = (server: Server, args: unknown[]): Server => this.#receive(server, args, original)
    this.#original = original
    const note = (server: Server, listener: unknown): void => {
      this.#given.set(server, [...(this.#given.get(server) ?? []), listener])
    }
    this.#on = function on(this: Server, event: string | symbol, listener: (...args: unknown[]) => void): Server {
      if (event === 'request') note(this, listener)
      return EventEmitter.prototype.on.call(this, event, listener) as Server
    }
    Object.defineProperty(Server.prototype, 'on', { configurable: true, writable: true, value: this.#on })
    replaceListen(function listen(this: Server, ...args: unknown[]) {
      return isHttpServer(this) && !onlyStreams(this) ? receive(this, args) : original.apply(this, args)
    })
  }

  /** The server that wanted to listen, if one did. */
  get server(): Server | undefined {
    return this.#pretences[0]?.server
  }

  /** What it wanted to listen on, for people. */
  get target(): string | undefined {
    const address = this.#pretences[0]?.address
    return typeof address === 'object' ? `port ${address.port}` : address
  }

  /** Resolves when a server wants to listen, or when patience is at an end. */
  async wait({ idle, limit, isInVain }: Patience): Promise<Server | undefined> {
    if (this.server !== undefined) return this.server
    const begun = performance.now()
    let busyAt = begun
    await new Promise<void>(resolve => {
      const end = (): void => {
        clearInterval(timer)
        resolve()
      }
      const look = (): void => {
        const now = performance.now()
        if (this.#isBusy()) busyAt = now
        if (now - busyAt >= idle || now - begun >= limit || isInVain()) end()
      }
      const timer = setInterval(look, Math.min(LOOK_MS, idle))
      this.#captured = end
    })
    return this.server
  }

  /** While `wait` waits, which takes a timer. */
  #isBusy(): boolean {
    for (const [kind, count] of underWay())
      if (count > (this.#before.get(kind) ?? 0) + (kind === 'Timeout' ? 1 : 0)) return true
    return false
  }

  /** The application is something else: `listen` is what it was, and the server that waits is opened after all. */
  release(): void {
    this.#restore()
    for (const pretence of this.#pretences.splice(0)) pretence.end()
  }

  /** The application cannot be loaded: `listen` is what it was, and nothing is opened for it. */
  abandon(): void {
    this.#restore()
    for (const pretence of this.#pretences.splice(0)) pretence.cancel()
  }

  /**
   * The application is the captured server, or an export that it served. Further servers for the same application (Fastify
   * opens a second one for `localhost`) stay closed as well, so `listen` stays replaced; without a captured server, those
   * that are seen to be for it.
   */
  keep(isServed: (server: Server) => boolean): void {
    this.#forgetOn()
    this.#isServed = isServed
  }

  /** Whether a server was given a listener of requests. Socket.IO hides those that were there behind its own. */
  wasGiven(server: Server, listener: unknown): boolean {
    return [...(this.#given.get(server) ?? []), ...server.listeners('request')].includes(listener)
  }

  /** Whether something else listens for its requests as well than what the server was made with. */
  hasMore(server: Server): boolean {
    const [first] = this.#given.get(server) ?? []
    const [now, ...others] = server.listeners('request')
    return first !== undefined && (now !== first || others.length > 0)
  }

  /** No further request will come. */
  finish(): void {
    for (const pretence of this.#pretences) pretence.finish()
  }

  #restore(): void {
    this.#forgetOn()
    if (this.#original !== undefined) replaceListen(this.#original)
    this.#original = undefined
  }

  #forgetOn(): void {
    if (Server.prototype.on === this.#on) Reflect.deleteProperty(Server.prototype, 'on')
  }

  #receive(server: Server, args: unknown[], original: Listen): Server {
    const first = this.server
    const isServed = first === undefined ? this.#isServed(server) : haveSameListener(server, first)
    if (!isServed) return original.apply(server, args)
    this.#pretences.push(new Pretence(server, args, original, this.#onClose))
    this.#captured?.()
    return server
  }
}

function replaceListen(listen: Listen): void {
  Server.prototype.listen = listen as Server['listen']
}

function haveSameListener(one: Server, other: Server): boolean {
  const listener = one.listeners('request')[0]
  return listener !== undefined && listener === other.listeners('request')[0]
}

interface PortAddress {
  readonly address: string
  readonly family: string
  readonly port: number
}

type ListenAddress = PortAddress | string

/** `listen(port, host)`, `listen(path)` and `listen({ port, host, path })`. */
function addressOf(args: readonly unknown[]): ListenAddress {
  const first = args[0]
  if (typeof first === 'object' && first !== null) {
    const { path, port, host } = first as { path?: unknown; port?: unknown; host?: unknown }
    return typeof path === 'string' ? path : portAddress(port, host)
  }
  if (typeof first === 'string' && !/^\d+$/.test(first)) return first
  return portAddress(first, args[1])
}

function portAddress(port: unknown, host: unknown): PortAddress {
  const address = host === 'localhost' ? '127.0.0.1' : typeof host === 'string' ? host : '::'
  return { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port: Number(port) || 0 }
}
