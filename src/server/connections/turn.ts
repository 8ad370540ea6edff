/**
 * Replies that become ready in the same turn of the event loop are written together at its end. After each write the
 * kernel wakes the web server, which takes the caches from us, if not the processor; so all requests that have arrived are
 * answered first, and then all replies are written. With 16 busy connections that saves a fifth to a third of the CPU of a
 * small request (test/bench).
 *
 * Nobody waits for an application that computes: what is ready is written when the turn has lasted `MAX_TURN_MS`. And
 * nobody waits alone: with one busy connection replies are written at once.
 */

/** What has something to write. */
export interface Writer {
  flush(): void
}

const MAX_TURN_MS = 0.5

/** After a turn with one reply so many are written at once, before another turn shows whether there is more than one again. */
const ALONE = 8

let writers: Writer[] = []
/** When the turn began (`performance.now()`); 0 between turns. */
let began = 0
/** Replies in this turn. */
let count = 0
let alone = 0

function writeAll(): void {
  const ready = writers
  writers = []
  for (const writer of ready) writer.flush()
}

function endTurn(): void {
  began = 0
  if (count === 1) alone = ALONE
  count = 0
  writeAll()
}

/** Something that may give a reply is about to be worked on. */
export function beginTurn(): void {
  if (began !== 0 || alone > 0) return
  began = performance.now()
  setImmediate(endTurn)
}

/** Lets `writer` write at the end of the turn, or now if that has lasted long enough or there is nobody to wait for. */
export function writeAtEndOfTurn(writer: Writer): void {
  if (began === 0 && alone > 0) {
    alone--
    writer.flush()
    return
  }
  beginTurn()
  count++
  writers.push(writer)
  const now = performance.now()
  if (now - began < MAX_TURN_MS) return
  began = now
  writeAll()
}
