/**
 * What carries records between the main thread and a worker thread: a ring for each direction (ring.ts), and a MessagePort
 * for what a ring is too small for and to wake a side that sleeps. Both ends are the same.
 *
 * A message costs several microseconds, and to be woken by one costs more than most requests do. So a side that has worked
 * off what there was looks again a few times, one turn of its event loop each, before it sleeps; while it looks, nobody has
 * to wake it, and what arrives from then on travels without any message. Measured: README, "How fast it is".
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { maxPayload, RingReader, RingWriter, ringSize } from './ring.ts'

/** Bytes of each ring. */
const CAPACITY = 65_536

/** A longer payload is handed over by message instead: its copy is then the receiver's to keep. */
const MAX_IN_RING = Math.min(16_384, maxPayload(CAPACITY))

/** Added to the kind of a record whose payload comes, or came, by message. */
const ATTACHED = 0x100

/** Payloads up to this length are given out as text, which is cheaper to join and to write. */
const SHORT = 4_096

/** So many turns without anything new a side looks on before it sleeps. */
const LOOKS = 1

/** How long a side may keep the other one asleep while it works off what there is, in milliseconds. */
const MAX_SILENCE_MS = 0.5

/** Says no more than that there is something. */
const WAKE = 0

/** The memory in front of the rings, in cells of four bytes: what both sides of a channel see, then what their users add. */
const Cell = { mainSleeps: 0, threadSleeps: 16, mainWaits: 32, threadWaits: 33, free: 48 } as const
const CELLS = 64

const CELL_BYTES = CELLS * Int32Array.BYTES_PER_ELEMENT

/** Memory for one channel. */
export const channelMemory = (): SharedArrayBuffer => new SharedArrayBuffer(CELL_BYTES + 2 * ringSize(CAPACITY))

/** The cells of it that are for its users: sixteen, for what must be seen while the other side does not listen. */
export const freeCells = (memory: SharedArrayBuffer): Int32Array =>
  new Int32Array(memory, Cell.free * Int32Array.BYTES_PER_ELEMENT, CELLS - Cell.free)

type Side = 'main' | 'thread'

/** A record as it is received. What it tells of the payload holds until the receiver returns. */
export interface Received {
  readonly kind: number
  readonly id: number
  readonly code: number
  readonly amount: number
  /** Where the payload is. */
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  /** The first part of the payload, one character a byte. */
  text(): string
  /** The second part: one character a byte, or bytes that are the receiver's to keep. */
  content(): string | Buffer
  /** All of it, as bytes that are the receiver's to keep. */
  chunk(): Buffer
}

/** A record for which the ring had no room. */
interface Kept {
  readonly kind: number
  readonly id: number
  readonly code: number
  readonly amount: number
  readonly split: number
  readonly payload: Buffer
}

const NOTHING = Buffer.alloc(0)

export class ThreadChannel implements Received {
  readonly #cells: Int32Array
  readonly #port: MessagePort
  readonly #writer: RingWriter
  readonly #reader: RingReader
  readonly #receive: (record: Received) => void
  readonly #sleeps: number
  readonly #peerSleeps: number
  readonly #waits: number
  readonly #peerWaits: number
  readonly #wakesAtOnce: boolean
  /** Payloads that came by message before their records were read. */
  readonly #attached: Uint8Array[] = []
  #kept: Kept[] = []
  /** A turn is to come. */
  #turning = false
  /** Something was sent since the other side was last looked after. */
  #silent = false
  #waking = false
  /** Turns in which nothing was new. */
  #looked = 0
  #attachment: Buffer | null = null

  /** @param receive called for each record. What it throws passes through; the rest is worked off in another turn. */
  constructor(memory: SharedArrayBuffer, port: MessagePort, side: Side, receive: (record: Received) => void) {
    const isMain = side === 'main'
    this.#cells = new Int32Array(memory, 0, CELLS)
    const [toThread, toMain] = [CELL_BYTES, CELL_BYTES + ringSize(CAPACITY)]
    this.#writer = new RingWriter(memory, isMain ? toThread : toMain, CAPACITY)
    this.#reader = new RingReader(memory, isMain ? toMain : toThread, CAPACITY)
    this.#sleeps = isMain ? Cell.mainSleeps : Cell.threadSleeps
    this.#peerSleeps = isMain ? Cell.threadSleeps : Cell.mainSleeps
    this.#waits = isMain ? Cell.mainWaits : Cell.threadWaits
    this.#peerWaits = isMain ? Cell.threadWaits : Cell.mainWaits
    this.#wakesAtOnce = !isMain
    this.#receive = receive
    this.#port = port
    port.on('message', (message: typeof WAKE | Uint8Array) => this.#hear(message))
    this.#sleep()
  }

  /**
   * Sends a record. `code`: 32 bits; `text`: one character a byte; `content`: what follows it, a string as UTF-8 unless
   * `latin1` is set. Nothing of it is kept. Returns how many bytes text and content are.
   */
  send(
    kind: number,
    id: number,
    code = 0,
    amount = 0,
    text = '',
    content: string | Uint8Array = '',
    latin1 = true,
  ): number {
    const utf8 = typeof content === 'string' && !latin1
    const length = text.length + (utf8 ? Buffer.byteLength(content) : content.length)
    const writer = this.#writer
    const at = length > MAX_IN_RING || this.#kept.length > 0 ? -1 : writer.reserve(length)
    if (at < 0) this.#keep(kind, id, code, amount, length, text, content, utf8)
    else {
      fill(writer.bytes, at, text, content, utf8)
      writer.commit(kind, id, code, amount, text.length)
    }
    this.#announce()
    return length
  }

  /** Works off what has arrived, whether or not this side was told. True if there was anything. */
  receive(): boolean {
    const reader = this.#reader
    if (!reader.next()) return false
    const began = performance.now()
    let more = true
    try {
      do {
        this.#take()
        this.#receive(this)
        if (this.#silent && performance.now() - began > MAX_SILENCE_MS) this.#wakePeer()
        more = reader.next()
      } while (more)
    } finally {
      if (more) this.#turnSoon()
    }
    if (Atomics.load(this.#cells, this.#peerWaits) === 1) {
      Atomics.store(this.#cells, this.#peerWaits, 0)
      this.#port.postMessage(WAKE)
    }
    return true
  }

  close(): void {
    this.#port.close()
  }

  // The record being received.

  get kind(): number {
    return this.#reader.kind & ~ATTACHED
  }

  get id(): number {
    return this.#reader.id
  }

  get code(): number {
    return this.#reader.code
  }

  get amount(): number {
    return this.#reader.amount
  }

  get bytes(): Buffer {
    return this.#attachment ?? this.#reader.bytes
  }

  get start(): number {
    return this.#attachment === null ? this.#reader.start : 0
  }

  get end(): number {
    return this.#attachment === null ? this.#reader.start + this.#reader.length : this.#attachment.length
  }

  text(): string {
    return this.bytes.toString('latin1', this.start, this.start + this.#reader.split)
  }

  content(): string | Buffer {
    const [start, end] = [this.start + this.#reader.split, this.end]
    return end - start < SHORT ? this.bytes.toString('latin1', start, end) : this.#own(start, end)
  }

  chunk(): Buffer {
    return this.#own(this.start, this.end)
  }

  #own(start: number, end: number): Buffer {
    const part = this.bytes.subarray(start, end)
    return this.#attachment === null ? Buffer.from(part) : part
  }

  /** Its payload, if that comes by message, was posted before the record was written. */
  #take(): void {
    this.#attachment = null
    if ((this.#reader.kind & ATTACHED) === 0) return
    let bytes = this.#attached.shift()
    while (bytes === undefined) {
      const { message } = receiveMessageOnPort(this.#port) as { message: typeof WAKE | Uint8Array }
      if (message !== WAKE) bytes = message
    }
    this.#attachment = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  // Waking and sleeping.

  #hear(message: typeof WAKE | Uint8Array): void {
    if (message !== WAKE) this.#attached.push(message)
    this.#turn()
  }

  #turnSoon(): void {
    if (this.#turning) return
    this.#turning = true
    Atomics.store(this.#cells, this.#sleeps, 0)
    setImmediate(turn, this)
  }

  turn(): void {
    this.#turning = false
    this.#turn()
  }

  #turn(): void {
    if (this.#kept.length > 0) {
      this.#sendKept()
      this.#silent = true
    }
    if (this.#silent) this.#wakePeer()
    this.#looked = this.receive() ? 0 : this.#looked + 1
    if (this.#silent) this.#wakePeer()
    if (this.#turning) return
    if (this.#looked < LOOKS) this.#turnSoon()
    else this.#sleep()
  }

  #sleep(): void {
    Atomics.store(this.#cells, this.#sleeps, 1)
    if (this.#reader.more) this.#turnSoon()
  }

  /** The other side is woken when the running callback has returned, or at the end of this turn. */
  #announce(): void {
    if (this.#silent) return
    this.#silent = true
    if (!this.#wakesAtOnce) this.#turnSoon()
    else if (!this.#waking) {
      this.#waking = true
      process.nextTick(wake, this)
    }
  }

  wake(): void {
    this.#waking = false
    if (this.#silent) this.#wakePeer()
  }

  #wakePeer(): void {
    this.#silent = false
    if (Atomics.load(this.#cells, this.#peerSleeps) === 0) return
    if (Atomics.exchange(this.#cells, this.#peerSleeps, 0) === 1) this.#port.postMessage(WAKE)
  }

  // What finds no room.

  #keep(
    kind: number,
    id: number,
    code: number,
    amount: number,
    length: number,
    text: string,
    content: string | Uint8Array,
    utf8: boolean,
  ): void {
    const payload = length === 0 ? NOTHING : Buffer.allocUnsafeSlow(length)
    fill(payload, 0, text, content, utf8)
    const split = text.length
    if (length > MAX_IN_RING) {
      this.#port.postMessage(payload, [payload.buffer as ArrayBuffer])
      this.#kept.push({ kind: kind | ATTACHED, id, code, amount, split, payload: NOTHING })
    } else this.#kept.push({ kind, id, code, amount, split, payload })
    this.#sendKept()
  }

  /** As many as there is room for. Looks once more after it has said that it waits: the other side may just have looked. */
  #sendKept(): void {
    let sent = this.#sendSome()
    if (sent < this.#kept.length) {
      Atomics.store(this.#cells, this.#waits, 1)
      sent = this.#sendSome(sent)
    }
    this.#kept = this.#kept.slice(sent)
  }

  #sendSome(from = 0): number {
    for (let at = from; at < this.#kept.length; at++) {
      const { kind, id, code, amount, split, payload } = this.#kept[at] as Kept
      const start = this.#writer.reserve(payload.length)
      if (start < 0) return at
      payload.copy(this.#writer.bytes, start)
      this.#writer.commit(kind, id, code, amount, split)
    }
    return this.#kept.length
  }
}

const turn = (channel: ThreadChannel): void => channel.turn()

const wake = (channel: ThreadChannel): void => channel.wake()

function fill(bytes: Buffer, at: number, text: string, content: string | Uint8Array, utf8: boolean): void {
  if (typeof content === 'string' && !utf8) bytes.write(text + content, at, 'latin1')
  else {
    if (text !== '') bytes.write(text, at, 'latin1')
    if (typeof content === 'string') bytes.write(content, at + text.length)
    else bytes.set(content, at + text.length)
  }
}
