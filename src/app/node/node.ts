/**
 * The Node callable: `(req, res) => void`, called with a real `http.IncomingMessage` and `http.ServerResponse`, so that
 * what was written for node:http runs unchanged. How they are wired to the exchange: src/app/node/socket.ts.
 */

import type { Server, ServerResponse } from 'node:http'
import { requestFacts } from '../../cgi/request.ts'
import type { AdapterOptions, Application, Exchange, RequestHandler } from '../exchange.ts'
import type { FileReplies } from '../sendfile.ts'
import { isThenable } from '../thenable.ts'
import { createRequest, installSignal, type NodeRequest } from './request.ts'
import { RequestEvent } from './request-event.ts'
import { createResponse } from './response.ts'
import { NodeSocket } from './socket.ts'

export type { NodeRequest } from './request.ts'

/** A listener of an http.Server's 'request' event. If it returns a promise, a rejection is an error of the application. */
export type NodeListener = (request: NodeRequest, response: ServerResponse) => unknown

export interface NodeOptions {
  /** Called once, when no further request will come. */
  readonly close?: (() => Promise<void>) | undefined
  readonly files?: FileReplies | undefined
  /** Whose listener it is, if the application has made a server. */
  readonly server?: Server | undefined
}

/** Runs a listener. An error that it throws, or that its promise is rejected with, ends the reply (`Exchange.fail`). */
export function nodeApplication(
  listener: NodeListener,
  { mount }: AdapterOptions,
  { close, files, server }: NodeOptions = {},
): Application {
  installSignal()
  const event = new RequestEvent(listener, server)
  const application: Application = { interface: 'node', handle: exchange => handle(event, exchange, mount, files) }
  return close === undefined ? application : { ...application, close }
}

function handle(
  event: RequestEvent,
  exchange: Exchange,
  mount: string | undefined,
  files?: FileReplies,
): RequestHandler {
  const socket = new NodeSocket(exchange, requestFacts(exchange.params, mount))
  const request = createRequest(exchange, socket)
  const response = createResponse(request)
  socket.assign(request, response)
  socket.files = files
  response.on('pipe', receiveSource)
  try {
    const returned = event.emit(request, response)
    if (isThenable(returned)) returned.then(undefined, error => socket.fail(error))
  } catch (error) {
    socket.fail(error)
  }
  return socket
}

/** Something is piped into a response. */
function receiveSource(this: ServerResponse, source: unknown): void {
  const { socket } = this
  if (!(socket instanceof NodeSocket)) return
  socket.source = source
  if (socket.files !== undefined) leaveFile(this, socket, socket.files, source)
}

/** A file that is piped into the reply. Its own headers may be written already, as long as they were not sent. */
function leaveFile(response: ServerResponse, socket: NodeSocket, files: FileReplies, source: unknown): void {
  const { req, statusCode: status } = response
  const contentRange = response.getHeader('content-range')
  const encoded = socket.head.encoded || response.hasHeader('content-encoding')
  const rewrite = files.rewriteFor(source, { method: req.method, status, contentRange, encoded })
  if (rewrite !== undefined && socket.head.rewrite(rewrite)) files.exhaust(source)
}
