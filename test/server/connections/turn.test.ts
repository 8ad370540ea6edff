import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

let turn: typeof import('../../../src/server/connections/turn.ts')
let written: string[]
/** Milliseconds, as the turn sees them. */
let clock = 1

const writer = (name: string) => ({ flush: () => void written.push(name) })

beforeEach(async () => {
  vi.resetModules()
  turn = await import('../../../src/server/connections/turn.ts')
  written = []
  vi.spyOn(performance, 'now').mockImplementation(() => clock)
})

afterEach(() => {
  vi.restoreAllMocks()
})

test('what becomes ready in one turn of the event loop is written at its end, in order', async () => {
  turn.beginTurn()
  turn.writeAtEndOfTurn(writer('first'))
  turn.writeAtEndOfTurn(writer('second'))
  expect(written).toEqual([])
  await turnOfTheLoop()
  expect(written).toEqual(['first', 'second'])
})

test('a turn that lasts long holds nothing back', () => {
  turn.beginTurn()
  turn.writeAtEndOfTurn(writer('before'))
  clock += 5
  turn.writeAtEndOfTurn(writer('after'))
  expect(written).toEqual(['before', 'after'])
})

test('what is ready outside a turn begins one', async () => {
  turn.writeAtEndOfTurn(writer('late'))
  expect(written).toEqual([])
  await turnOfTheLoop()
  expect(written).toEqual(['late'])
})

test('one that was alone in its turn does not wait in the next ones, but is asked to again', async () => {
  turn.writeAtEndOfTurn(writer('alone'))
  await turnOfTheLoop()
  let atOnce = 0
  for (; atOnce < 100; atOnce++) {
    written = []
    turn.beginTurn()
    turn.writeAtEndOfTurn(writer('next'))
    if (written.length === 0) break
  }
  expect(atOnce).toBeGreaterThan(0)
  expect(atOnce).toBeLessThan(100)
  await turnOfTheLoop()
  expect(written).toEqual(['next'])
})
