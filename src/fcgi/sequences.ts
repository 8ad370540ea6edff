/**
 * The names of name-value pairs, and the sequences in which they come.
 *
 * Most web servers send the same names in the same order with almost every request. So the sequences form a tree, one node
 * for each position and name, and who walks along the same names ends at the same node: it has the one array of that
 * sequence, which is what the layers above key their own work by.
 *
 * Caddy sends its names in another order each time (it walks a Go map). The tree would grow with every request and nothing
 * would ever be found in it. So new sequences are added on credit, which those that are found again pay back; when it is
 * used up, names that are all known are brought into an order of our own, and the tree of those is walked.
 */

/** How many names and nodes there may be before they are thrown away and come anew: names come from clients (HTTP_*). */
const MAX_NAMES = 4_096
const MAX_NODES = 8_192

/** A longer name is never kept. */
const MAX_KEPT_NAME = 256

/** Longer sequences stay as they came: bringing them into order takes time that grows with the square of their length. */
const MAX_ORDERED = 128

/** How many nodes are added for sequences as they come; each that is found allows one more. */
const MAX_CREDIT = 2_048

export class Name {
  readonly text: string
  readonly length: number
  readonly words: Float64Array | null
  /** Its place in our own order; -1 if the name is not kept. */
  readonly rank: number

  constructor(text: string, rank: number) {
    // Of its own: part of another string keeps all of that alive.
    this.text = rank < 0 ? text : Buffer.from(text, 'latin1').toString('latin1')
    this.length = text.length
    this.words = wordsOf(text)
    this.rank = rank
  }
}

/**
 * A name as eight-byte words, the last one overlapping the one before it, to be compared as doubles. That is exact as long
 * as all bytes are printable ASCII (such a word is neither NaN nor zero); null for any other name and for short ones.
 */
function wordsOf(name: string): Float64Array | null {
  if (!/^[ -~]{8,}$/.test(name)) return null
  const bytes = Buffer.from(name, 'latin1')
  const words = new Float64Array(Math.ceil(bytes.length / 8))
  return words.map((_, index) => bytes.readDoubleLE(Math.min(8 * index, bytes.length - 8)))
}

export class Node {
  readonly name: Name
  /** What followed last time. */
  likely: Node | null = null
  readonly #parent: Node | null
  #children: Map<Name, Node> | null = null
  #sequence: readonly string[] | null = null

  constructor(name: Name, parent: Node | null) {
    this.name = name
    this.#parent = parent
  }

  /** The names up to here: the same array every time. */
  get sequence(): readonly string[] {
    this.#sequence ??= this.path().map(({ text }) => text)
    return this.#sequence
  }

  path(): Name[] {
    const names: Name[] = []
    for (let node: Node = this; node.#parent !== null; node = node.#parent) names.push(node.name)
    return names.reverse()
  }

  find(name: Name): Node | undefined {
    return this.#children?.get(name)
  }

  add(name: Name): Node {
    const child = new Node(name, this)
    this.#children ??= new Map()
    this.#children.set(name, child)
    return child
  }
}

const newTree = (): Node => new Node(new Name('', -1), null)

export class Sequences {
  /** Where all sequences begin. */
  first = newTree()
  /** How many nodes there are. */
  size = 0
  /** The rank that the next new name gets. */
  rank = 0
  #ordered = newTree()
  readonly #names = new Map<string, Name>()
  #credit = MAX_CREDIT

  /** The name with that text. */
  name(text: string): Name {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    if (text.length > MAX_KEPT_NAME) return new Name(text, -1)
    if (this.#names.size >= MAX_NAMES) this.#forget()
    const name = new Name(text, this.rank++)
    this.#names.set(name.text, name)
    return name
  }

  /** The node that follows `node` with the name `text`; null if there is none and none is to be added. */
  next(node: Node, text: string): Node | null {
    const name = this.name(text)
    let child = node.find(name)
    if (child === undefined) {
      if (name.rank < 0 || this.#credit === 0) return null
      this.#credit--
      child = this.#add(node, name)
    }
    node.likely = child
    return child
  }

  /** A sequence was found as it came. */
  found(): void {
    if (this.#credit < MAX_CREDIT) this.#credit++
  }

  /**
   * Brings names that were all known when the rank was `since` into our own order, and `values` with them; those of the
   * same name stay in the order in which they came. The array for these names, or a new one where it is no use.
   */
  inOrder(names: Name[], values: string[], since: number): readonly string[] {
    if (names.length > MAX_ORDERED || names.some(({ rank }) => rank < 0 || rank >= since)) {
      return names.map(({ text }) => text)
    }
    sort(names, values)
    let node = this.#ordered
    for (const name of names) {
      if (node.likely?.name !== name) node.likely = node.find(name) ?? this.#add(node, name)
      node = node.likely
    }
    return node.sequence
  }

  #add(node: Node, name: Name): Node {
    if (++this.size > MAX_NODES) this.#forget()
    return node.add(name)
  }

  #forget(): void {
    this.#names.clear()
    this.first = newTree()
    this.#ordered = newTree()
    this.size = 0
    this.#credit = MAX_CREDIT
  }
}

function sort(names: Name[], values: string[]): void {
  for (let i = 1; i < names.length; i++) {
    const name = names[i] as Name
    const value = values[i] as string
    let at = i
    for (; at > 0 && (names[at - 1] as Name).rank > name.rank; at--) {
      names[at] = names[at - 1] as Name
      values[at] = values[at - 1] as string
    }
    names[at] = name
    values[at] = value
  }
}
