/**
 * What http.Server does to a ServerResponse in the course of its life and node does not document. All that we rely on
 * beyond documentation in this respect is here; it is the same from Node 20 to 26.
 */

import type { ServerResponse } from 'node:http'

interface Internals {
  socket: object | null
  destroyed: boolean
  _closed: boolean
  readonly outputData: { data: string; encoding: string; callback: null }[]
  _flush(): void
}

const internals = (response: ServerResponse): Internals => response as unknown as Internals

/** As `assignSocket`, without listening for the socket's 'close': whoever closes it calls `closeResponse`. */
export function attachSocket(response: ServerResponse, socket: { _httpMessage: ServerResponse | null }): void {
  socket._httpMessage = response
  internals(response).socket = socket
}

/** As `detachSocket`: when the reply has ended. */
export function detachSocket(response: ServerResponse, socket: { _httpMessage: ServerResponse | null }): void {
  socket._httpMessage = null
  internals(response).socket = null
}

/** The last thing that happens to a response, whether it was finished or not. */
export function closeResponse(response: ServerResponse): void {
  const state = internals(response)
  if (state._closed) return
  state.destroyed = true
  state._closed = true
  response.emit('close')
}

/** Emits 'drain' and resets `writableNeedDrain`. Up to Node 24 that takes something to flush. */
export function drainResponse(response: ServerResponse): void {
  if (!response.writableNeedDrain) return
  internals(response).outputData.push({ data: '', encoding: 'latin1', callback: null })
  internals(response)._flush()
}
