/** The one error of finding, holding and talking to a daemon. Its message is one line for a person. */

export type DaemonErrorCode =
  /** Another daemon has this pidfile or control socket. */
  | 'already-running'
  /** Nobody answers at the control socket: no daemon, or one without it. */
  | 'unreachable'
  /** Whoever was asked ended before the answer. */
  | 'ended'
  /** It was asked and does not answer in time. */
  | 'no-answer'
  /** It could not do what it was asked to. */
  | 'refused'
  /** The pidfile cannot be read or written, or is none. */
  | 'pidfile'
  /** The control socket cannot be made. */
  | 'control'

export class DaemonError extends Error {
  override readonly name = 'DaemonError'
  readonly code: DaemonErrorCode

  constructor(code: DaemonErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
