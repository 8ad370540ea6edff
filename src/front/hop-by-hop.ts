/**
 * Which headers concern one HTTP connection only and are not passed on (RFC 9110 §7.6.1). Pure.
 */

const ALWAYS = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
] as const

const always: ReadonlySet<string> = new Set(ALWAYS)

/** What a Connection header must not be able to take away from an application. */
const KEPT = new Set(['host', 'content-length', 'content-type'])

/** The names, in lower case, to leave out of `rawHeaders` (names and values by turns): the fixed ones and what Connection names. */
export function hopByHop(rawHeaders: readonly string[]): ReadonlySet<string> {
  let drop: Set<string> | null = null
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if ((rawHeaders[at] as string).toLowerCase() !== 'connection') continue
    for (const token of (rawHeaders[at + 1] as string).toLowerCase().split(',')) {
      const name = token.trim()
      if (name === '' || name === 'close' || always.has(name) || KEPT.has(name)) continue
      drop ??= new Set(always)
      drop.add(name)
    }
  }
  return drop ?? always
}
