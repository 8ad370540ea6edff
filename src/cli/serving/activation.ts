/**
 * Socket activation, sd_listen_fds(3): the service manager binds the sockets, and starts us with them as descriptors 3 and
 * up. LISTEN_PID says for whom they are, LISTEN_FDS how many, LISTEN_FDNAMES what the units call them.
 *
 * All of them are served: somebody connects to each. A setting that names the address of one is that one, so that the same
 * settings work with and without the service manager; other settings are bound beside them.
 */

import { isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import type { Address, DescriptorAddress, TcpAddress } from '../../server/sockets/address.ts'
import { formatAddress } from '../../server/sockets/address.ts'
import { boundTo } from '../../server/sockets/socket-holder.ts'

export interface Activation {
  readonly sockets: readonly DescriptorAddress[]
  /** A datagram socket to the service manager itself (src/process/daemon/notify.ts), if the unit opens one by this name. */
  readonly notify: number | undefined
}

const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'] as const

/** SD_LISTEN_FDS_START */
const FIRST = 3

const NOTIFY = 'notify'

/** Takes the variables out of `env`: what this process starts would take them for its own. */
export function takeActivation(env: NodeJS.ProcessEnv): Activation {
  const [pid, count = '0', names = ''] = VARIABLES.map(name => env[name])
  for (const name of VARIABLES) delete env[name]
  if (pid !== String(process.pid) || !/^\d{1,4}$/.test(count)) return { sockets: [], notify: undefined }
  const called = names.split(':')
  const fds = Array.from({ length: Number(count) }, (_, at) => ({ fd: FIRST + at, called: called[at] }))
  return {
    sockets: fds.filter(({ called }) => called !== NOTIFY).map(({ fd }) => ({ kind: 'fd', fd })),
    notify: fds.find(({ called }) => called === NOTIFY)?.fd,
  }
}

/** Everything to listen on. */
export function withActivated(addresses: readonly Address[], { sockets }: Activation): readonly Address[] {
  if (sockets.length === 0) return addresses
  const left = new Set(sockets)
  const named = addresses.map(address => {
    const socket = [...left].find(({ fd }) => isAt(fd, address))
    if (socket === undefined) return address
    left.delete(socket)
    return { ...socket, name: formatAddress(address) }
  })
  return [...named, ...left]
}

function isAt(fd: number, address: Address): boolean {
  if (address.kind === 'fd') return address.fd === fd
  const bound = boundTo(fd)
  if (bound?.kind === 'unix') return address.kind === 'unix' && bound.path === resolve(address.path)
  return bound !== undefined && address.kind === 'tcp' && covers(bound, address)
}

/** A socket that takes connections to every address of the machine takes those to one of them. */
function covers(bound: TcpAddress, { host, port }: TcpAddress): boolean {
  const every = ['::', '0.0.0.0']
  if (bound.port !== port) return false
  if (host === '') return every.includes(bound.host)
  const hosts = host === 'localhost' ? ['127.0.0.1', '::1'] : [canonical(host)]
  return every.includes(bound.host) || hosts.includes(bound.host)
}

/** An IPv6 address in the one spelling of RFC 5952. */
const canonical = (host: string): string =>
  isIPv6(host) ? new URL(`http://[${host}]`).hostname.replace(/^\[(.*)\]$/, '$1') : host
