/**
 * A promise that a test made early and looks at late may be rejected in between: a client of a peer that goes away, say. Its
 * rejection is looked at in time as long as somebody does so before the file is at its end. One that nobody ever looks at
 * fails the file; one that belongs to a test that failed is part of that failure, and told with it.
 */

import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, afterEach } from 'vitest'

const unseen = new Map<Promise<unknown>, unknown>()

// vitest reports none by itself as long as somebody else listens.
process.on('unhandledRejection', (reason, promise) => unseen.set(promise, reason))
process.on('rejectionHandled', promise => unseen.delete(promise))

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return
  for (const reason of unseen.values()) console.error(`rejected while '${task.name}' failed: ${inspect(reason)}`)
  unseen.clear()
})

afterAll(async () => {
  // Node tells of both at the end of a turn.
  await setImmediate()
  const reasons = [...unseen.values()]
  unseen.clear()
  if (reasons.length === 1) throw reasons[0]
  if (reasons.length > 1) throw new AggregateError(reasons, `${reasons.length} rejections that nobody looked at`)
})
