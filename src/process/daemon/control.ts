/**
 * The control socket of a daemon: where `runfcgi stop`, `reload`, `status` … are heard. It is the lock of the daemon as
 * well: bound by the rules of src/server/sockets/unix-socket.ts, of any number of starters exactly one gets it, and one whose
 * process has died stands in nobody's way. Node has no flock(2).
 *
 * Knows connections and lines, not what the commands do. Only the user who started the daemon (and root) can connect:
 * the mode is 0600. Nothing that a peer does or leaves undone holds the daemon up.
 */

import { renameSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { ListenError } from '../../server/sockets/listen-error.ts'
import { serveAt } from '../../server/sockets/reserve.ts'
import { holderOf } from '../../server/sockets/socket-holder.ts'
import { temporaryName } from '../../server/sockets/temporary-name.ts'
import {
  type FileIdentity,
  identityOf,
  privately,
  refuseIfTaken,
  removeIfSame,
} from '../../server/sockets/unix-socket.ts'
import { messageOf } from '../../server/thrown.ts'
import { callControl } from './control-client.ts'
import { type ControlReply, type ControlRequest, LineReader, line, PING, type Pong } from './control-messages.ts'
import { DaemonError } from './daemon-error.ts'

/** Does one command. `progress` reaches whoever waits for it; what it returns is the result, what it throws the error. */
export type ControlHandler = (request: ControlRequest, progress: (text: string) => void) => unknown

export type ControlHandlers = ReadonlyMap<string, ControlHandler>

export interface Control {
  readonly path: string
  /**
   * Only after `takeOver`: puts the socket in the place of the predecessor's, which must not have been closed.
   * @throws DaemonError `control`
   */
  publish(): Promise<void>
  /** Stops listening, and removes the file if it is still ours: that of a successor stays. Synchronous, never throws. */
  close(): void
}

export interface ControlOptions {
  /** The socket at the path is that of a daemon whose place this one takes: stay beside it until `publish`. */
  readonly takeOver?: boolean
}

/** A request is a line of no more than this. */
const MAX_REQUEST = 64 * 1024

/** How long a peer may take to send its request, and to read the last line of the answer, in milliseconds. */
const PATIENCE_MS = 10_000

/** How often whoever waits hears that the daemon lives, in milliseconds. */
const BEAT_MS = 1_000

/** Commands at once; a peer above it is closed. */
const MAX_PEERS = 64

/** Progress that the peer has not read, in bytes: above it gets no more. */
const MAX_UNREAD = 64 * 1024

/**
 * Opens the control socket at `path`, which must be absolute.
 * @throws DaemonError `already-running` (its message names the process), `control`
 */
export async function openControl(
  path: string,
  handlers: ControlHandlers,
  { takeOver = false }: ControlOptions = {},
): Promise<Control> {
  try {
    return takeOver ? await openBeside(path, handlers) : await openAt(path, handlers)
  } catch (error) {
    throw await explain(error, path)
  }
}

async function openAt(path: string, handlers: ControlHandlers): Promise<Control> {
  const socket = await serveAt({ kind: 'unix', path, mode: 0o600 }, createControlServer(handlers))
  // The folder may be root's, and we are not any more: nobody answers at the file, which is all that counts.
  const close = (): void => void socket.close({ now: true }).catch(() => {})
  return { path, publish: async () => {}, close }
}

/** Under a temporary name it is a lock (src/server/sockets/unix-socket.ts): no stranger takes the place if the predecessor dies. */
async function openBeside(path: string, handlers: ControlHandlers): Promise<Control> {
  const own = temporaryName(path)
  const server = createControlServer(handlers)
  await privately(
    () =>
      new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(own, resolve)
      }),
  )
  return new ControlBeside(path, server, own)
}

class ControlBeside implements Control {
  readonly path: string
  readonly #server: Server
  readonly #identity: FileIdentity
  /** Whose place is taken. */
  readonly #predecessor: FileIdentity | undefined
  /** Where the socket is now. */
  #name: string

  constructor(path: string, server: Server, name: string) {
    this.path = path
    this.#server = server
    this.#name = name
    this.#identity = identityOf(name) as FileIdentity
    this.#predecessor = identityOf(path)
  }

  async publish(): Promise<void> {
    try {
      const now = identityOf(this.path)
      if (now !== undefined && now.ino !== this.#predecessor?.ino) await refuseIfTaken(this.path)
      renameSync(this.#name, this.path)
      this.#name = this.path
    } catch (error) {
      throw await explain(error, this.path)
    }
  }

  close(): void {
    this.#server.close()
    try {
      removeIfSame(this.#name, this.#identity)
    } catch {
      // The folder is root's and we are not any more: nobody answers there, which is all that counts.
    }
  }
}

/** In the way stands a daemon, or the system. */
async function explain(error: unknown, path: string): Promise<DaemonError> {
  if (!(error instanceof ListenError)) {
    return new DaemonError('control', `cannot make the control socket ${path}: ${messageOf(error)}`, error)
  }
  if (error.code === 'in-use') {
    const pid = await whoHolds(path)
    const who = pid === undefined ? 'already running' : `already running as process ${pid}`
    return new DaemonError('already-running', who, error)
  }
  const todo = ['path-too-long', 'system'].includes(error.code)
    ? '; control=PATH puts the control socket elsewhere'
    : ''
  return new DaemonError('control', `control ${error.message}${todo}`, error)
}

/** The process whose control socket is at `path`: it says so itself; while it is too busy to, the system may. */
export async function whoHolds(path: string): Promise<number | undefined> {
  try {
    const { pid } = (await callControl(path, { command: PING }, { silenceMs: 1_000 })) as Pong
    return pid
  } catch {
    return holderOf(path)
  }
}

function createControlServer(handlers: ControlHandlers): Server {
  const server = createServer(socket => new Peer(socket, handlers))
  server.maxConnections = MAX_PEERS
  // While it serves, such as: no descriptor is left to accept with. The next peer may have more luck.
  server.on('error', () => {})
  // Serving is what keeps a daemon alive.
  return server.unref()
}

/** One connection, one command. */
class Peer {
  readonly #socket: Socket
  readonly #handlers: ControlHandlers
  readonly #lines = new LineReader(MAX_REQUEST)
  #asked = false

  constructor(socket: Socket, handlers: ControlHandlers) {
    this.#socket = socket
    this.#handlers = handlers
    socket.unref()
    // It has left before its answer came: what it asked for goes on.
    socket.on('error', () => socket.destroy())
    socket.setTimeout(PATIENCE_MS, () => socket.destroy())
    socket.setEncoding('utf8').on('data', (text: string) => this.#receive(text))
  }

  #receive(text: string): void {
    if (this.#asked) return
    const lines = this.#lines.read(text)
    if (lines === undefined) this.#end({ ok: false, error: `a request of more than ${MAX_REQUEST} bytes` })
    else if (lines[0] !== undefined) void this.#answer(lines[0])
  }

  async #answer(text: string): Promise<void> {
    this.#asked = true
    const request = parse(text)
    const handler = request && this.#handlerOf(request)
    if (request === undefined) this.#end({ ok: false, error: 'no request: a line of JSON with a command is expected' })
    else if (handler === undefined) {
      this.#end({ ok: false, error: `this daemon does not know the command '${request.command.slice(0, 100)}'` })
    } else await this.#carryOut(request, handler)
  }

  #handlerOf({ command }: ControlRequest): ControlHandler | undefined {
    return command === PING ? (): Pong => ({ pid: process.pid }) : this.#handlers.get(command)
  }

  async #carryOut(request: ControlRequest, handler: ControlHandler): Promise<void> {
    this.#socket.setTimeout(0)
    this.#send({ accepted: true })
    const beat = setInterval(() => this.#send({ accepted: true }), BEAT_MS).unref()
    this.#socket.once('close', () => clearInterval(beat))
    try {
      const result = await handler(request, progress => this.#send({ progress }))
      this.#end({ ok: true, ...(result !== undefined && { result }) })
    } catch (error) {
      this.#end({ ok: false, error: messageOf(error) })
    } finally {
      clearInterval(beat)
    }
  }

  #send(reply: ControlReply): void {
    const { writable, writableLength } = this.#socket
    if (writable && writableLength < MAX_UNREAD) this.#socket.write(line(reply))
  }

  #end(reply: ControlReply): void {
    this.#asked = true
    if (!this.#socket.writable) return
    this.#socket.setTimeout(PATIENCE_MS)
    this.#socket.end(line(reply))
  }
}

function parse(text: string): ControlRequest | undefined {
  try {
    const request: unknown = JSON.parse(text)
    const command = typeof request === 'object' && request !== null && Reflect.get(request, 'command')
    return typeof command === 'string' ? (request as ControlRequest) : undefined
  } catch {
    return undefined // No JSON.
  }
}
