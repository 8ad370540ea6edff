/**
 * One request a second never lets go of its thread, and nobody else notices. Three seconds here;
 * `LOOP_SECONDS=20 npx vitest run test/process/thread-loop.test.ts` counts longer.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Pool, type Reply } from '../../src/front/pool.ts'
import { launch, project } from '../cli/command.ts'
import { until } from '../support/until.ts'
