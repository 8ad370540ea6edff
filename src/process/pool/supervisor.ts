/**
 * Carries out what the policy decides: hears from children, signals and the clock, asks `step` what follows, spawns,
 * drains and kills. The same for processes and threads. Every order is one line in the log, with its reason.
 */

import type { Log } from '../../log.ts'
import type { LongRequest, PoolStatus } from '../status.ts'
import type { Child, ChildKind, ChildListener, Loaded } from './child.ts'
import { failureOf, PoolHistory } from './history.ts'
import { createPool, step } from './policy.ts'
import type { Action, PoolSettings, PoolState, Stimulus } from './state.ts'

export interface SupervisorOptions {
  readonly kind: ChildKind
  readonly settings: PoolSettings
  readonly log: Log
  /** What a child is called in the log: `worker`, `thread`. */
  readonly noun: string
}

/** How often the policy is told that time goes by, in milliseconds. */
const TICK_MS = 1_000

/** Somebody waits for a generation, or for a later one that has superseded it. */
interface Reload {
  readonly generation: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #children = new Map<number, Child>()
  readonly #queue: Stimulus[] = []
  readonly #history: PoolHistory
  #state: PoolState
  #working = false
  #ticker: NodeJS.Timeout | null = null
  /** Rings when the pause is over that follows failures. */
  #alarm: NodeJS.Timeout | null = null
  #loadError = ''
  #loaded: Loaded | null = null
  #reloads: Reload[] = []
  #onServing: (() => void) | null = null
  #onEnd: ((code: number) => void) | null = null

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#state = createPool(options.settings)
    this.#history = new PoolHistory(options.noun)
  }

  /** The pool as the policy sees it. */
  get state(): PoolState {
    return this.#state
  }

  /** A child serves, or the first ones start; children that fail one after the other are no reason for hope. */
  get healthy(): boolean {
    const { children, failures } = this.#state
    return children.some(({ phase }) => phase === 'ready' || (phase === 'starting' && failures === 0))
  }

  status(): PoolStatus {
    return this.#history.status(this.#state, id => this.#children.get(id), performance.now())
  }

  /** Requests that have been running for a while, with the child that runs them. */
  running(): LongRequest[] {
    return [...this.#children].flatMap(([child, { vitals }]) =>
      vitals.running.map(({ age, ...request }) => ({ ...request, age: Math.round(age), child })),
    )
  }

  /** Why the application could not be loaded, if that is why the pool ended. */
  get loadError(): string {
    return this.#loadError
  }

  /** Starts the first children. Resolves to what they serve, or to null if the pool has ended instead. */
  start(): Promise<Loaded | null> {
    this.#ticker = setInterval(() => this.hear({ type: 'tick' }), TICK_MS)
    return new Promise(resolve => {
      this.#onServing = () => resolve(this.#loaded)
      void this.ended.then(() => resolve(null))
      this.hear({ type: 'tick' })
    })
  }

  /** Resolves to the exit code when the last child is gone. */
  readonly ended: Promise<number> = new Promise(resolve => {
    this.#onEnd = resolve
  })

  /**
   * Replaces all children. Resolves when only new ones serve; rejects if they cannot be loaded: the old ones go on. What
   * comes of one that is superseded by another is what comes of that.
   */
  reload(reason: string, settings?: PoolSettings): Promise<void> {
    return new Promise((resolve, reject) => {
      this.hear({ type: 'reload', reason, settings })
      const { settled, generation } = this.#state
      if (settled === generation) resolve()
      else this.#reloads.push({ generation, resolve, reject })
    })
  }

  /** Takes a stimulus; what follows is carried out before this returns, unless it comes of carrying out another one. */
  hear(stimulus: Stimulus): void {
    this.#queue.push(stimulus)
    if (this.#working) return
    this.#working = true
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (next.type === 'load-failed') this.#loadError = next.error
      const now = performance.now()
      this.#history.heard(next, this.#state, now)
      const { state, actions } = step(this.#state, next, now)
      this.#state = state
      for (const action of actions) {
        this.#history.ordered(action, state, now)
        this.#carryOut(action)
      }
    }
    this.#setAlarm()
    this.#working = false
  }

  #setAlarm(): void {
    clearTimeout(this.#alarm ?? undefined)
    const pause = this.#state.mode === 'running' ? this.#state.holdUntil - performance.now() : 0
    this.#alarm = pause > 0 ? setTimeout(() => this.hear({ type: 'wake' }), Math.ceil(pause)) : null
  }

  #carryOut(action: Action): void {
    const { log, noun } = this.#options
    switch (action.type) {
      case 'spawn':
        log.info({ child: action.id, generation: action.generation }, `started ${noun} ${action.id}: ${action.reason}`)
        this.#spawn(action.id, action.generation)
        break
      case 'drain':
        log.info({ child: action.id }, `retired ${noun} ${action.id}: ${action.reason}`)
        this.#children.get(action.id)?.drain(this.#state.mode === 'running' ? 'retirement' : 'stop')
        break
      case 'terminate':
        log[action.cutsOff ? 'warn' : 'info'](
          { child: action.id },
          `told ${noun} ${action.id} to end: ${action.reason}`,
        )
        this.#children.get(action.id)?.terminate()
        break
      case 'kill':
        log.warn({ child: action.id }, `killed ${noun} ${action.id}: ${action.reason}`)
        this.#children.get(action.id)?.kill()
        break
      case 'reloaded':
        this.#settled(action.generation)
        break
      case 'reload-failed': {
        const error = failureOf(action, noun)
        log.error({ generation: action.generation }, `reload failed, the old application goes on: ${error}`)
        this.#abandoned(error)
        break
      }
      case 'unloadable':
        if (this.#loadError === '') this.#loadError = `cannot load the application: a ${noun} ${action.error}`
        break
      case 'note':
        if (action.id === undefined) log[action.level]({}, action.text)
        else log[action.level]({ child: action.id }, `${noun} ${action.id} ${action.text}`)
        break
      case 'exit':
        this.#end(action.code)
        break
      default:
        action satisfies never
    }
  }

  #spawn(id: number, generation: number): void {
    const listener: ChildListener = {
      ready: loaded => {
        this.#loaded ??= loaded
        this.hear({ type: 'ready', id })
        this.#onServing?.()
        this.#onServing = null
      },
      loadFailed: error => this.hear({ type: 'load-failed', id, error }),
      report: (inflight, served, memory) => this.hear({ type: 'report', id, inflight, served, memory }),
      hung: details => this.hear({ type: 'hung', id, details }),
      crashed: error => this.hear({ type: 'crashed', id, error }),
      exited: details => {
        this.#children.delete(id)
        this.hear({ type: 'exited', id, details })
      },
    }
    this.#children.set(id, this.#options.kind.spawn(id, generation, listener))
  }

  #settled(generation: number): void {
    if (generation > 1) this.#options.log.info({ generation }, `reloaded: generation ${generation} serves`)
    for (const { resolve } of this.#reloads.splice(0)) resolve()
  }

  /** Those of an earlier generation have what they want, or will. */
  #abandoned(error: string): void {
    const { generation } = this.#state
    const inVain = this.#reloads.filter(reload => reload.generation > generation)
    this.#reloads = this.#reloads.filter(reload => reload.generation <= generation)
    for (const { reject } of inVain) reject(new Error(error))
  }

  #end(code: number): void {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    for (const { reject } of this.#reloads.splice(0)) reject(new Error('the pool has ended'))
    this.#onEnd?.(code)
  }
}
