/**
 * A ring of records in memory that two threads share: one of them writes, the other one reads, and neither ever waits for
 * the other.
 *
 * A record is a few numbers and a payload of bytes, which lies in one piece: where that does not fit before the end of the
 * memory, the rest of it is skipped. A record is there when it is whole, by one atomic store of the position behind it. So a
 * thread that is ended in the middle of writing one, or of reading one, leaves nothing that could be misread.
 *
 * Positions count the bytes since the start, modulo 2^32, of which every capacity is a divisor.
 */

/** Bytes in front of each payload; see `Word` for what they are. */
const HEADER = 32

/** Records begin at multiples of this: the header holds a double. */
const ALIGNMENT = 8

/** The numbers of a record, in words of four bytes; `amount` is a double and takes the place of two. */
const Word = { size: 0, kind: 1, amount: 2, id: 4, code: 5, split: 6, length: 7 } as const

/** The kind of a record that only fills the memory up to its end. */
const SKIP = 0

/** Where the positions are. Each side writes its own, on a cache line of its own. */
const Cell = { written: 0, read: 16 } as const
const CELLS = 128

/** Bytes of memory that a ring of this capacity takes. */
export const ringSize = (capacity: number): number => CELLS + capacity

/** A payload of up to so many bytes fits as soon as the ring is empty, wherever it then begins. */
export const maxPayload = (capacity: number): number => capacity / 2 - HEADER

const aligned = (length: number): number => (length + ALIGNMENT - 1) & -ALIGNMENT

/** What both sides have of one ring. The position of the other side is where it was when somebody last looked. */
class Ring {
  /** Where payloads are: to be written; to be read until the next record is asked for. */
  readonly bytes: Buffer
  protected readonly cells: Int32Array
  protected readonly words: Int32Array
  protected readonly doubles: Float64Array
  protected readonly capacity: number
  protected written: number
  protected read: number

  /** @param offset a multiple of eight @param capacity in bytes, a power of two */
  constructor(memory: SharedArrayBuffer, offset: number, capacity: number) {
    const start = offset + CELLS
    this.bytes = Buffer.from(memory, start, capacity)
    this.cells = new Int32Array(memory, offset, CELLS / Int32Array.BYTES_PER_ELEMENT)
    this.words = new Int32Array(memory, start, capacity / Int32Array.BYTES_PER_ELEMENT)
    this.doubles = new Float64Array(memory, start, capacity / Float64Array.BYTES_PER_ELEMENT)
    this.capacity = capacity
    this.written = Atomics.load(this.cells, Cell.written)
    this.read = Atomics.load(this.cells, Cell.read)
  }
}

export class RingWriter extends Ring {
  /** What is reserved: where it begins, and the position behind it. */
  #at = 0
  #next = 0

  /** Where in `bytes` a payload of this length can be written now; -1 if there is no room. */
  reserve(length: number): number {
    const size = HEADER + aligned(length)
    const at = this.written & (this.capacity - 1)
    const rest = this.capacity - at
    const skipped = size > rest ? rest : 0
    if (!this.#hasRoom(skipped + size)) return -1
    if (skipped > 0) {
      this.words[at >> 2] = skipped
      this.words[(at >> 2) + Word.kind] = SKIP
    }
    this.#at = skipped > 0 ? 0 : at
    this.#next = (this.written + skipped + size) | 0
    this.words[this.#at >> 2] = size
    this.words[(this.#at >> 2) + Word.length] = length
    return this.#at + HEADER
  }

  /**
   * Shows the reader the record that was reserved last. `kind`: not 0. `amount`: any number, the others: 32 bits. `split`:
   * where in the payload its second part begins.
   */
  commit(kind: number, id: number, code: number, amount: number, split: number): void {
    const words = this.words
    const first = this.#at >> 2
    words[first + Word.kind] = kind
    words[first + Word.id] = id
    words[first + Word.code] = code
    words[first + Word.split] = split
    this.doubles[(first + Word.amount) >> 1] = amount
    this.written = this.#next
    Atomics.store(this.cells, Cell.written, this.written)
  }

  #hasRoom(size: number): boolean {
    if (((this.written - this.read) | 0) + size <= this.capacity) return true
    this.read = Atomics.load(this.cells, Cell.read)
    return ((this.written - this.read) | 0) + size <= this.capacity
  }
}

export class RingReader extends Ring {
  /** The record being read, in words, and its bytes. */
  #first = 0
  #size = 0

  /** Whether there is another record behind the one being read. */
  get more(): boolean {
    return Atomics.load(this.cells, Cell.written) !== ((this.read + this.#size) | 0)
  }

  /** Gives back the room of the record that was read, and goes on to the next. False if there is none. */
  next(): boolean {
    this.#release()
    while (this.#arrived()) {
      this.#first = (this.read & (this.capacity - 1)) >> 2
      this.#size = this.words[this.#first + Word.size] as number
      if (this.words[this.#first + Word.kind] !== SKIP) return true
      this.#release()
    }
    return false
  }

  get kind(): number {
    return this.words[this.#first + Word.kind] as number
  }

  get id(): number {
    return this.words[this.#first + Word.id] as number
  }

  get code(): number {
    return this.words[this.#first + Word.code] as number
  }

  get amount(): number {
    return this.doubles[(this.#first + Word.amount) >> 1] as number
  }

  get split(): number {
    return this.words[this.#first + Word.split] as number
  }

  /** Where in `bytes` the payload begins. */
  get start(): number {
    return (this.#first << 2) + HEADER
  }

  /** Of the payload, in bytes. */
  get length(): number {
    return this.words[this.#first + Word.length] as number
  }

  #arrived(): boolean {
    if (this.read !== this.written) return true
    this.written = Atomics.load(this.cells, Cell.written)
    return this.read !== this.written
  }

  #release(): void {
    if (this.#size === 0) return
    this.read = (this.read + this.#size) | 0
    this.#size = 0
    Atomics.store(this.cells, Cell.read, this.read)
  }
}
