/**
 * Name-value pairs (FastCGI 1.0 §3.4), decoded from a whole stream and encoded for one. Decoding is a walk along the
 * sequences of names already seen (src/fcgi/sequences.ts): compare with the name that came next last time, take the value,
 * go on.
 */

import { ProtocolError } from './errors.ts'
import { type Name, type Node, Sequences } from './sequences.ts'

export interface Params {
  /** The same array for the same sequence of names, and for the same names in whatever order if that changes all the time. */
  readonly names: readonly string[]
  readonly values: readonly string[]
  /** The pairs as they came, one character a byte, still encoded. */
  readonly text: string
}

const sequences = new Sequences()

/** How many pairs there were last time: room for them is made at once. */
let likelyCount = 0
const MAX_LIKELY = 128

/** The bytes being decoded, for comparing names eight bytes at a time. All connections are read into one buffer. */
let latest: DataView = new DataView(new ArrayBuffer(0))

function viewOf(buffer: ArrayBufferLike): DataView {
  if (latest.buffer !== buffer) latest = new DataView(buffer)
  return latest
}

const overrun = (): ProtocolError =>
  new ProtocolError('pair-overrun', 'a name-value pair is longer than the stream that holds it')

/** A length whose first byte has the high bit set: 31 bits over four bytes. */
function longLength(text: string, at: number): number {
  if (at + 4 > text.length) throw overrun()
  return (
    ((text.charCodeAt(at) & 0x7f) << 24) |
    (text.charCodeAt(at + 1) << 16) |
    (text.charCodeAt(at + 2) << 8) |
    text.charCodeAt(at + 3)
  )
}

/**
 * Whether `name` stands at `at` in `text`, which is at `offset` in `bytes`; that it fits there is known. Comparing with
 * `startsWith` would make decoding take three times as long, byte by byte twice.
 */
function isAt(name: Name, text: string, at: number, bytes: DataView, offset: number): boolean {
  const { words, length } = name
  if (words === null) return text.startsWith(name.text, at)
  const start = offset + at
  const last = words.length - 1
  for (let index = 0; index < last; index++) {
    if (bytes.getFloat64(start + 8 * index, true) !== words[index]) return false
  }
  return bytes.getFloat64(start + length - 8, true) === words[last]
}

/**
 * Decodes a complete FCGI_PARAMS or FCGI_GET_VALUES body, `bytes` from `start` to `end`.
 * @throws ProtocolError `pair-overrun` when a length reaches past the end
 */
export function decodePairs(bytes: Buffer, start = 0, end = bytes.length): Params {
  const text = bytes.toString('latin1', start, end)
  const view = viewOf(bytes.buffer)
  const offset = bytes.byteOffset + start
  const textEnd = text.length
  const values: string[] = new Array(likelyCount)
  const { size, rank } = sequences
  let count = 0
  let node: Node = sequences.first
  /** The names, when they are not those of a sequence that is kept as it comes. */
  let strays: Name[] | null = null
  let at = 0
  while (at < textEnd) {
    let nameLength = text.charCodeAt(at)
    if (nameLength < 0x80) at += 1
    else {
      nameLength = longLength(text, at)
      at += 4
    }
    if (at >= textEnd) throw overrun()
    let valueLength = text.charCodeAt(at)
    if (valueLength < 0x80) at += 1
    else {
      valueLength = longLength(text, at)
      at += 4
    }
    const valueAt = at + nameLength
    const next = valueAt + valueLength
    if (next > textEnd) throw overrun()
    if (strays === null) {
      let child = node.likely
      if (child === null || child.name.length !== nameLength || !isAt(child.name, text, at, view, offset)) {
        child = sequences.next(node, text.substring(at, valueAt))
      }
      if (child === null) strays = node.path()
      else node = child
    }
    if (strays !== null) strays.push(sequences.name(text.substring(at, valueAt)))
    values[count++] = valueLength === 0 ? '' : text.substring(valueAt, next)
    at = next
  }
  if (count < likelyCount) values.length = count
  likelyCount = Math.min(count, MAX_LIKELY)
  if (strays !== null) return { names: sequences.inOrder(strays, values, rank), values, text }
  if (sequences.size === size) sequences.found()
  return { names: node.sequence, values, text }
}

/** Makes sure that all pairs end where they should. @throws ProtocolError `pair-overrun`, as `decodePairs` */
export function checkPairs(text: string): void {
  let at = 0
  while (at < text.length) {
    let size = 0
    for (let part = 0; part < 2; part++) {
      if (at >= text.length) throw overrun()
      const length = text.charCodeAt(at)
      size += length < 0x80 ? length : longLength(text, at)
      at += length < 0x80 ? 1 : 4
    }
    at += size
  }
  if (at > text.length) throw overrun()
}

function encodeLength(length: number): string {
  if (length < 0x80) return String.fromCharCode(length)
  return String.fromCharCode((length >>> 24) | 0x80, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff)
}

/** Encodes pairs, one character a byte; names and values must hold no character above 0xff. */
export function encodePairs(entries: Iterable<readonly [name: string, value: string]>): string {
  let text = ''
  for (const [name, value] of entries) text += encodeLength(name.length) + encodeLength(value.length) + name + value
  return text
}
