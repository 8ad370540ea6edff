/** A request as `runfcgi probe` makes it, with the patience that a test has. */

import { type ProbeOptions, type ProbeResult, probe as probeWith } from '../../src/front/probe.ts'
import { LIMIT_MS } from './until.ts'

export type { ProbeOptions }

export const probe = (options: ProbeOptions): Promise<ProbeResult> => probeWith({ timeoutMs: LIMIT_MS, ...options })
