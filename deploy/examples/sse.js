// Server-sent events: each yield is on the wire at once.  runfcgi serve deploy/examples/sse.js
import { setTimeout as sleep } from 'node:timers/promises'

export async function* application(environ, startResponse) {
  startResponse('200 OK', [
    ['Content-Type', 'text/event-stream'],
    ['Cache-Control', 'no-store'],
    ['X-Accel-Buffering', 'no'],
  ])
  for (let count = 1; !environ['runfcgi.signal'].aborted; count++) {
    yield `data: ${count} at ${new Date().toISOString()}\n\n`
    await sleep(100)
  }
}
