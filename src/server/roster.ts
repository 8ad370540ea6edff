/**
 * Those that are here, in no order. A Set would do but for its garbage: each table that it leaves for another keeps what was
 * in it, and the way to all later tables, so that one table which V8 took for long-lived is enough to let every connection
 * that has come and gone since live through the scavenges. With a connection per request that was a quarter of their memory.
 */

export interface Member {
  /** Where the roster has it; -1: not on one. Only the roster changes it. */
  place: number
}

export class Roster<T extends Member> {
  readonly #members: T[] = []

  get size(): number {
    return this.#members.length
  }

  add(member: T): void {
    member.place = this.#members.length
    this.#members.push(member)
  }

  /** Nothing, if it is not here. */
  delete(member: T): void {
    const { place } = member
    if (place < 0) return
    member.place = -1
    const last = this.#members.pop() as T
    if (last === member) return
    this.#members[place] = last
    last.place = place
  }

  /** All of them as they are now. */
  values(): T[] {
    return [...this.#members]
  }
}
