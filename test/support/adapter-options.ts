/** What the adapters of the three callables are given in tests. */

import type { AdapterOptions } from '../../src/app/exchange.ts'

export const options: AdapterOptions = { concurrency: { multithread: false, multiprocess: false, runOnce: false } }
