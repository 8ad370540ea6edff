/**
 * Machines for tests of what crosses a network: network namespaces that the test makes itself, each with a cable (veth) to
 * this one and an address of its own. As root on Linux only.
 */

import { spawnSync } from 'node:child_process'

export interface Host {
  readonly name: string
  readonly address: string
  /** The command line that runs a program there. */
  command(program: string, ...args: string[]): [string, string[]]
  /** Pulls the cable out, or puts it back in. */
  plug(connected: boolean): void
}

export interface Network {
  readonly hosts: readonly Host[]
  remove(): void
}

interface Outcome {
  readonly ok: boolean
  readonly text: string
}

function ip(...args: string[]): Outcome {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' })
  return { ok: status === 0, text: error?.message ?? stderr?.trim() ?? '' }
}

function must(...args: string[]): void {
  const { ok, text } = ip(...args)
  if (!ok) throw new Error(`ip ${args.join(' ')}: ${text}`)
}

let names = 0

/**
 * Of a namespace and its interfaces, which have 15 characters at most. Never used again: the kernel takes an interface away
 * some time after its namespace.
 */
const newName = (): string => `rf${process.pid}n${names++}`

/** Why there can be no hosts on this machine; undefined: there can be. */
export function whyNoHosts(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux can make network namespaces'
  const name = newName()
  const made = ip('netns', 'add', name)
  if (!made.ok) return `a network namespace could not be made (${made.text})`
  const cable = ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`)
  if (cable.ok) ip('link', 'delete', `${name}a`)
  ip('netns', 'delete', name)
  return cable.ok ? undefined : `a veth could not be made (${cable.text})`
}

/** So many hosts, each on a subnet of four addresses of which this machine has one. @throws if there are none to be had */
export function makeNetwork(count: number): Network {
  const hosts: Host[] = []
  const made: string[] = []
  const remove = (): void => {
    // With the namespace go both ends of its cable.
    for (const name of made.splice(0)) ip('netns', 'delete', name)
  }
  try {
    const net = freeNet()
    for (let n = 1; n <= count; n++) {
      const name = newName()
      made.push(name)
      hosts.push(makeHost(name, `${net}.${n}`))
    }
    return { hosts, remove }
  } catch (error) {
    remove()
    throw error
  }
}

/** The first half of an address that nobody here uses. */
function freeNet(): string {
  const { stdout } = spawnSync('ip', ['-4', 'route', 'show', 'table', 'all'], { encoding: 'utf8' })
  for (let second = 201; second < 250; second++) if (!stdout.includes(`10.${second}.`)) return `10.${second}`
  throw new Error('every network from 10.201 to 10.249 is in use')
}

function makeHost(name: string, net: string): Host {
  const [near, far] = [`${name}a`, `${name}b`]
  const address = `${net}.2`
  must('netns', 'add', name)
  must('link', 'add', near, 'type', 'veth', 'peer', 'name', far)
  must('link', 'set', far, 'netns', name)
  must('addr', 'add', `${net}.1/30`, 'dev', near)
  must('link', 'set', near, 'up')
  must('-n', name, 'addr', 'add', `${address}/30`, 'dev', far)
  must('-n', name, 'link', 'set', far, 'up')
  must('-n', name, 'link', 'set', 'lo', 'up')
  return {
    name,
    address,
    command: (program, ...args) => ['ip', ['netns', 'exec', name, program, ...args]],
    plug: connected => must('-n', name, 'link', 'set', far, connected ? 'up' : 'down'),
  }
}
