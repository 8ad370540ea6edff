/**
 * CPU time of a process, its threads and its children, from the kernel's accounting (Linux).
 *
 * /proc/<pid>/task/<tid>/schedstat counts nanoseconds on a CPU for each thread, garbage collector and compiler included;
 * /proc/<pid>/stat counts in clock ticks (10 ms), but keeps what ended threads and reaped children have used.
 */

import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ is 100 on every Linux architecture that Node runs on. */
const NS_PER_TICK = 10_000_000

/** The text of a file in /proc, '' if the process or thread ended meanwhile. */
function read(path) {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return ''
    throw error
  }
}

/** The fields of /proc/<pid>/stat after the command name, which may hold spaces and parentheses: [0] is field 3. */
const statFields = pid => {
  const text = read(`/proc/${pid}/stat`)
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** The process and all its descendants, parents first. */
export function familyOf(pid) {
  const children = new Map()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = Number(statFields(entry)[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const members = [pid]
  for (const member of members) members.push(...(children.get(member) ?? []))
  return members
}

function threadsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}

/** What has been used up to now; see `cpuBetween`. */
export function cpuSnapshot(pid) {
  const threads = new Map()
  const ticks = { user: 0, system: 0 }
  for (const member of familyOf(pid)) {
    const [user, system, userOfChildren, systemOfChildren] = statFields(member).slice(11, 15).map(Number)
    ticks.user += user + userOfChildren
    ticks.system += system + systemOfChildren
    for (const thread of threadsOf(member)) {
      threads.set(thread, Number(read(`/proc/${member}/task/${thread}/schedstat`).split(' ')[0]))
    }
  }
  return { threads, ticks }
}

/**
 * CPU used between two snapshots, in nanoseconds, and its user and system parts in ticks of 10 ms.
 * If a thread or child has ended in between, its nanoseconds are lost, and the total is that of the ticks.
 */
export function cpuBetween(before, after) {
  const user = (after.ticks.user - before.ticks.user) * NS_PER_TICK
  const system = (after.ticks.system - before.ticks.system) * NS_PER_TICK
  for (const thread of before.threads.keys()) {
    if (!after.threads.has(thread)) return { total: user + system, user, system }
  }
  let total = 0
  for (const [thread, used] of after.threads) total += used - (before.threads.get(thread) ?? 0)
  return { total, user, system }
}

/** Resident memory of a process in bytes. Pages that processes share count for each of them. */
export function residentBytes(pid) {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))
  return match ? Number(match[1]) * 1024 : 0
}
