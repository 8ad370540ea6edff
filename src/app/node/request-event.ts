/**
 * The event 'request' of an http.Server, for those who watch an application from the outside. Monitoring does its work around
 * `emit`: OpenTelemetry, Datadog and New Relic replace that of the class, Sentry that of each server that
 * `diagnostics_channel` names. Where somebody has, the event is emitted; where nobody has, the listener is only called.
 */

import { channel } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'
import { Server, type ServerResponse } from 'node:http'
import type { NodeRequest } from './request.ts'

/** A listener of the event. */
type Call = (request: NodeRequest, response: ServerResponse) => unknown

// Held, because nobody else does: a channel that is collected forgets its subscribers.
const started = channel('http.server.request.start')
const finished = channel('http.server.response.finish')

const bareEmit = EventEmitter.prototype.emit

export class RequestEvent {
  readonly #listener: Call
  /** The server of the application, or one of ours that nobody listens on. */
  #server: Server | undefined
  #stage: Server | undefined
  #returned: unknown

  constructor(listener: Call, server: Server | undefined) {
    this.#listener = listener
    this.#server = server
  }

  /** What the listener returns, or throws. */
  emit(request: NodeRequest, response: ServerResponse): unknown {
    if (started.hasSubscribers || finished.hasSubscribers) this.#announce(request, response)
    const { emit } = this.#server ?? Server.prototype
    if (emit === bareEmit) return this.#listener(request, response)
    this.#returned = undefined
    // On a server with one listener, ours: what it returns would be lost otherwise.
    Reflect.apply(emit, this.#emitter(), ['request', request, response])
    return this.#returned
  }

  /** What node:http tells about each request, before the listener is called. */
  #announce(request: NodeRequest, response: ServerResponse): void {
    this.#server ??= this.#emitter()
    const message = { request, response, socket: request.socket, server: this.#server }
    started.publish(message)
    response.once('finish', () => finished.publish(message))
  }

  #emitter(): Server {
    this.#stage ??= new Server((request, response) => {
      this.#returned = this.#listener(request as NodeRequest, response)
    })
    return this.#stage
  }
}
