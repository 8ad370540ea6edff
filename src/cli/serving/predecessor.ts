/** The sockets of the process that this one succeeds (upgrade.ts), which serves until this one can. */

import { closeSync, rmSync } from 'node:fs'
import { type HandedDown, starter } from '../../process/daemon/starter.ts'
import { type Address, formatAddress } from '../../server/address.ts'

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
