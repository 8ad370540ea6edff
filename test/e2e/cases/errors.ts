/** Errors of the application. */

import { expect } from 'vitest'
import { fetchWhole } from '../../support/http-client.ts'
import { until } from '../../support/until.ts'
import { SECRET } from '../fixtures/shared.js'
import type { Suite } from '../prove-behind.ts'

export function errors({ check, site, expectHello }: Suite): void {
  check('an error of the application is a 500 without details', async () => {
    const { status, body } = await fetchWhole(site().port, '/boom')
    expect(status).toBe(500)
    expect(body.toString()).not.toContain(SECRET)
    await expectHello()
  })

  check(
    'the stack of an error is in the web server’s log',
    async () => {
      const count = () => site().log().split(SECRET).length
      const before = count()
      await fetchWhole(site().port, '/boom')
      await until('the stack is logged', () => count() > before)
    },
    'logsErrors',
  )

  check('an error after the headers cuts the reply: the client never takes it for whole', async () => {
    const outcome = await fetchWhole(site().port, '/boom-late').catch((error: Error) => error)
    expect(outcome).toSatisfy(cut)
    await expectHello()
  })
}

/** Either the client sees a broken connection, or an error status: never a 200 that looks complete. */
function cut(outcome: Error | { status: number }): boolean {
  return outcome instanceof Error || outcome.status >= 500
}
