/**
 * What node:http tells `diagnostics_channel` about each request, for those who watch an application from the outside
 * (monitoring, tracing). There is no http.Server to name.
 */

import { channel } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'

// Held, because nobody else does: a channel that is collected forgets its subscribers.
const started = channel('http.server.request.start')
const finished = channel('http.server.response.finish')

/** Before the listener is called. */
export function announce(request: IncomingMessage, response: ServerResponse): void {
  if (!started.hasSubscribers && !finished.hasSubscribers) return
  const message = { request, response, socket: request.socket, server: undefined }
  started.publish(message)
  response.once('finish', () => finished.publish(message))
}
