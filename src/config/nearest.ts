/** The word a person probably meant. */

/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
function distance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      let cost = Math.min((last[j] as number) + 1, (row[j - 1] as number) + 1, (last[j - 1] as number) + (same ? 0 : 1))
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] as number) + 1)
      }
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[to.length] as number
}

/** Shorter words begin too many others. */
const SHORTEST_BEGINNING = 4

/**
 * The candidate nearest to `word`, if any is near enough to be worth naming: about a third of its letters differ, or it
 * begins with the word.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const typed = word.toLowerCase()
  let best: string | undefined
  let least = (word.length < SHORTEST_BEGINNING ? 1 : Math.max(2, Math.floor(word.length / 3))) + 1
  for (const candidate of candidates) {
    const begins = typed.length >= SHORTEST_BEGINNING && candidate.startsWith(typed)
    const edits = begins ? 1 : distance(typed, candidate)
    if (edits < least) {
      best = candidate
      least = edits
    }
  }
  return best
}
