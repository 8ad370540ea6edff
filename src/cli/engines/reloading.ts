/**
 * A pool as signals and commands see it: a reload reads the settings again, and new children begin with what has changed.
 * If they cannot be read, or the application does not load, everything stays as it was.
 */

import { differences, reloaded } from '../../config/difference.ts'
import type { Resolved } from '../../config/resolve.ts'
import type { ServerLog } from '../../log.ts'
import { poolSettings } from '../../process/pool/settings.ts'
import type { PoolSettings } from '../../process/pool/state.ts'
import type { Supervisor } from '../../process/pool/supervisor.ts'
import { messageOf } from '../../server/thrown.ts'
import { allowedBy } from '../addresses.ts'
import type { Life, Pool } from '../serving/life.ts'
import type { Plan } from '../serving/run.ts'
import { enterWorkplace } from '../serving/workplace.ts'
import type { EngineInput } from './engine.ts'

export interface Reloadable extends Pick<EngineInput, 'plan' | 'log' | 'life'> {
  readonly supervisor: Supervisor
  /** Puts settings into force; called again with the former ones if the reload fails. */
  apply(plan: Plan): void
}

export class ReloadingPool implements Pool {
  readonly #log: ServerLog
  readonly #life: Life
  readonly #supervisor: Supervisor
  readonly #apply: (plan: Plan) => void
  /** With the settings of the children that serve or are to come, by generation; and the one that was read last. */
  readonly #plans = new Map<number, Plan>()
  #wanted: Plan
  /** One after the other: what each has changed is told by comparison with the one before. */
  #reading: Promise<unknown> = Promise.resolve()

  constructor({ plan, log, life, supervisor, apply }: Reloadable) {
    this.#log = log
    this.#life = life
    this.#supervisor = supervisor
    this.#apply = apply
    this.#wanted = plan
    this.#plans.set(supervisor.state.generation, plan)
  }

  get healthy(): boolean {
    return this.#supervisor.healthy
  }

  get ended(): Promise<number> {
    return this.#supervisor.ended
  }

  hear(stimulus: { readonly type: 'more' | 'fewer' }): void {
    this.#supervisor.hear(stimulus)
  }

  async reload(reason: string): Promise<void> {
    const read = this.#reading.then(() => this.#readAgain())
    this.#reading = read.catch(() => undefined)
    const settings = await read
    const mine = this.#wanted
    const done = this.#supervisor.reload(reason, settings)
    this.#plans.set(this.#supervisor.state.generation, mine)
    try {
      await done
    } catch (error) {
      // Another reload may have superseded this one.
      const serving = this.#plans.get(this.#supervisor.state.generation)
      if (this.#wanted === mine && serving !== undefined) this.#use(serving)
      throw error
    } finally {
      this.#forgetPlans()
    }
  }

  #forgetPlans(): void {
    const { settled } = this.#supervisor.state
    for (const generation of this.#plans.keys()) if (generation < settled) this.#plans.delete(generation)
  }

  /** Resolves to the settings of the pool if any setting has changed. */
  async #readAgain(): Promise<PoolSettings | undefined> {
    try {
      const before = this.#wanted
      enterWorkplace(before.resolved)
      const read = await before.readAgain?.()
      if (read === undefined) return undefined
      const plan = { ...before, resolved: reloaded(before.resolved, read) }
      allowedBy(plan)
      const isChanged = this.#tellChanges(before.resolved, read)
      // Even if nothing has changed: each reload has a plan of its own, by which it is known.
      this.#use(plan)
      return isChanged ? poolSettings(plan.resolved.config) : undefined
    } catch (error) {
      this.#log.error({}, `reload failed, the old settings and application go on: ${messageOf(error)}`)
      throw error
    }
  }

  #tellChanges(before: Resolved, after: Resolved): boolean {
    const changes = differences(before, after)
    const inForce = changes.filter(({ reloadable }) => reloadable)
    for (const { name, text } of inForce) this.#log.info({ setting: name }, text)
    const others = changes.filter(({ reloadable }) => !reloadable).map(({ name }) => name)
    if (others.length > 0) this.#log.warn({ settings: others }, `changed, but needs a restart: ${others.join(', ')}`)
    return inForce.length > 0
  }

  #use(plan: Plan): void {
    const { logLevel } = plan.resolved.config
    this.#wanted = plan
    this.#apply(plan)
    this.#life.endTimes = plan.resolved.config
    this.#log.setLevel(logLevel)
  }
}
