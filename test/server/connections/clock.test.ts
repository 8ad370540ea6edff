/** Time limits when the clock of the responder has stood still: nobody may lose time that he was not given. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { echo, keptRequests, serving } from '../../support/responder.ts'
import { begin, GET_VALUES, params, rec, request, stdin, stdinEnd } from '../../support/wire.ts'

const TICK_MS = 250

/** Ticks and the clock are ours; sockets and what waits for them go on as ever. */
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** The time goes by, and the event loop turns. */
const turnFor = (ms: number): void => void vi.advanceTimersByTime(ms)

/** The time goes by without a turn of the event loop, or while nothing ticks. */
const standFor = (ms: number): void => {
  const { now } = performance
  const stood = now.call(performance) + ms
  vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + ms)
  expect(performance.now()).toBeGreaterThanOrEqual(stood)
}

describe.each([
  ['has been waiting for its first connection', false],
  ['has had connections', true],
])('a responder that stood still for an hour and %s', (_, used) => {
  it('gives a request all of request-timeout', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app, { untold: true, limits: { requestTimeout: 1_000 } })
    if (used) await connect()
    standFor(3_600_000)
    const client = await connect()
    client.send(request())
    const one = await nth(0)
    turnFor(3 * TICK_MS)
    one.reply('in time')
    expect((await client.reply()).text).toBe('in time')
    client.send(request())
    await nth(1)
    turnFor(6 * TICK_MS)
    expect((await client.reply()).status).toBe(504)
  })

  it('gives the variables all of params-timeout', async () => {
    const { app, nth } = keptRequests()
    const { connect } = await serving(app, { untold: true, limits: { paramsTimeout: 1_000 } })
    if (used) await connect()
    standFor(3_600_000)
    const client = await connect()
    client.send(begin(1), rec(GET_VALUES, 0))
    await client.until('answer', () => client.management.length > 0)
    turnFor(2 * TICK_MS)
    client.send(params(1), stdinEnd(1))
    ;(await nth(0)).reply('in time')
    expect((await client.reply()).text).toBe('in time')
  })

  it('gives a body that is on its way all of stdin-timeout', async () => {
    const { connect, responder } = await serving(echo, { untold: true, limits: { stdinTimeout: 1_000 } })
    if (used) await connect()
    standFor(3_600_000)
    const client = await connect()
    client.send(begin(1), params(1), stdin(1, 'some'))
    await vi.waitFor(() => expect(responder.stats().inflight).toBe(1))
    turnFor(TICK_MS)
    client.send(stdin(1, ' more'), stdinEnd(1))
    expect((await client.reply()).text).toBe('some more')
  })
})
