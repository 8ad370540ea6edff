/** What the commands on the control socket (src/process/daemon/control.ts) do, in the process that serves. */

import { existsSync } from 'node:fs'
import type { ControlHandler, ControlHandlers } from '../../process/daemon/control.ts'
import { starter } from '../../process/daemon/starter.ts'
import { residentMemory } from '../../process/resident-memory.ts'
import { type LongRequest, NO_TRAFFIC, type Status } from '../../process/status.ts'
import { type Address, formatAddress } from '../../server/sockets/address.ts'
import { versionNumber } from '../version.ts'
import type { Life } from './life.ts'
import { RequestRate } from './request-rate.ts'
import type { Plan } from './run.ts'
import type { EngineSlot } from './taken-place.ts'

/** How often whoever waits hears how it goes, in milliseconds. */
const PROGRESS_MS = 1_000

type Progress = (text: string) => void

/** How often the requests that were served are counted, in milliseconds. */
const SAMPLE_MS = 1_000

/** How many of the requests that run are told of. */
const MOST_TOLD = 10

export function controlHandlers(plan: Plan, life: Life, slot: EngineSlot): ControlHandlers {
  const rate = new RequestRate()
  setInterval(() => rate.sample(slot.engine?.traffic().requests ?? 0, performance.now()), SAMPLE_MS).unref()
  return new Map<string, ControlHandler>([
    ['stop', ({ now }, progress) => stop(life, slot, now === true, progress)],
    ['reload', (_, progress) => during(life.reload('runfcgi reload'), () => progress(howItReloads(slot)))],
    ['reopen', () => life.reopen('runfcgi reopen')],
    [
      'upgrade',
      (_, progress) => during(life.upgrade('runfcgi upgrade'), () => progress('the new process is starting')),
    ],
    ['status', () => statusOf(plan, life, slot, rate)],
  ])
}

/** Tells how it goes until it is done. What it comes to is no business of whoever waits, only whether it does. */
async function during(work: Promise<unknown>, tell: () => void): Promise<void> {
  const telling = setInterval(tell, PROGRESS_MS).unref()
  try {
    await work
  } finally {
    clearInterval(telling)
  }
}

function howItReloads({ engine }: EngineSlot): string {
  const { children = [], generation = 0 } = engine?.poolStatus?.() ?? {}
  const ready = children.filter(({ phase }) => phase === 'ready')
  const fresh = ready.filter(child => child.generation === generation).length
  return `reloading: ${fresh} new children serve, ${ready.length - fresh} old ones`
}

/** Whoever waits hears the end of the process by the end of the connection. */
function stop(life: Life, slot: EngineSlot, now: boolean, progress: Progress): Promise<never> {
  life.stop('runfcgi stop', { now })
  setInterval(() => progress(howItEnds(life, slot)), PROGRESS_MS).unref()
  return new Promise(() => {})
}

function howItEnds(life: Life, { engine }: EngineSlot): string {
  const { inflight } = engine?.traffic() ?? NO_TRAFFIC
  const requests = inflight === 1 ? '1 request runs' : `${inflight} requests run`
  const seconds = `${Math.ceil(life.timeLeft / 1000)} s`
  if (life.stage === 'lame-duck') return `lame duck: ${requests}, serving for ${seconds} more`
  const { predecessor } = starter
  const others = predecessor === undefined ? '' : `, and those of process ${predecessor}, which this one has succeeded`
  return `stopping: ${requests}${others}, ${seconds} left`
}

/** Unix sockets that were removed, by a careless `rm` or a cleaner of temporary folders. Their connections go on. */
function removedOf(addresses: readonly Address[]): string[] | undefined {
  const removed = addresses.filter(address => address.kind === 'unix' && !existsSync(address.path)).map(formatAddress)
  return removed.length === 0 ? undefined : removed
}

function statusOf({ addresses }: Plan, life: Life, { engine, name }: EngineSlot, rate: RequestRate): Status {
  const uptime = Math.round(process.uptime() * 1000)
  const pool = engine?.poolStatus?.()
  const reloading = pool?.reloading === true
  const traffic = engine?.traffic() ?? NO_TRAFFIC
  return {
    pid: process.pid,
    version: versionNumber(),
    node: process.version,
    state: life.stage === 'serving' && reloading ? 'reloading' : life.stage,
    started: new Date(Date.now() - uptime).toISOString(),
    uptime,
    method: name,
    listen: (engine?.addresses ?? addresses).map(formatAddress),
    removed: removedOf(engine?.addresses ?? []),
    app: engine?.loaded.source.file,
    interface: engine?.loaded.interface,
    memory: residentMemory(),
    traffic,
    perSecond: rate.perSecond(traffic.requests, performance.now()),
    longest: longestOf(engine?.running() ?? []),
    predecessor: starter.predecessor,
    queue: engine?.queue?.(),
    pool,
  }
}

const longestOf = (running: readonly LongRequest[]): LongRequest[] =>
  [...running].sort((one, other) => other.age - one.age).slice(0, MOST_TOLD)
