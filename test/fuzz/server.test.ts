/** A whole responder under fire: conversations that are damaged, cut and abandoned, over real sockets. */

import * as net from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { rawApplication, serving } from '../support/responder.ts'
import { until } from '../support/until.ts'
import { anything, cutter, effort } from './arbitraries.ts'

/** Answers at once, later, in pieces, by failing, or never, depending on what it was asked. */
const moody = rawApplication(one => {
  switch (one.exchange.params.values.join('').length % 5) {
    case 0:
      one.reply('at once')
      break
    case 1:
      setImmediate(() => one.exchange.fail(new Error('moody')))
      break
    case 2:
      void one.body().then(body => one.reply(body))
      break
    case 3:
      one.head('200 OK', { 'Content-Length': '1000' })
      one.exchange.write('less than promised')
      setImmediate(() => one.exchange.end())
      break
    default:
      one.exchange.stderr('never answered')
  }
})

it('serves others while it is sent anything at all, and is left with nothing open', async () => {
  const { connect, responder, target } = await serving(moody, { over: 'tcp', limits: { requestTimeout: 1_000 } })
  const good = await connect()
  await fc.assert(
    fc.asyncProperty(anything, cutter, fc.constantFrom('end', 'destroy', 'reset'), async (bytes, cut, how) => {
      const socket = net.connect(target)
      socket.on('error', () => socket.destroy()).resume()
      for (const piece of cut(bytes)) {
        socket.write(piece)
        if (piece.length % 3 === 0) await turn()
      }
      if (how === 'end') socket.end()
      else if (how === 'destroy') socket.destroySoon()
      else socket.resetAndDestroy()
      expect((await good.ask({ params: { X: '12345' } })).text).toBe('at once')
    }),
    effort(300),
  )
  await until('all are gone', () => responder.stats().connections === 1)
  expect(responder.stats().inflight).toBe(0)
})
