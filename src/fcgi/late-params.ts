/**
 * PARAMS that are passed on as they came and hardly ever looked at: decoded when somebody asks for a name or a value. That
 * the pairs fit is seen to at once, since the peer is to hear of it (src/fcgi/pairs.ts, `pair-overrun`).
 */

import { checkPairs, decodePairs, type Params } from './pairs.ts'

export class LateParams implements Params {
  readonly text: string
  #decoded: Params | null = null

  /** @param text the pairs, encoded, one character a byte @throws ProtocolError `pair-overrun` */
  constructor(text: string) {
    checkPairs(text)
    this.text = text
  }

  get names(): readonly string[] {
    return this.#decode().names
  }

  get values(): readonly string[] {
    return this.#decode().values
  }

  #decode(): Params {
    this.#decoded ??= decodePairs(Buffer.from(this.text, 'latin1'))
    return this.#decoded
  }
}
