/**
 * The measurements: all peers of a case round after round in an order that moves on by one, so that what disturbs the
 * machine for a while disturbs all of them, and each figure of one peer has one of each other peer taken beside it.
 *
 * Load: every server is started and warm before the first round. Start-up and memory: each round is a fresh process.
 */

import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { CASES } from './cases.js'
import { familyOf, residentBytes } from './cpu.js'
import { missingFront, startFront } from './fronts.js'
import { PEERS } from './peers.js'
import { Subject } from './subject.js'

/** So long a process is left alone before its memory is read: what is only needed to start is gone by then. */
const SETTLE_MS = 700

/** Bytes of bodies of which a few requests try as much as many. */
const LARGE = 1 << 20

/** Idle connections whose memory is measured. */
const IDLE_CONNECTIONS = 1_000

async function inTurn(subjects, rounds, round) {
  for (let number = 0; number < rounds; number += 1) {
    for (let turn = 0; turn < subjects.length; turn += 1) {
      const subject = subjects[(number + turn) % subjects.length]
      subject.rounds.push(await round(subject))
    }
  }
}

/** RSS of the process that was started, of the one that runs the application, and of all together. */
function memoryOf(pid) {
  const sizes = familyOf(pid).map(residentBytes)
  return { primary: sizes[0], application: sizes.at(-1), total: sizes.reduce((sum, size) => sum + size, 0) }
}

/** Every server started and seen to reply as it should, and the load on it tried with `amount`. */
async function warmUp(subjects, { idle }, load, front, amount) {
  // As many at a time as there are processors: all at once, each would only wait for the others.
  const waiting = [...subjects]
  const startNext = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await next.start()
  }
  await Promise.all(Array.from({ length: availableParallelism() }, startNext))
  for (const subject of subjects) {
    if (subject.peer.idle) await subject.openIdle(idle ?? subject.peer.idle)
    await subject.load(load, amount, front)
  }
}

async function measureLoad(subjects, options, load, front) {
  const { work } = subjects[0]
  const amount = options.amount ?? { seconds: work.seconds ?? options.usualSeconds }
  const before = options.amount?.requests ? options.amount : (work.warmUp ?? options.warmUp)
  await warmUp(subjects, options, load, front, before)
  await inTurn(subjects, options.rounds ?? work.rounds ?? options.usualRounds, async subject => {
    const round = await subject.load(load, amount, front)
    return { ...round, residentBytes: memoryOf(subject.process.pid).total }
  })
}

async function measureStart(subjects, options) {
  const rounds = options.rounds ?? subjects[0].work.rounds
  await inTurn(subjects, rounds + 1, async subject => {
    const milliseconds = await subject.timedStart()
    await subject.stop()
    return { milliseconds }
  })
  // The first start reads the files from the disk.
  for (const subject of subjects) subject.rounds.shift()
}

async function measureMemory(subjects, options, load) {
  await inTurn(subjects, options.rounds ?? subjects[0].work.rounds, async subject => {
    try {
      await subject.start()
      await delay(SETTLE_MS)
      const idle = memoryOf(subject.process.pid)
      await subject.run(load, subject.job(options.amount?.requests ? options.amount : subject.work.warmUp))
      await delay(SETTLE_MS)
      const loaded = memoryOf(subject.process.pid)
      await subject.openIdle(IDLE_CONNECTIONS)
      const connected = memoryOf(subject.process.pid)
      return { ...idle, loaded: loaded.total, perConnection: (connected.total - loaded.total) / IDLE_CONNECTIONS }
    } finally {
      await subject.stop()
    }
  })
}

/** Four requests on each connection, of which there are four with large bodies and 16 else. */
const tried = ({ body, expectedBody }) => ({ requests: body.length + expectedBody.length > LARGE ? 16 : 64 })

const KINDS = { load: measureLoad, start: measureStart, memory: measureMemory }

/** The peers of a case that are asked for and can be started here; `tell` gets a line for each other one. */
function subjectsOf(caseName, options, directory, tell) {
  const { front, peers } = CASES[caseName]
  const missing = front && missingFront(front)
  if (missing) tell(`skipped ${caseName}: ${missing} is not installed`)
  const names = missing ? [] : peers.filter(name => options.peers.includes(name))
  const there = names.filter(name => {
    const without = PEERS[name].missing?.()
    if (without) tell(`skipped ${PEERS[name].title} in ${caseName}: install ${without}`)
    return !without
  })
  return there.map(name => new Subject(caseName, name, { ...options, directory }))
}

function frontOf(subjects) {
  const { settings, work } = subjects[0]
  if (!work.front) return undefined
  const sites = subjects.map(({ peer, address, port, work: { scriptFile } }) => {
    return { protocol: peer.protocol, address, port, scriptFile }
  })
  return startFront(work.front, sites, settings.directory)
}

/**
 * Measures one case; with the option `check` only tries everything that a measurement needs.
 * @param tell gets a line for each peer that cannot be measured here, and why
 * @returns {Promise<Subject[]>} with their rounds; empty if nobody is left
 */
export async function measureCase(caseName, options, directory, load, tell) {
  const subjects = subjectsOf(caseName, options, directory, tell)
  if (subjects.length === 0) return []
  let front
  try {
    for (const subject of subjects) await subject.place()
    front = frontOf(subjects)
    if (options.check) await warmUp(subjects, { idle: 50 }, load, front, tried(subjects[0].work))
    else await KINDS[CASES[caseName].kind ?? 'load'](subjects, options, load, front)
  } finally {
    await Promise.all(subjects.map(subject => subject.stop()))
    await front?.stop()
  }
  return subjects
}
