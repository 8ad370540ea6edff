/** Settings to the addresses they name. */

import type { Resolved } from '../config/resolve.ts'
import { allowedClients } from '../server/clients.ts'
import { type Address, formatAddress, parseAddress } from '../server/sockets/address.ts'
import { ListenError } from '../server/sockets/listen-error.ts'
import type { Plan } from './serving/run.ts'

const LOOPBACK = '127.0.0.1'

/** Where to listen: `listen`, or `socket`, or `host` and `port`; none if none of them is set. @throws UsageError */
export function addressesOf(resolved: Resolved): readonly Address[] {
  const { config } = resolved
  if (config.listen.length > 0) return config.listen.map(text => withRights(parseListen(text, resolved), resolved))
  if (config.socket !== undefined) return [withRights({ kind: 'unix', path: config.socket }, resolved)]
  if (config.port === undefined) return []
  return [{ kind: 'tcp', host: hostOf(config.host ?? LOOPBACK), port: config.port }]
}

/** `[::1]` and `::1` are the same; `*` is every address of the machine. */
const hostOf = (host: string): string => (host === '*' ? '' : host.replace(/^\[(.*)\]$/, '$1'))

function parseListen(text: string, { refuse }: Resolved): Address {
  try {
    return parseAddress(text)
  } catch (error) {
    if (error instanceof ListenError) return refuse('listen', error.message)
    throw error
  }
}

function withRights(address: Address, { config }: Resolved): Address {
  if (address.kind !== 'unix') return address
  return { ...address, mode: config.socketMode, owner: config.socketOwner, group: config.socketGroup }
}

/** Where to connect to what listens at `address`: "every address of this machine" is none. */
export function reachable<A extends Address>(address: A): A {
  return address.kind === 'tcp' && address.host === '' ? { ...address, host: LOOPBACK } : address
}

/** The line that a person adds to nginx's configuration. `undefined` for a descriptor, which nginx cannot be told. */
export function nginxHint(address: Address): string | undefined {
  if (address.kind === 'unix') return `fastcgi_pass unix:${address.path};`
  if (address.kind === 'fd') return undefined
  return `fastcgi_pass ${formatAddress(reachable(address))};`
}

/** Who may connect over TCP, as text: the setting, or what the web server says (FastCGI 1.0 §3.2). Empty: everybody. */
export function clientsOf({
  resolved: { config },
  inherited,
}: Pick<Plan, 'resolved' | 'inherited'>): readonly string[] {
  if (config.allowedClients.length > 0) return config.allowedClients
  return (inherited && process.env.FCGI_WEB_SERVER_ADDRS?.split(',')) || []
}

/** Who may connect over TCP. @throws UsageError */
export function allowedBy(plan: Pick<Plan, 'resolved' | 'inherited'>): (remoteAddress: string | undefined) => boolean {
  const { config, refuse } = plan.resolved
  try {
    return allowedClients(clientsOf(plan))
  } catch (error) {
    if (error instanceof ListenError && config.allowedClients.length > 0) refuse('allowed-clients', error.message)
    throw error
  }
}
