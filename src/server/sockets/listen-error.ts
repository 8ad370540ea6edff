/**
 * The one error of binding a listener. Its message is one line for a person: what, which value, what to do.
 */

export type ListenErrorCode =
  /** Text that is no address. */
  | 'address'
  /** Somebody serves there already. */
  | 'in-use'
  /** A file that is no socket stands at the path. It is never removed. */
  | 'not-a-socket'
  /** The folder of the socket is missing or is no folder. */
  | 'no-folder'
  | 'permission'
  /** The path does not fit into `sockaddr_un`. */
  | 'path-too-long'
  | 'unknown-host'
  /** The host exists but is not an address of this machine. */
  | 'not-local'
  /** No such user or group. */
  | 'unknown-account'
  /** A descriptor that is not open, no socket, or not listening. */
  | 'descriptor'
  /** What the operating system said and nothing above covers. */
  | 'system'

export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: ListenErrorCode

  constructor(code: ListenErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
