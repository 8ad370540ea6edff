/**
 * What carries records between the main thread and a worker thread: a ring for each direction (ring.ts), and a MessagePort
 * for what a ring is too small for and to wake a side that sleeps. Both ends are the same.
 *
 * To sleep and be woken by a message costs both sides together 12 µs of CPU: as much as a whole request without threads. So
 * nobody is told of a record. A side that had something to do looks once more, in the next turn of its event loop, before it
 * says that it sleeps; only then has it to be woken, once, and with all that was sent in one turn. To look more often costs
 * more than it saves.
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { ATTACHED, fill, type Received, ReceivedRecord } from './record.ts'
import { maxPayload, RingReader, RingWriter, ringSize } from './ring.ts'

/** Bytes of each ring. */
const CAPACITY = 65_536

/** A longer payload is attached to its record, by message. */
const MAX_IN_RING = Math.min(16_384, maxPayload(CAPACITY))

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

export class ThreadChannel {
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
  readonly #record: ReceivedRecord
  /** Payloads that were posted with `flush`, or will be; and those that came. */
  #attaching: Uint8Array<ArrayBuffer>[] = []
  readonly #attached: Uint8Array[] = []
  /** The payload of the record that the reader is at has not come yet. */
  #blocked = false
  #kept: Kept[] = []
  /** A turn is to come. */
  #turning = false
  /** Something was sent since the other side was last looked after. */
  #silent = false
  #waking = false

  /** @param receive called for each record. What it throws passes through; the rest is worked off in another turn. */
  constructor(memory: SharedArrayBuffer, port: MessagePort, side: Side, receive: (record: Received) => void) {
    const isMain = side === 'main'
    this.#cells = new Int32Array(memory, 0, CELLS)
    const [toThread, toMain] = [CELL_BYTES, CELL_BYTES + ringSize(CAPACITY)]
    this.#writer = new RingWriter(memory, isMain ? toThread : toMain, CAPACITY)
    this.#reader = new RingReader(memory, isMain ? toMain : toThread, CAPACITY)
    this.#record = new ReceivedRecord(this.#reader)
    this.#sleeps = isMain ? Cell.mainSleeps : Cell.threadSleeps
    this.#peerSleeps = isMain ? Cell.threadSleeps : Cell.mainSleeps
    this.#waits = isMain ? Cell.mainWaits : Cell.threadWaits
    this.#peerWaits = isMain ? Cell.threadWaits : Cell.mainWaits
    this.#wakesAtOnce = !isMain
    this.#receive = receive
    this.#port = port
    port.on('message', (message: typeof WAKE | Uint8Array[]) => this.#hear(message))
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
    const attached = length > MAX_IN_RING
    const at = this.#kept.length > 0 ? -1 : this.#writer.reserve(attached ? 0 : length)
    if (at >= 0 && !attached) {
      fill(this.#writer.bytes, at, text, content, utf8)
      this.#writer.commit(kind, id, code, amount, text.length)
    } else {
      const payload = Buffer.allocUnsafeSlow(length)
      fill(payload, 0, text, content, utf8)
      if (attached) this.#attaching.push(payload as Uint8Array<ArrayBuffer>)
      const record = { kind: attached ? kind | ATTACHED : kind, id, code, amount, split: text.length }
      const waiting = this.#kept.push({ ...record, payload: attached ? NOTHING : payload })
      if (waiting === 1) this.#sendKept()
    }
    this.#announce()
    return length
  }

  /** Posts what is attached and wakes the other side: now, and not at the end of the turn. */
  flush(): void {
    this.#silent = false
    const attached = this.#attaching
    if (attached.length > 0) {
      this.#attaching = []
      Atomics.store(this.#cells, this.#peerSleeps, 0)
      const buffers = attached.map(({ buffer }) => buffer)
      this.#port.postMessage(attached, buffers)
    } else if (Atomics.load(this.#cells, this.#peerSleeps) === 1) {
      if (Atomics.exchange(this.#cells, this.#peerSleeps, 0) === 1) this.#port.postMessage(WAKE)
    }
  }

  /** Works off what has arrived, whether or not this side was told. True if there was anything. */
  receive(): boolean {
    if (!this.#next()) return false
    const began = performance.now()
    let more = true
    try {
      do {
        this.#receive(this.#record)
        if (this.#silent && performance.now() - began > MAX_SILENCE_MS) this.flush()
        more = this.#next()
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

  /** Goes on to the next record. False if there is none, or if what is attached to it has still to come. */
  #next(): boolean {
    if (!this.#blocked && !this.#reader.next()) return false
    const record = this.#record
    if (!record.attached) record.attachment = null
    else {
      const bytes = this.#nextAttached()
      this.#blocked = bytes === undefined
      if (bytes === undefined) return false
      record.attachment = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    return true
  }

  #nextAttached(): Uint8Array | undefined {
    while (this.#attached.length === 0) {
      const received = receiveMessageOnPort(this.#port)
      if (received === undefined) return undefined
      if (received.message !== WAKE) this.#attached.push(...received.message)
    }
    return this.#attached.shift()
  }

  close(): void {
    this.#port.close()
  }

  // Waking and sleeping.

  #hear(message: typeof WAKE | Uint8Array[]): void {
    if (message !== WAKE) this.#attached.push(...message)
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
    if (this.#silent) this.flush()
    const received = this.receive()
    if (this.#silent) this.flush()
    if (received) this.#turnSoon()
    else if (!this.#turning) this.#sleep()
  }

  #sleep(): void {
    Atomics.store(this.#cells, this.#sleeps, 1)
    if (!this.#blocked && this.#reader.more) this.#turnSoon()
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
    if (this.#silent) this.flush()
  }

  // What finds no room.

  /** As many as there is room for. Looks once more after it has said that it waits: the other side may just have looked. */
  #sendKept(): void {
    let sent = this.#sendSome()
    if (sent < this.#kept.length) {
      Atomics.store(this.#cells, this.#waits, 1)
      sent = this.#sendSome(sent)
    }
    if (sent > 0) this.#kept = this.#kept.slice(sent)
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
