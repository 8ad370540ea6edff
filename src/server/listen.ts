/**
 * Binds listening sockets: TCP, Unix, or a descriptor that somebody else bound (systemd, a web server, the command that
 * started us). Knows errors and files, nothing of FastCGI. The rules are those of src/server/unix-socket.ts for paths.
 */

import { closeSync, fstatSync, openSync, type Stats } from 'node:fs'
import { type ListenOptions, Server, type Socket } from 'node:net'
import { devNull } from 'node:os'
import { resolve } from 'node:path'
import { type Address, type DescriptorAddress, formatAddress, type TcpAddress } from './address.ts'
import { closeWhenQuiet } from './last-connections.ts'
import { errnoOf, ListenError, messageOf } from './listen-error.ts'
import { canListen, holderOfPort, isListening } from './socket-holder.ts'
import { type FileIdentity, identityOf, listenAtPath, removeIfSame } from './unix-socket.ts'

export interface BindOptions {
  /** Connections that wait to be accepted; the system may cap it (net.core.somaxconn). Default 511. */
  readonly backlog?: number | undefined
}

export interface Bound {
  /** Listening. Connections that come before the first 'connection' listener is added wait for it. */
  readonly server: Server
  /** As asked for, with what the system filled in: an absolute path, the port that it chose. */
  readonly address: Address
  /** The number of the listening descriptor, to hand down to another process; -1 where there is none (Windows). */
  readonly fd: number
  /**
   * Removes the socket file if it is still ours, at once, and stops listening when everybody is accepted who has connected
   * already. Connections live on; does not wait for them.
   */
  close(options?: ClosingOptions): Promise<void>
}

export interface ClosingOptions {
  /** A successor listens on the same descriptor: the file is left to it, and so is who waits to be accepted. */
  readonly leaveFile?: boolean
  /** Who waits to be accepted is reset. */
  readonly now?: boolean
}

const DEFAULT_BACKLOG = 511

/**
 * A server that keeps what it accepts for the first 'connection' listener: whoever answers is attached later than the
 * bind, and Node accepts from the moment it listens, so the kernel's queue cannot keep it.
 *
 * Half-open: a web server may send its FIN after the request and still wait for the reply (DESIGN §10.11).
 */
class Listener extends Server {
  readonly #early: Socket[] = []
  /** Somebody has taken over what it accepts. */
  attended = false

  constructor() {
    super({ allowHalfOpen: true, noDelay: true })
    this.on('connection', this.#keep)
    this.on('newListener', this.#handOver)
  }

  readonly #keep = (socket: Socket): void => {
    socket.on('error', forgetError)
    this.#early.push(socket)
  }

  readonly #handOver = (event: string | symbol): void => {
    if (event !== 'connection') return
    this.off('newListener', this.#handOver)
    this.attended = true
    process.nextTick(() => {
      this.off('connection', this.#keep)
      for (const socket of this.#early.splice(0)) {
        socket.off('error', forgetError)
        // It came and went without a word: its 'end' has been emitted already, and would be missed.
        if (socket.readableEnded) socket.destroy()
        else if (!socket.destroyed) this.emit('connection', socket)
      }
    })
  }

  override close(callback?: (error?: Error) => void): this {
    for (const socket of this.#early.splice(0)) socket.destroy()
    return super.close(callback)
  }
}

/** A peer that was reset before anybody had anything to do with it: the stream is destroyed, nobody misses it. */
function forgetError(): void {}

function listen(options: ListenOptions & { fd?: number }): Promise<Server> {
  return new Promise((settle, refuse) => {
    const server = new Listener()
    server.once('error', refuse)
    server.once('listening', () => {
      server.off('error', refuse)
      settle(server)
    })
    server.listen(options)
  })
}

/** The one use of a private property: Node has no public way to the number of a listening descriptor. */
function descriptorOf(server: Server): number {
  const handle: unknown = Reflect.get(server, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined
  return typeof fd === 'number' ? fd : -1
}

function bound(server: Server, address: Address, file?: { path: string; identity: FileIdentity }): Bound {
  let open = true
  return {
    server,
    address,
    fd: descriptorOf(server),
    async close({ leaveFile = false, now = leaveFile } = {}) {
      if (!open) return
      open = false
      // The file first: while we listen no other starter takes the path, so it cannot become theirs before the unlink.
      if (file !== undefined && !leaveFile) removeIfSame(file.path, file.identity)
      if (!server.listening) return
      // Nobody would answer.
      if (now || !(server instanceof Listener && server.attended)) server.close()
      else await closeWhenQuiet(server)
      if (address.kind === 'fd') freeStandard(address.fd)
    },
  }
}

/**
 * libuv leaves descriptors 0 to 2 open when their handle closes: a web server that has passed the socket there would go on
 * connecting to a process that does not accept any more. No other file may get such a number.
 */
export function freeStandard(fd: number): void {
  if (fd > 2) return
  closeSync(fd)
  openSync(devNull, 'r+')
}

export function explainTcp(error: unknown, address: TcpAddress): ListenError {
  const where = formatAddress(address)
  const fail = (code: ConstructorParameters<typeof ListenError>[0], message: string): ListenError =>
    new ListenError(code, message, error)
  switch (errnoOf(error)) {
    case 'EADDRINUSE': {
      const pid = holderOfPort(address)
      const who = pid === undefined ? 'another process' : `process ${pid}`
      return fail(
        'in-use',
        `port ${address.port} of ${where} is in use by ${who}: stop it first, or choose another port`,
      )
    }
    case 'EACCES':
      return fail('permission', `no permission to listen on ${where}: ports below 1024 need root; choose a higher one`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
      return fail(
        'unknown-host',
        `host "${address.host}" of ${where} is unknown: check the name, or write an IP address`,
      )
    case 'EADDRNOTAVAIL':
      return fail('not-local', `${address.host} is no address of this machine: cannot listen on ${where}`)
    case 'EAFNOSUPPORT':
      return fail('not-local', `this machine has no support for the address family of ${where}: write an IPv4 address`)
    default:
      return fail('system', `cannot listen on ${where}: ${messageOf(error)}`)
  }
}

async function bindTcp(address: TcpAddress, backlog: number): Promise<Bound> {
  const { host, port } = address
  try {
    const server = await listen(host === '' ? { port, backlog } : { host, port, backlog })
    const actual = server.address()
    return bound(server, { ...address, port: typeof actual === 'object' && actual !== null ? actual.port : port })
  } catch (error) {
    throw explainTcp(error, address)
  }
}

function statOf(fd: number): Stats {
  try {
    return fstatSync(fd)
  } catch (error) {
    throw new ListenError('descriptor', `descriptor ${fd} is not open: whoever starts the program must pass it`, error)
  }
}

/**
 * Whether `fd` is an open, listening socket: how a program finds out that a web server started it (FastCGI 1.0 §2.2).
 * Where the system does not tell sockets apart, any socket counts.
 */
export function isListeningSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket() && isListening(fd) !== false
  } catch {
    return false // Not open.
  }
}

/** One that does not listen yet will. @throws ListenError unless `fd` is a socket that can listen */
export function checkDescriptor(fd: number): void {
  if (!statOf(fd).isSocket()) {
    throw new ListenError('descriptor', `descriptor ${fd} is not a socket: pass a listening socket, or set socket=`)
  }
  if (canListen(fd) === false) {
    const what = `descriptor ${fd} is a connection, or a socket for datagrams`
    throw new ListenError('descriptor', `${what}: pass a listening one (Accept=no in a socket unit)`)
  }
}

async function bindDescriptor(address: DescriptorAddress, backlog: number): Promise<Bound> {
  const { fd, path } = address
  checkDescriptor(fd)
  try {
    const server = await listen({ fd, backlog })
    const identity = path === undefined ? undefined : identityOf(path)
    return bound(server, address, path !== undefined && identity !== undefined ? { path, identity } : undefined)
  } catch (error) {
    throw new ListenError('descriptor', `cannot listen on descriptor ${fd}: ${messageOf(error)}`, error)
  }
}

/**
 * Binds one address and listens on it.
 * @throws ListenError with one line: what failed, for which value, what to do
 */
export async function bind(address: Address, options: BindOptions = {}): Promise<Bound> {
  const backlog = options.backlog ?? DEFAULT_BACKLOG
  switch (address.kind) {
    case 'tcp':
      return bindTcp(address, backlog)
    case 'fd':
      return bindDescriptor(address, backlog)
    case 'unix': {
      const path = resolve(address.path)
      const { server, identity } = await listenAtPath(address, where => listen({ ...where, backlog }))
      return bound(server, { ...address, path }, { path, identity })
    }
    default:
      return address satisfies never
  }
}

/**
 * Binds all, or none: if one fails, those bound before it are closed again.
 * @throws ListenError
 */
export async function bindAll(addresses: readonly Address[], options: BindOptions = {}): Promise<Bound[]> {
  const all: Bound[] = []
  try {
    for (const address of addresses) all.push(await bind(address, options))
    return all
  } catch (error) {
    for (const one of all) await one.close({ leaveFile: one.address.kind === 'fd' })
    throw error
  }
}
