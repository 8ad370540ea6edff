/** One request on a connection, as far as the protocol knows it (FastCGI 1.0 §5): the record that src/fcgi/connection.ts keeps. */

import { Role } from './constants.ts'
import { Pieces } from './pieces.ts'

/** What is known of one request; changed only by its connection. */
export class Request {
  readonly id: number
  readonly role: number
  readonly keepConn: boolean
  /** The caller's time (any unit) at which the request was begun. */
  readonly begun: number
  /** PARAMS so far; nearly always one piece. */
  readonly params = new Pieces()
  announced = false
  /** Bytes of STDIN so far. */
  stdinBytes = 0
  stdinEnded = false
  /** END_REQUEST has been written. */
  ended = false
  /** END_REQUEST is to say that the role is unknown. */
  unknownRole = false
  stdoutUsed = false
  stderrUsed = false
  /** An empty STDERR record has been written before the end (see `Connection.probe`): the stream takes no more. */
  stderrEnded = false

  constructor(id: number, role: number, keepConn: boolean, begun: number) {
    this.id = id
    this.role = role
    this.keepConn = keepConn
    this.begun = begun
  }

  /** An Authorizer is not sent the body (§6.3): lighttpd ends the empty STDIN all the same, mod_fcgid sends nothing. */
  get authorizer(): boolean {
    return this.role === Role.authorizer
  }

  /** True when the whole body has arrived and there was none. */
  get bodyless(): boolean {
    return this.authorizer || (this.stdinEnded && this.stdinBytes === 0)
  }

  /** Nothing more is needed of the peer. */
  get whole(): boolean {
    return this.stdinEnded || (this.authorizer && this.announced)
  }
}
