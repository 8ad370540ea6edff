/**
 * The web server's side of FastCGI for tests of the wire: records made by hand, and a client that refuses everything a
 * web server would. Uses nothing of src/, and reads every reply a second time through `fastcgi-stream`, so that our codec
 * is never tested against itself only.
 */

import { EventEmitter } from 'node:events'
import * as net from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import fastcgiStream, { type FastCGIRecord } from 'fastcgi-stream'
import { soon } from './until.ts'

export const BEGIN = 1
export const ABORT = 2
export const END = 3
export const PARAMS = 4
export const STDIN = 5
export const STDOUT = 6
export const STDERR = 7
export const DATA = 8
export const GET_VALUES = 9
export const GET_VALUES_RESULT = 10
export const UNKNOWN_TYPE = 11

type Content = string | Buffer
type Entries = Readonly<Record<string, string>> | readonly (readonly [name: string, value: string])[]

const bytesOf = (content: Content): Buffer => (typeof content === 'string' ? Buffer.from(content, 'latin1') : content)

/** Any record at all. Padding is filled with 0xAA: its content must not matter. */
export function rec(type: number, id: number, content: Content = '', { padding = 0, version = 1 } = {}): Buffer {
  const body = bytesOf(content)
  const header = Buffer.from([version, type, id >> 8, id & 255, body.length >> 8, body.length & 255, padding, 0])
  return Buffer.concat([header, body, Buffer.alloc(padding, 0xaa)])
}

export const begin = (id: number, { keep = true, role = 1 } = {}): Buffer =>
  rec(BEGIN, id, Buffer.from([role >> 8, role & 255, keep ? 1 : 0, 0, 0, 0, 0, 0]))

const pairLength = (length: number): Buffer =>
  length < 128 ? Buffer.from([length]) : Buffer.from([(length >>> 24) | 0x80, length >> 16, length >> 8, length])

export function pair(name: string, value: string): Buffer {
  return Buffer.concat([pairLength(name.length), pairLength(value.length), bytesOf(name), bytesOf(value)])
}

export const pairs = (entries: Entries): Buffer =>
  Buffer.concat((Array.isArray(entries) ? entries : Object.entries(entries)).map(([name, value]) => pair(name, value)))

/** A stream in records of at most `size` bytes, without its end. */
export function stream(type: number, id: number, content: Content, size = 65_535, padding = 0): Buffer {
  const body = bytesOf(content)
  const records: Buffer[] = []
  for (let at = 0; at < body.length; at += size) records.push(rec(type, id, body.subarray(at, at + size), { padding }))
  return Buffer.concat(records)
}

/** What a request has when the test does not care. */
export const PLAIN: Readonly<Record<string, string>> = {
  REQUEST_METHOD: 'GET',
  SCRIPT_NAME: '',
  PATH_INFO: '/',
  REQUEST_URI: '/',
  QUERY_STRING: '',
  SERVER_PROTOCOL: 'HTTP/1.1',
}

export const params = (id: number, entries: Entries = PLAIN): Buffer =>
  Buffer.concat([stream(PARAMS, id, pairs(entries)), rec(PARAMS, id)])

export const stdin = (id: number, content: Content): Buffer => stream(STDIN, id, content)

export const stdinEnd = (id: number): Buffer => rec(STDIN, id)

export const abort = (id: number): Buffer => rec(ABORT, id)

export interface RequestInit {
  readonly id?: number
  readonly keep?: boolean
  readonly params?: Entries
  readonly body?: Content
}

/** A whole request. */
export function request({ id = 1, keep = true, params: entries = PLAIN, body = '' }: RequestInit = {}): Buffer {
  return Buffer.concat([begin(id, { keep }), params(id, entries), stdin(id, body), stdinEnd(id)])
}

export interface WireRecord {
  readonly type: number
  readonly id: number
  readonly content: Buffer
  readonly padding: number
}

export interface Reply {
  readonly id: number
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
  readonly text: string
  readonly stderr: string
  readonly appStatus: number
  readonly protocolStatus: number
  /** In the order in which they came; END_REQUEST is the last. */
  readonly records: readonly WireRecord[]
}

/** The header block and the body of what came on STDOUT, as CGI has it (RFC 3875 §6). */
function splitHead(stdout: Buffer): { status: number; headers: Headers; body: Buffer } {
  const end = stdout.indexOf('\r\n\r\n')
  const lines = end < 0 ? [] : stdout.toString('latin1', 0, end).split('\r\n')
  const headers = new Headers()
  for (const line of lines) headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim())
  return { status: Number.parseInt(headers.get('status') ?? '0', 10), headers, body: stdout.subarray(end + 4) }
}

function replyOf(records: readonly WireRecord[]): Reply {
  const last = records.at(-1) as WireRecord
  const join = (type: number): Buffer => Buffer.concat(records.filter(one => one.type === type).map(one => one.content))
  const { status, headers, body } = splitHead(join(STDOUT))
  return {
    id: last.id,
    status,
    headers,
    body,
    text: body.toString('utf8'),
    stderr: join(STDERR).toString('utf8'),
    appStatus: last.content.readUInt32BE(0),
    protocolStatus: last.content[4] as number,
    records,
  }
}

/** What a record of `fastcgi-stream` holds, in the shape of the bytes it was read from. */
function contentOf(record: FastCGIRecord): unknown {
  switch (record.TYPE) {
    case END:
      return [record.appStatus, record.protocolStatus]
    case UNKNOWN_TYPE:
      return record.type
    case GET_VALUES_RESULT:
      return record.values
    default:
      return record.data === '' ? Buffer.alloc(0) : record.data
  }
}

/** The whole records, and what follows them. */
export function readRecords(bytes: Buffer): { records: WireRecord[]; rest: Buffer } {
  const records: WireRecord[] = []
  let rest = bytes
  while (rest.length >= 8) {
    const length = rest.readUInt16BE(4)
    const padding = rest[6] as number
    if (rest[0] !== 1) throw new Error(`record of version ${rest[0]}`)
    if (rest.length < 8 + length + padding) break
    records.push({ type: rest[1] as number, id: rest.readUInt16BE(2), content: rest.subarray(8, 8 + length), padding })
    rest = rest.subarray(8 + length + padding)
  }
  return { records, rest }
}

/** Reads records, and reads them again through the other codec. */
class Decoder {
  #rest = Buffer.alloc(0)
  readonly #other = new EventEmitter()
  readonly #others: [id: number, type: number, content: unknown][] = []
  readonly #compare: boolean

  constructor(compare: boolean) {
    this.#compare = compare
    const other = Object.assign(this.#other, { write: () => true })
    new fastcgiStream.FastCGIStream(other).on('record', (id, record) =>
      this.#others.push([id, record.TYPE, contentOf(record)]),
    )
  }

  receive(bytes: Buffer): WireRecord[] {
    if (this.#compare) this.#other.emit('data', bytes)
    const { records, rest } = readRecords(this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]))
    this.#rest = Buffer.from(rest)
    if (this.#compare) for (const record of records) this.#agree(record)
    return records
  }

  get rest(): number {
    return this.#rest.length
  }

  #agree(record: WireRecord): void {
    const [id, type, content] = this.#others.shift() ?? []
    const same =
      id === record.id &&
      type === record.type &&
      (Buffer.isBuffer(content) ? content.equals(record.content) : type !== STDOUT && type !== STDERR)
    if (!same)
      throw new Error(`fastcgi-stream reads another record: ${id} ${type} instead of ${record.id} ${record.type}`)
    if (type === END && JSON.stringify(content) !== JSON.stringify([record.content.readUInt32BE(0), record.content[4]]))
      throw new Error('fastcgi-stream reads another END_REQUEST')
  }
}

export interface ClientOptions {
  /** Read every reply through `fastcgi-stream` as well. Default true; it copies a lot. */
  readonly compare?: boolean
  /** Keep what replies hold after it was checked. Default true; false for very large ones. */
  readonly keepContent?: boolean
}

/** What has come of a reply: its records, and the streams that were used and that have ended. */
interface OpenReply {
  readonly records: WireRecord[]
  readonly used: Set<number>
  readonly ended: Set<number>
}

/**
 * One connection of a web server. A record that no web server expects is a fault, which ends the connection and every
 * wait: other types than STDOUT, STDERR, END_REQUEST and the answers to management records, ids that are not open,
 * anything after an END_REQUEST or after the end of a stream, STDERR without padding, content above 65,528 bytes.
 */
export class Client extends EventEmitter {
  readonly socket: net.Socket
  /** Records with id 0. */
  readonly management: WireRecord[] = []
  /** Chunks in which the bytes arrived. */
  readonly chunks: number[] = []
  /** Bytes received. */
  received = 0
  fault: Error | undefined
  /** How the connection ended: 'end', or the code of the socket's error; undefined as long as it lives. */
  ending: string | undefined
  readonly #open = new Map<number, OpenReply>()
  readonly #replies = new Map<number, Reply[]>()
  readonly #decoder: Decoder
  readonly #keepContent: boolean

  constructor(socket: net.Socket, { compare = true, keepContent = true }: ClientOptions = {}) {
    super()
    this.socket = socket
    this.#decoder = new Decoder(compare)
    this.#keepContent = keepContent
    let code = ''
    socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? error.message
    })
    socket.on('close', () => {
      this.ending = code || 'end'
      this.emit('change')
    })
  }

  /** Tells the client that `id` is in use; `send` does it by itself for whole BEGIN records at the start of a buffer. */
  expect(id: number): void {
    this.#open.set(id, { records: [], used: new Set(), ended: new Set() })
  }

  /** Sends buffers, each in a write of its own. */
  send(...buffers: Buffer[]): this {
    for (const buffer of buffers) {
      this.#noteBegins(buffer)
      this.socket.write(buffer)
    }
    return this
  }

  /** Sends pieces one at a time, giving the other side (in the same process) the time to read each. */
  async sendPieces(buffer: Buffer, split: (bytes: Buffer) => Buffer[]): Promise<void> {
    this.#noteBegins(buffer)
    for (const piece of split(buffer)) {
      this.socket.write(piece)
      await turn()
    }
  }

  /** Resolves once `condition` holds; looked at whenever something arrives. Rejects if the connection ends before. */
  until(what: string, condition: () => boolean): Promise<void> {
    const wait = new Promise<void>((settle, refuse) => {
      const look = (): void => {
        if (this.fault !== undefined) done(() => refuse(this.fault))
        else if (condition()) done(settle)
        else if (this.ending !== undefined)
          done(() => refuse(new Error(`the connection ended (${this.ending}): ${what}`)))
      }
      const done = (outcome: () => void): void => {
        this.off('change', look)
        outcome()
      }
      this.on('change', look)
      look()
    })
    return soon(what, wait)
  }

  /** The next whole reply for `id`. */
  async reply(id = 1): Promise<Reply> {
    await this.until(`reply for request ${id}`, () => (this.#replies.get(id)?.length ?? 0) > 0)
    return this.#replies.get(id)?.shift() as Reply
  }

  /** Sends a whole request and waits for its reply. */
  ask(init: RequestInit = {}): Promise<Reply> {
    return this.send(request(init)).reply(init.id ?? 1)
  }

  /** What has come of a reply so far. */
  stdout(id = 1): Buffer {
    const records = this.#open.get(id)?.records ?? []
    return Buffer.concat(records.filter(one => one.type === STDOUT).map(one => one.content))
  }

  /** Waits until the connection has ended, and tells how. */
  async closed(): Promise<string> {
    await this.until('end of the connection', () => this.ending !== undefined)
    if (this.#decoder.rest > 0 && this.ending === 'end') throw new Error('the connection ended within a record')
    return this.ending as string
  }

  #noteBegins(buffer: Buffer): void {
    for (let at = 0; at + 8 <= buffer.length; ) {
      const [, type, high = 0, low = 0] = buffer.subarray(at, at + 4)
      if (type === BEGIN) this.expect((high << 8) | low)
      at += 8 + buffer.readUInt16BE(at + 4) + (buffer[at + 6] as number)
    }
  }

  #receive(bytes: Buffer): void {
    this.received += bytes.length
    this.chunks.push(bytes.length)
    try {
      for (const record of this.#decoder.receive(bytes)) this.#take(record)
    } catch (error) {
      this.fault ??= error as Error
      this.socket.destroy()
    }
    this.emit('change')
  }

  #take(record: WireRecord): void {
    const { type, id, content } = record
    if (id === 0) {
      if (type !== GET_VALUES_RESULT && type !== UNKNOWN_TYPE) throw new Error(`record of type ${type} with id 0`)
      this.management.push(record)
      return
    }
    const open = this.#open.get(id)
    if (open === undefined) throw new Error(`record of type ${type} for id ${id}, which is not in use`)
    if (content.length > 65_528) throw new Error(`record of ${content.length} bytes`)
    // The responder may end STDERR twice, to find out whether a peer that closed its sending side is still there.
    const again = type === STDERR && content.length === 0
    if (open.ended.has(type) && !again) throw new Error(`record of type ${type} after the end of its stream`)
    if (type === STDERR && record.padding === 0) throw new Error('STDERR without padding: HAProxy 2.6 crashes on it')
    if (type !== STDOUT && type !== STDERR && type !== END) throw new Error(`a web server does not expect type ${type}`)
    if (type !== END) (content.length === 0 ? open.ended : open.used).add(type)
    if (type === END || this.#keepContent) open.records.push(record)
    if (type === END) this.#end(id, open)
  }

  #end(id: number, { records, used, ended }: OpenReply): void {
    const last = records.at(-1) as WireRecord
    if (last.content.length !== 8) throw new Error('END_REQUEST that is not 8 bytes long')
    for (const type of used) if (!ended.has(type)) throw new Error(`END_REQUEST before the end of stream ${type}`)
    this.#open.delete(id)
    const replies = this.#replies.get(id) ?? []
    replies.push(replyOf(records))
    this.#replies.set(id, replies)
  }
}

export async function connectClient(target: net.NetConnectOpts, options?: ClientOptions): Promise<Client> {
  const socket = net.connect(target)
  socket.setNoDelay(true)
  await soon('connection', new Promise((settle, refuse) => socket.once('connect', settle).once('error', refuse)))
  return new Client(socket, options)
}
