import { describe, expect, it } from 'vitest'
import { BEAT_MS, LOOK_MS, rhythmFor } from '../../../src/process/workers/messages.ts'

describe('a worker that has nothing to do', () => {
  it.each([10, 100, 600, 1_000, 1_250, 5_000, 60_000])(
    'says something at least twice in a hang-timeout of %i ms, so that it is not taken to hang',
    hangTimeout => {
      const { look, beat } = rhythmFor(hangTimeout)
      // The last look before it is due may be a moment too early.
      expect(beat + look).toBeLessThanOrEqual(hangTimeout / 2)
    },
  )

  it('says no more than is needed', () => {
    for (const hangTimeout of [0, 5_000, 60_000])
      expect(rhythmFor(hangTimeout)).toEqual({ look: LOOK_MS, beat: BEAT_MS })
  })
})
