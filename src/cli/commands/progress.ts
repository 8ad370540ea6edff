/** What a person at a terminal reads while a command waits, and what it came to. Nothing of it is for programs. */

/** A wait shorter than this is not worth a word, in milliseconds. */
const SOON_MS = 1_000

/** Of a terminal that does not know its width. */
const COLUMNS = 80

export class Progress {
  readonly #begun = performance.now()
  #shown = false

  /** One line, in the place of the last one. */
  readonly show = (text: string): void => {
    if (!process.stderr.isTTY || performance.now() - this.#begun < SOON_MS) return
    process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns || COLUMNS) - 1)}`)
    this.#shown = true
  }

  /** Clears the line. */
  end(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K')
    this.#shown = false
  }

  /** The last line, if somebody sees it. */
  say(text: string): void {
    this.end()
    if (process.stderr.isTTY) process.stderr.write(`runfcgi: ${text}\n`)
  }
}
