/**
 * The process that this one succeeds (upgrade.ts): it serves until this one can, leaves it its sockets, and then finishes
 * its own requests.
 */

import { closeSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { signalIfAlive } from '../../process/daemon/identity.ts'
import { type HandedDown, starter } from '../../process/daemon/starter.ts'
import { type Address, formatAddress } from '../../server/sockets/address.ts'

/**
 * The same addresses; those that the predecessor listens on as the descriptors that it has handed down. Descriptors that
 * no setting named for it either, because the service manager had bound them, are added.
 */
export function handedDown(addresses: readonly Address[]): Address[] {
  const names = addresses.map(formatAddress)
  const named = addresses.map((address, at) => {
    const socket = starter.sockets.find(({ address }) => address === names[at])
    return socket === undefined ? address : descriptorOf(socket)
  })
  const activated = starter.sockets.filter(({ address }) => address.startsWith('fd:') && !names.includes(address))
  return [...named, ...activated.map(descriptorOf)]
}

const descriptorOf = ({ address, fd, path }: HandedDown): Address => ({ kind: 'fd', name: address, fd, path })

/** Lets go of sockets that the settings do not name any more, when nobody needs the predecessor. */
export function releaseOthers(addresses: readonly Address[]): void {
  const used = new Set(addresses.map(address => (address.kind === 'fd' ? address.fd : -1)))
  for (const { fd, path } of starter.sockets.filter(({ fd }) => !used.has(fd))) {
    if (path !== undefined) rmSync(path, { force: true })
    closeSync(fd)
  }
}

/** What to hand down: each socket under the name that the settings have for it. */
export const handDown = (
  names: readonly Address[],
  sockets: readonly { readonly address: Address; readonly fd: number }[],
): HandedDown[] =>
  sockets.map(({ address, fd }, at) => ({
    address: formatAddress(names[at] ?? address),
    fd,
    path: address.kind === 'tcp' ? undefined : address.path,
  }))

/** How often is looked whether it has ended, in milliseconds. */
const LOOK_MS = 20

/** What it takes to leave in order when it is told to end at once, in milliseconds. */
const LEAVE_MS = 2_000

/**
 * Whoever ends this process means the whole server: resolves when the predecessor has ended as well. After `graceMs`
 * milliseconds it is told to end at once, and killed if it does not.
 */
export async function untilPredecessorEnds(graceMs: number): Promise<void> {
  for (const [signal, ms] of [['SIGQUIT', graceMs] as const, ['SIGKILL', LEAVE_MS] as const]) {
    const end = performance.now() + ms
    while (starter.predecessor !== undefined && performance.now() < end) await delay(LOOK_MS)
    if (starter.predecessor === undefined) return
    signalIfAlive(starter.predecessor, signal)
  }
}
