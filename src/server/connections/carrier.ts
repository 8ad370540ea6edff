/**
 * The ports between what this folder is made of: a request (exchange.ts), the connection that it is on (connection.ts), and
 * who serves all connections (responder.ts). Each knows of the next one only what stands here.
 */

import type { Socket } from 'node:net'
import type { Application } from '../../app/exchange.ts'
import type { ConnectionLimits } from '../../fcgi/limits.ts'
import type { Output } from '../../fcgi/output.ts'
import type { Request } from '../../fcgi/request.ts'
import type { Log } from '../../log.ts'
import type { Limits } from '../limits.ts'
import type { ServerConnection } from './connection.ts'
import type { ServerExchange } from './exchange.ts'

/** What an exchange needs of the connection it is on. */
export interface Carrier {
  readonly core: {
    readonly out: Output
    stdout(request: Request, content: string | Uint8Array): void
    stderr(request: Request, content: string | Uint8Array): void
    end(request: Request, appStatus?: number): void
    close(): void
  }
  readonly log: Log
  readonly limits: Limits
  readonly debug: boolean
  /** The time in which the peer was listened to, in milliseconds, coarse: it stands while the event loop does. */
  readonly now: number
  /** Milliseconds (`performance.now()`), as exact as somebody wants to know how long a request takes. */
  stamp(): number
  /** True when so much waits for the peer that the application should wait too. */
  readonly congested: boolean
  /** Bytes are waiting in `out`: write them soon, or now because the reply is complete. */
  flushSoon(): void
  flushNow(): void
  /** More or less unread body than before. */
  reviewFlow(): void
  exchangeEnded(exchange: ServerExchange): void
  /** Lets somebody else go on with the connection and its only request. False if that cannot be. */
  handBack(): boolean
}

/** What a connection needs of its responder. */
export interface Host {
  readonly app: Application
  readonly log: Log
  readonly limits: Limits
  readonly connectionLimits: ConnectionLimits
  readonly debug: boolean
  readonly now: number
  stamp(): number
  requestEnded(exchange: ServerExchange): void
  connectionClosed(connection: ServerConnection): void
  /** Whether others can go on with requests that have not begun; then with the socket and what was read of it last. */
  readonly handsBack: boolean
  handBack(socket: Socket, received: Buffer): void
}
