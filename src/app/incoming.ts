/**
 * What helpers that are made for @hono/node-server look for beside a fetch request, its `getConnInfo` for one: whose
 * connection it came on, as the CGI variables tell. No stream: the body is the Request's.
 */

import type { RequestFacts } from '../cgi/request.ts'

/** As net.Socket names them. */
export const familyOf = (address: string | undefined): 'IPv4' | 'IPv6' | undefined =>
  address === undefined ? undefined : address.includes(':') ? 'IPv6' : 'IPv4'

export interface Incoming {
  readonly socket: {
    readonly remoteAddress: string | undefined
    readonly remotePort: number | undefined
    readonly remoteFamily: 'IPv4' | 'IPv6' | undefined
    /** Whether the client speaks TLS to the web server. */
    readonly encrypted: boolean
  }
}

export function incomingOf({ remoteAddress, remotePort, https: encrypted }: RequestFacts): Incoming {
  const address = remoteAddress || undefined
  return {
    socket: { remoteAddress: address, remotePort: remotePort || undefined, remoteFamily: familyOf(address), encrypted },
  }
}
