/** Where a responder listens, for who connects to it: a socket of this folder, or the web server that a configuration is for. */

export type Target =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** A path, or `host:port` with an IPv6 address in brackets. */
export function formatTarget(target: Target): string {
  if (target.kind === 'unix') return target.path
  return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
}
