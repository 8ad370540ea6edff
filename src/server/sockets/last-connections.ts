/**
 * How to stop listening without resetting anybody: a connection that the kernel has made already waits in the queue of
 * accept(2), and its peer may have sent a request on it that it must not send twice. Whoever closes the socket resets it.
 *
 * A Unix socket whose file is gone gets no more of them, so that what is accepted until a turn of the event loop brings none
 * is all there is. Over TCP there is no such moment: one that is made between the last look and the close is lost.
 */

import type { Server } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'

/** How long peers that go on connecting over TCP are waited for, in milliseconds. Node accepts one in each turn. */
const PATIENCE_MS = 5_000

/** Closes `server` after the first whole turn of the event loop in which it has accepted nothing. Resolves when it is closed. */
export async function closeWhenQuiet(server: Server): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  let accepted = false
  const note = (): void => {
    accepted = true
  }
  server.on('connection', note)
  // What is left of this turn is none.
  await turn()
  do {
    accepted = false
    await turn()
  } while (accepted && server.listening && performance.now() < deadline)
  server.off('connection', note)
  if (server.listening) server.close()
}
