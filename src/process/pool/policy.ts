/**
 * The pool policy: which children there should be. `step(state, stimulus, now)` compares what is wanted with what is alive
 * and says what to do; the same for processes and threads.
 *
 * Pure: no process, thread, clock, logger or randomness. Promises, for any stimuli: at most `maxChildren` children serve,
 * and one more while it replaces another; no child that serves is ended on purpose before another one is ready; what was
 * asked for is reached once the stimuli stop.
 */

import { byLoad, type Child, type Draft, drain, enter, failed, kill, note, serving, spawn, terminate } from './draft.ts'
import { isServing, isSpare, type PoolSettings, type PoolState, type Step, type Stimulus } from './state.ts'

/** Growth doubles up to this many children a tick, as Apache's prefork does. */
const MAX_GROWTH = 32

/** How long a child has from being told to end until it is killed. */
export const KILL_AFTER_MS = 5_000

/** A child that has been ready this long is of use: the failures before it are forgotten. */
const HEALTHY_MS = 60_000

/** Exit code when the application of the first generation cannot be loaded. */
const EXIT_LOAD_FAILED = 3

/** A pool without children; the first tick spawns them. */
export function createPool(settings: PoolSettings): PoolState {
  return {
    settings,
    children: [],
    nextId: 1,
    generation: 1,
    proven: 0,
    lastGeneration: 1,
    reloadSize: 0,
    formerSettings: undefined,
    settled: 0,
    mode: 'running',
    exitCode: 0,
    growth: Math.max(1, settings.minSpare),
    grown: 0,
    surplusSince: undefined,
    failures: 0,
    holdUntil: 0,
  }
}

/** What follows from one stimulus. `now` in milliseconds, monotonic. */
export function step(state: PoolState, stimulus: Stimulus, now: number): Step {
  if (state.mode === 'stopped') return { state, actions: [] }
  const draft: Draft = { ...state, children: state.children.map(child => ({ ...child })), actions: [], now }
  hear(draft, stimulus)
  escalate(draft)
  if (draft.mode === 'running') {
    replaceOld(draft)
    replaceRetired(draft)
    grow(draft)
    settle(draft)
    if (stimulus.type === 'tick') tick(draft)
  } else wind(draft)
  const { actions, now: _, ...next } = draft
  return { state: next, actions }
}

function hear(draft: Draft, stimulus: Stimulus): void {
  switch (stimulus.type) {
    case 'tick':
    case 'wake':
      break
    case 'reload':
      reload(draft, stimulus.reason, stimulus.settings)
      break
    case 'stop':
      stop(draft, stimulus.reason, draft.mode === 'stopping')
      break
    case 'stop-now':
      stop(draft, stimulus.reason, true)
      break
    case 'more':
      resize(draft, 1)
      break
    case 'fewer':
      resize(draft, -1)
      break
    default: {
      const child = draft.children.find(({ id }) => id === stimulus.id)
      if (child !== undefined) hearChild(draft, child, stimulus)
    }
  }
}

function hearChild(draft: Draft, child: Child, stimulus: Extract<Stimulus, { id: number }>): void {
  switch (stimulus.type) {
    case 'ready':
      becameReady(draft, child)
      break
    case 'load-failed':
      if (child.phase !== 'starting') break
      enter(draft, child, 'terminating')
      loadFailed(draft, child, stimulus.error, true)
      break
    case 'report':
      child.inflight = stimulus.inflight
      child.served = stimulus.served
      child.retire ??= retirement(draft, child, stimulus.memory)
      break
    case 'hung':
      kill(draft, child, stimulus.details)
      break
    case 'crashed':
      if (!isServing(child)) break
      if (child.served === 0) failed(draft)
      drain(draft, child, stimulus.error)
      break
    case 'exited':
      exited(draft, child, stimulus.details)
      break
    default:
      stimulus satisfies never
  }
}

// What is heard.

function becameReady(draft: Draft, child: Child): void {
  if (child.phase !== 'starting') return
  enter(draft, child, 'ready')
  if (child.generation <= draft.proven) return
  draft.proven = child.generation
  if (draft.proven === draft.generation) draft.formerSettings = undefined
}

/** What a generation that does not load means depends on whether it ever did. `told`: the child has said why itself. */
function loadFailed(draft: Draft, child: Child, error: string, told = false): void {
  if (draft.proven === 0) {
    draft.exitCode = EXIT_LOAD_FAILED
    if (draft.mode === 'running') draft.actions.push({ type: 'unloadable', error })
    stop(draft, error, true)
  } else if (child.generation > draft.proven) {
    if (child.generation === draft.generation) abandonReload(draft, error, told ? undefined : child.id)
  } else {
    failed(draft)
    draft.grown--
    note(draft, 'warn', `did not start: ${error}`, child.id)
  }
}

/** The generation that was asked for is given up; the one that works goes on. */
function abandonReload(draft: Draft, error: string, child: number | undefined): void {
  const abandoned = draft.generation
  draft.generation = draft.proven
  draft.settings = draft.formerSettings ?? draft.settings
  draft.formerSettings = undefined
  if (draft.settled === draft.proven) draft.reloadSize = 0
  draft.actions.push({ type: 'reload-failed', generation: abandoned, error, child })
  for (const other of draft.children)
    if (other.generation === abandoned && isServing(other)) terminate(draft, other, 'its generation was discarded')
}

function reload(draft: Draft, reason: string, settings: PoolSettings | undefined): void {
  if (draft.mode !== 'running') return
  // One that is under way may have read what has changed since: it is begun anew, and the new one speaks for both.
  if (draft.proven === 0) return
  draft.generation = ++draft.lastGeneration
  if (settings !== undefined) {
    draft.formerSettings ??= draft.settings
    draft.settings = settings
  }
  if (draft.reloadSize === 0)
    draft.reloadSize = Math.max(1, draft.children.filter(child => child.phase === 'ready').length)
  note(draft, 'info', `reload: ${reason}`)
}

function exited(draft: Draft, child: Child, details: string): void {
  draft.children = draft.children.filter(other => other !== child)
  for (const other of draft.children) if (other.replacement === child.id) other.replacement = undefined
  if (child.phase === 'starting') loadFailed(draft, child, `ended before it was ready: ${details}`)
  else if (child.phase === 'ready') {
    note(draft, 'warn', `died: ${details}`, child.id)
    // A child that was of use is replaced at once, however it ended; one that never was may never be.
    if (child.served === 0) failed(draft)
    draft.grown--
  }
}

function stop(draft: Draft, reason: string, now: boolean): void {
  if (draft.mode === 'running') note(draft, 'info', `stopping: ${reason}`)
  draft.mode = 'stopping'
  if (now) for (const child of draft.children) terminate(draft, child, reason)
}

function resize(draft: Draft, by: number): void {
  const maxChildren = Math.max(1, draft.settings.maxChildren + by)
  const { minSpare, maxSpare } = draft.settings
  draft.settings = {
    ...draft.settings,
    maxChildren,
    maxSpare: Math.max(1, maxSpare + (maxChildren - draft.settings.maxChildren)),
    minSpare: Math.min(Math.max(1, minSpare + (maxChildren - draft.settings.maxChildren)), maxChildren),
  }
  note(draft, 'info', `maxchildren is now ${maxChildren}`)
}

// What is wanted.

/** Drain has its time, then the child is told to end, then it is killed. A child that never gets ready is killed too. */
function escalate(draft: Draft): void {
  const { gracefulTimeout, startTimeout } = draft.settings
  for (const child of [...draft.children]) {
    const age = draft.now - child.since
    if (child.phase === 'draining' && age > gracefulTimeout) terminate(draft, child, 'graceful-timeout has run out')
    else if (child.phase === 'terminating' && age > KILL_AFTER_MS) kill(draft, child, 'it did not end')
    else if (child.phase === 'starting' && age > startTimeout) {
      kill(draft, child, 'not ready within start-timeout')
      loadFailed(draft, child, `was not ready after ${Math.round(startTimeout / 1000)} s`)
    }
  }
}

/** The first child of a new generation proves it before others start; then one old child goes for each new one. */
function replaceOld(draft: Draft): void {
  if (draft.reloadSize === 0) return
  const isOld = (child: Child): boolean => child.generation !== draft.generation
  const proven = draft.proven === draft.generation
  const ready = draft.children.filter(child => child.phase === 'ready')
  const fresh = ready.filter(child => !isOld(child)).length
  for (const child of draft.children)
    if (isOld(child) && child.phase === 'starting') terminate(draft, child, 'its generation is out of date')
  const size = Math.min(draft.reloadSize, draft.settings.maxChildren)
  const mayStay = Math.max(fresh === 0 ? 1 : 0, size - fresh)
  const old = byLoad(ready.filter(isOld)).sort((a, b) => a.generation - b.generation)
  for (const child of old.slice(0, Math.max(0, old.length - mayStay))) drain(draft, child, 'reload')
  const starting = draft.children.filter(child => child.phase === 'starting' && !isOld(child)).length
  const wanted = proven ? size - fresh : 1
  if (draft.now < draft.holdUntil) return
  for (let at = starting; at < wanted && serving(draft) <= draft.settings.maxChildren; at++) spawn(draft, 'reload')
}

/** A child that is due is replaced first and ended then; one at a time. */
function replaceRetired(draft: Draft): void {
  const { children, settings, now } = draft
  for (const child of children) {
    if (child.phase !== 'ready') continue
    if (settings.maxLifetime > 0 && now - child.born > settings.maxLifetime)
      child.retire ??= `max-lifetime ${Math.round(settings.maxLifetime / 1000)} s`
    const replacement = children.find(other => other.id === child.replacement)
    if (child.retire !== undefined && replacement?.phase === 'ready') drain(draft, child, child.retire)
  }
  if (now < draft.holdUntil || children.some(child => child.replacement !== undefined && child.phase === 'ready'))
    return
  const due = children.find(child => child.phase === 'ready' && child.retire !== undefined)
  if (due !== undefined && serving(draft) <= settings.maxChildren)
    due.replacement = spawn(draft, `to replace child ${due.id}`)
}

/** Enough spare children, and never none at all. */
function grow(draft: Draft): void {
  const { settings, children } = draft
  if (draft.now < draft.holdUntil) return
  const replacements = new Set(children.map(child => child.replacement))
  const coming = children.filter(child => child.phase === 'starting' && !replacements.has(child.id)).length
  const spare = children.filter(child => isSpare(child, settings)).length
  const alive =
    serving(draft) - children.filter(child => child.phase === 'ready' && child.replacement !== undefined).length
  const needed = Math.max(settings.minSpare - spare - coming, alive === 0 ? 1 : 0)
  const allowed = Math.min(needed, settings.maxChildren - serving(draft), draft.growth - draft.grown)
  for (let at = 0; at < allowed; at++) {
    draft.grown++
    spawn(draft, draft.proven === 0 ? 'start' : `${spare} spare, minspare ${settings.minSpare}`)
  }
}

/** Says once that a new generation has taken over. */
function settle(draft: Draft): void {
  if (draft.settled === draft.generation || draft.proven !== draft.generation) return
  if (draft.children.some(child => child.generation !== draft.generation && isServing(child))) return
  draft.settled = draft.generation
  draft.reloadSize = 0
  draft.actions.push({ type: 'reloaded', generation: draft.generation })
}

/** What happens only as time goes by: growth speeds up or stops, the pool shrinks, failures are forgotten. */
function tick(draft: Draft): void {
  draft.growth = draft.grown > 0 ? Math.min(MAX_GROWTH, draft.growth * 2) : 1
  draft.grown = 0
  if (draft.failures > 0 && draft.children.some(child => healthy(draft, child))) draft.failures = 0
  shrink(draft)
}

/** One spare child less, once there have been too many for a while; or a busy one, if maxchildren was lowered. */
function shrink(draft: Draft): void {
  const { settings, children, now } = draft
  const ready = children.filter(child => child.phase === 'ready')
  const spare = ready.filter(child => isSpare(child, settings))
  const tooMany = serving(draft) > settings.maxChildren && !children.some(child => child.replacement !== undefined)
  if (spare.length <= settings.maxSpare && !tooMany) {
    draft.surplusSince = undefined
    return
  }
  draft.surplusSince ??= now
  if (ready.length < 2 || draft.generation !== draft.settled) return
  if (tooMany) drain(draft, byLoad(ready)[0] as Child, `maxchildren ${settings.maxChildren}`)
  else if (now - draft.surplusSince >= settings.idleTimeout)
    drain(draft, spare.at(-1) as Child, `${spare.length} spare, maxspare ${settings.maxSpare}`)
}

/** Everything ends. */
function wind(draft: Draft): void {
  for (const child of draft.children) {
    if (child.phase === 'starting') terminate(draft, child, 'stop')
    else if (child.phase === 'ready') drain(draft, child, 'stop')
  }
  if (draft.children.length > 0) return
  draft.mode = 'stopped'
  draft.actions.push({ type: 'exit', code: draft.exitCode })
}

function retirement({ settings }: Draft, child: Child, memory: number): string | undefined {
  if (child.quota > 0 && child.served >= child.quota) return `maxrequests ${settings.maxRequests}`
  if (settings.maxMemory > 0 && memory > settings.maxMemory)
    return `max-memory ${Math.round(settings.maxMemory / 1048576)} MiB, has ${Math.round(memory / 1048576)}`
  return undefined
}

const healthy = (draft: Draft, child: Child): boolean =>
  child.phase === 'ready' && draft.now - child.since >= HEALTHY_MS
