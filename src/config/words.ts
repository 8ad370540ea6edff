/** Several words in one text, quoted as a shell wants them. Nothing is expanded: no variables, no patterns, no comments. */

/** What needs no quotes in any shell. */
const PLAIN = /^[\w./:=,@%+~-]+$/

/** A word as it can be typed. */
export const quoteWord = (word: string): string => (PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

/** Words as they can be typed, and as `splitWords` reads them. */
export const joinWords = (words: readonly string[]): string => words.map(quoteWord).join(' ')

/** A piece of a word: between quotes, behind a backslash, or as it is. */
const PIECE = /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/gs

/** The words of a text; undefined if a quote does not end. */
export function splitWords(text: string): string[] | undefined {
  const words: string[] = []
  let end = 0
  for (const match of text.matchAll(PIECE)) {
    const [whole, single, double, escaped, plain] = match
    const piece = single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain ?? ''
    const before = text.slice(end, match.index)
    if (before.trim() !== '') return undefined
    if (before === '' && words.length > 0) words.push(`${words.pop()}${piece}`)
    else words.push(piece)
    end = match.index + whole.length
  }
  return text.slice(end).trim() === '' ? words : undefined
}
