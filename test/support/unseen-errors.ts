/**
 * Errors that nobody looks at. A promise that a test made early and looks at late may be rejected in between, by a peer that
 * goes away, say: that is in time as long as it is before the file is at its end. A rejection that nobody ever looks at and
 * an exception that nobody catches fail the file, unless a test failed with them: then they are told with it.
 */

import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeEach } from 'vitest'

/** Rejections by their promise, exceptions by themselves. */
const unseen = new Map<unknown, unknown>()

// vitest tells of none by itself as long as somebody else listens.
process.on('unhandledRejection', (reason, promise) => unseen.set(promise, reason))
process.on('rejectionHandled', promise => unseen.delete(promise))
process.on('uncaughtException', error => unseen.set(error, error))

let earlier: ReadonlySet<unknown>

beforeEach(() => {
  earlier = new Set(unseen.keys())
})

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return
  for (const [what, error] of unseen) {
    if (earlier.has(what)) continue
    unseen.delete(what)
    console.error(`unseen while '${task.name}' failed: ${inspect(error)}`)
  }
})

afterAll(async () => {
  // Node tells of both kinds of rejections at the end of a turn.
  await setImmediate()
  const errors = [...unseen.values()]
  unseen.clear()
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} errors that nobody looked at`)
})
