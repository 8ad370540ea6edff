/**
 * Why a request ended early, told in the two ways Node programs expect: as the error of a stream and as the reason of an
 * AbortSignal. Knows nothing of the three callables.
 */

import type { AbortReason } from './exchange.ts'

const messages: Readonly<Record<AbortReason, string>> = {
  'client-gone': 'aborted',
  timeout: 'aborted: the request took too long',
  'stdin-timeout': 'aborted: the request body stopped coming',
  'body-too-large': 'aborted: the request body is too large',
  shutdown: 'aborted: the server is shutting down',
}

const isTimeout = (reason: AbortReason): boolean => reason === 'timeout' || reason === 'stdin-timeout'

/** What a body that was cut off is destroyed with: `code` ECONNRESET, as in `http.IncomingMessage`; ETIMEDOUT after a timeout. */
export function abortError(reason: AbortReason): NodeJS.ErrnoException {
  return Object.assign(new Error(messages[reason]), { code: isTimeout(reason) ? 'ETIMEDOUT' : 'ECONNRESET' })
}

/** What a request's AbortSignal gives as its `reason`: a DOMException named AbortError or TimeoutError, as in fetch. */
export function signalReason(reason: AbortReason): DOMException {
  return new DOMException(messages[reason], isTimeout(reason) ? 'TimeoutError' : 'AbortError')
}

/** An AbortSignal that is made when somebody asks for it: an AbortController costs more than the rest of a small request. */
export class LazySignal {
  #controller: AbortController | undefined
  #reason: AbortReason | undefined

  /** Undefined as long as nothing was aborted. */
  get reason(): AbortReason | undefined {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(signalReason(this.#reason))
    }
    return this.#controller.signal
  }

  abort(reason: AbortReason): void {
    this.#reason ??= reason
    this.#controller?.abort(signalReason(reason))
  }
}
