/**
 * `allowed-clients`: which TCP peers may connect, the check that FastCGI 1.0 §3.2 asks for (FCGI_WEB_SERVER_ADDRS).
 */

import { BlockList, isIP, isIPv6 } from 'node:net'
import { ListenError } from './sockets/listen-error.ts'

type Family = 'ipv4' | 'ipv6'

const familyOf = (address: string): Family => (isIPv6(address) ? 'ipv6' : 'ipv4')

function refuse(entry: string, why: string): never {
  throw new ListenError('address', `bad entry "${entry}" in allowed-clients: ${why}`)
}

function add(list: BlockList, entry: string): void {
  const [address = '', bits, ...rest] = entry.split('/')
  if (isIP(address) === 0 || rest.length > 0) refuse(entry, 'write an IP address or a network such as 10.0.0.0/8')
  const family = familyOf(address)
  if (bits === undefined) {
    list.addAddress(address, family)
    return
  }
  const most = family === 'ipv6' ? 128 : 32
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > most) refuse(entry, `the prefix must be a number from 0 to ${most}`)
  list.addSubnet(address, Number(bits), family)
}

/**
 * Compiles a list of addresses and networks (`127.0.0.1`, `::1`, `10.0.0.0/8`) into a check of
 * `socket.remoteAddress`. An empty list allows everybody. A Unix socket's peer has no address and is always allowed:
 * the file's mode decides there. An IPv4 peer of an IPv6 listener (`::ffff:10.0.0.1`) is matched as IPv4.
 * @throws ListenError `address`
 */
export function allowedClients(entries: readonly string[]): (remoteAddress: string | undefined) => boolean {
  if (entries.length === 0) return () => true
  const list = new BlockList()
  for (const entry of entries) add(list, entry.trim())
  return remoteAddress => {
    if (remoteAddress === undefined) return true
    const address = remoteAddress.replace(/%.*$/, '')
    return isIP(address) !== 0 && list.check(address, familyOf(address))
  }
}
