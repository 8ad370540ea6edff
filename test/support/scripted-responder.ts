/**
 * A FastCGI responder whose every record is written by the test: for the web server's side, which must cope with replies
 * that our own responder never sends. It answers on real sockets and knows no more of the protocol than it needs.
 */

import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { KEEP_CONN, RecordType } from '../../src/fcgi/constants.ts'
import { decodePairs } from '../../src/fcgi/pairs.ts'
import { RecordParser } from '../../src/fcgi/parser.ts'
import { endRequest, record, streamEnd } from '../../src/fcgi/record.ts'
import { soon } from './until.ts'

export class ScriptedRequest {
  readonly socket: net.Socket
  readonly id: number
  readonly role: number
  readonly keepConn: boolean
  params: Readonly<Record<string, string>> = {}
  /** Names in the order in which they came. */
  names: readonly string[] = []
  aborted = false
  /** STDIN so far; empty it as you like. */
  readonly stdin: Buffer[] = []
  stdinEnded = false
  readonly #events = new EventEmitter()

  constructor(socket: net.Socket, id: number, role: number, flags: number) {
    this.socket = socket
    this.id = id
    this.role = role
    this.keepConn = (flags & KEEP_CONN) !== 0
  }

  /** The whole body. */
  async body(): Promise<Buffer> {
    if (!this.stdinEnded) await soon('the end of STDIN', once(this.#events, 'end'))
    return Buffer.concat(this.stdin)
  }

  takeStdin(chunk: Buffer): void {
    if (chunk.length > 0) this.stdin.push(Buffer.from(chunk))
    else {
      this.stdinEnded = true
      this.#events.emit('end')
    }
  }

  stdout(text: string): this {
    this.socket.write(record(RecordType.stdout, this.id, text), 'latin1')
    return this
  }

  stderr(text: string): this {
    this.socket.write(record(RecordType.stderr, this.id, text), 'latin1')
    return this
  }

  /** The end of the reply, and of the connection if it was not to be kept. */
  end(appStatus = 0, protocolStatus: 0 | 1 | 2 | 3 = 0): void {
    this.socket.write(streamEnd(RecordType.stdout, this.id) + endRequest(this.id, appStatus, protocolStatus), 'latin1')
    if (!this.keepConn) this.socket.end()
  }

  /** A whole reply in one write. */
  reply(text: string): void {
    this.socket.cork()
    this.stdout(text)
    this.end()
    this.socket.uncork()
  }
}

export interface ScriptedResponder extends AsyncDisposable {
  readonly target: { readonly kind: 'unix'; readonly path: string }
  /** Connections accepted so far, the closed ones included. */
  readonly connections: () => number
  readonly sockets: ReadonlySet<net.Socket>
  close(): Promise<void>
}

/** Calls `answer` at the end of each request's PARAMS. `backlog` connections at most wait to be accepted. */
export async function scriptedResponder(
  answer: (request: ScriptedRequest) => unknown,
  backlog = 511,
): Promise<ScriptedResponder> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'scripted-'))
  const target = { kind: 'unix', path: path.join(folder, 'fcgi.sock') } as const
  const sockets = new Set<net.Socket>()
  let accepted = 0
  const server = net.createServer(socket => {
    accepted++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    converse(socket, answer)
  })
  server.listen({ path: target.path, backlog })
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    if (server.listening) {
      server.close()
      await once(server, 'close')
    }
    await rm(folder, { recursive: true, force: true })
  }
  return { target, connections: () => accepted, sockets, close, [Symbol.asyncDispose]: close }
}

function converse(socket: net.Socket, answer: (request: ScriptedRequest) => unknown): void {
  const requests = new Map<number, ScriptedRequest>()
  const pairs = new Map<number, string>()
  const parser = new RecordParser({
    onRecord(type, id, bytes, start) {
      const request = requests.get(id)
      if (type === RecordType.abortRequest && request !== undefined) request.aborted = true
      if (type !== RecordType.beginRequest) return
      requests.set(id, new ScriptedRequest(socket, id, bytes.readUInt16BE(start), bytes.readUInt8(start + 2)))
      pairs.set(id, '')
    },
    onStream(type, id, bytes, start, end) {
      const request = requests.get(id)
      if (request === undefined) return
      if (type === RecordType.stdin) request.takeStdin(bytes.subarray(start, end))
      if (type !== RecordType.params) return
      if (start < end) {
        pairs.set(id, pairs.get(id) + bytes.toString('latin1', start, end))
        return
      }
      const { names, values } = decodePairs(Buffer.from(pairs.get(id) ?? '', 'latin1'))
      request.names = names
      request.params = Object.fromEntries(names.map((name, index) => [name, values[index] as string]))
      answer(request)
    },
  })
  socket.on('data', chunk => parser.receive(chunk))
}
