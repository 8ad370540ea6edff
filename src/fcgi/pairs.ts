/**
 * Name-value pairs (FastCGI 1.0 §3.4), decoded from a whole stream and encoded for one.
 *
 * The peer sends the same names in the same order with almost every request. So the names already seen form a tree, one
 * node for each position and name, and decoding is a walk along it: compare with the name that came next last time, take
 * the value, go on. The same sequence of names ends at the same node and gets the same `names` array, which is what the
 * layers above key their own per-sequence work by.
 */

import { ProtocolError } from './errors.ts'

export interface Params {
  /** The same array for the same sequence of names. */
  readonly names: readonly string[]
  readonly values: readonly string[]
  /** The pairs as they came, one character a byte, still encoded. */
  readonly text: string
}

/** How many nodes the tree may have before it is thrown away and grown anew: names come from clients (HTTP_*). */
const MAX_NODES = 8_192

/** A name longer than this is never kept. */
const MAX_KEPT_NAME = 256

class Node {
  readonly name: string
  readonly bytes: Buffer
  readonly parent: Node | null
  readonly children = new Map<string, Node>()
  /** The child that followed last time. */
  likely: Node | null = null
  sequence: readonly string[] | null = null

  constructor(name: string, parent: Node | null) {
    this.name = name
    this.bytes = Buffer.from(name, 'latin1')
    this.parent = parent
  }

  /** The names from the root to here. */
  names(): readonly string[] {
    if (this.sequence === null) {
      const names: string[] = []
      for (let node: Node = this; node.parent !== null; node = node.parent) names.push(node.name)
      this.sequence = names.reverse()
    }
    return this.sequence
  }
}

let root = new Node('', null)
let nodes = 1

function childOf(node: Node, name: string): Node {
  const known = node.children.get(name)
  if (known !== undefined) return known
  if (name.length > MAX_KEPT_NAME) return new Node(name, node)
  const child = new Node(name, node)
  node.children.set(name, child)
  if (++nodes > MAX_NODES) {
    root = new Node('', null)
    nodes = 1
  }
  return child
}

const overrun = (): ProtocolError =>
  new ProtocolError('pair-overrun', 'a name-value pair is longer than the stream that holds it')

/** A length whose first byte has the high bit set: 31 bits over four bytes. */
function longLength(bytes: Buffer, at: number, end: number): number {
  if (at + 4 > end) throw overrun()
  return bytes.readUInt32BE(at) & 0x7fffffff
}

function isAt(bytes: Buffer, at: number, name: Buffer): boolean {
  for (let index = 0; index < name.length; index++) if (bytes[at + index] !== name[index]) return false
  return true
}

/**
 * Decodes a complete FCGI_PARAMS or FCGI_GET_VALUES body, `bytes` from `start` to `end`.
 *
 * Lengths and names are read from the bytes, values cut from one string made of them all: measured on the 24 pairs of a
 * request from nginx, half the time of doing either all in bytes or all in characters.
 * @throws ProtocolError `pair-overrun` when a length reaches past the end
 */
export function decodePairs(bytes: Buffer, start = 0, end = bytes.length): Params {
  const text = bytes.toString('latin1', start, end)
  const values: string[] = []
  let node = root
  let at = start
  while (at < end) {
    let nameLength = bytes[at] as number
    if (nameLength < 0x80) at += 1
    else {
      nameLength = longLength(bytes, at, end)
      at += 4
    }
    if (at >= end) throw overrun()
    let valueLength = bytes[at] as number
    if (valueLength < 0x80) at += 1
    else {
      valueLength = longLength(bytes, at, end)
      at += 4
    }
    const valueAt = at + nameLength
    const next = valueAt + valueLength
    if (next > end) throw overrun()
    let child = node.likely
    if (child === null || child.bytes.length !== nameLength || !isAt(bytes, at, child.bytes)) {
      child = childOf(node, bytes.toString('latin1', at, valueAt))
      if (nameLength <= MAX_KEPT_NAME) node.likely = child
    }
    node = child
    values.push(valueLength === 0 ? '' : text.substring(valueAt - start, next - start))
    at = next
  }
  return { names: node.names(), values, text }
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
