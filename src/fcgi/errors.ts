/**
 * The one kind of error the peer can cause. Whoever catches it logs it and closes the connection: after it nothing that
 * arrives on that connection can be trusted (FastCGI 1.0 has no way to say so to the peer).
 */

export type ProtocolErrorCode =
  /** A record whose version is not 1 (§3.3). */
  | 'version'
  /** A management record type with a request id, or an application one without (§3.3). */
  | 'request-id'
  /** A body that does not have the length its record type prescribes (§5.1). */
  | 'body-length'
  /** FCGI_BEGIN_REQUEST for an id that is in use (§5.1). */
  | 'id-in-use'
  /** A name-value pair that claims more bytes than the stream has (§3.4). */
  | 'pair-overrun'
  /** Body bytes of a request whose FCGI_PARAMS have not ended: libfcgi and PHP refuse that too. */
  | 'stdin-before-params'
  /** Too many requests begun whose FCGI_PARAMS never ended. */
  | 'too-many-incomplete'
  /** A responder's record where none may stand (seen by the requester side only). */
  | 'unexpected-record'

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode

  constructor(code: ProtocolErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
