/** The settings of the pool policy, as the settings table has them. */

import type { Config } from '../../config/settings.ts'
import type { PoolSettings } from './state.ts'

export const poolSettings = (config: Config): PoolSettings => ({
  minSpare: config.minspare,
  maxSpare: config.maxspare,
  maxChildren: config.maxchildren,
  concurrency: config.concurrency,
  maxRequests: config.maxrequests,
  maxRequestsJitter: config.maxrequestsJitter,
  maxLifetime: config.maxLifetime,
  maxMemory: config.maxMemory,
  idleTimeout: config.idleTimeout,
  startTimeout: config.startTimeout,
  gracefulTimeout: config.gracefulTimeout,
})
