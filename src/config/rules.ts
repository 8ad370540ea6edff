/** What holds between settings: which exclude each other, which need each other, which must not exceed another. */

import { UsageError } from './errors.ts'
import { describeOrigin, strength } from './layers.ts'
import type { Given, Resolved } from './resolve.ts'
import type { SettingName } from './settings.ts'

/** Three ways to say where to listen. */
const WAYS: readonly (readonly SettingName[])[] = [['socket'], ['host', 'port'], ['listen']]

/**
 * The way said in the strongest place counts and the others are forgotten, so that `port=3033` on the command line replaces
 * the socket of the file.
 * @throws UsageError when one place says two ways
 */
export function settleAddress(given: Map<SettingName, Given>): void {
  const ways = WAYS.map(names => names.filter(name => given.has(name))).filter(names => names.length > 0)
  const rank = (names: readonly SettingName[]): number =>
    Math.max(...names.map(name => strength((given.get(name) as Given).origin)))
  const strongest = Math.max(...ways.map(rank))
  const [way, other] = ways.filter(names => rank(names) === strongest)
  if (way !== undefined && other !== undefined) {
    const [one, two] = [way, other].map(names => describe(names.at(-1) as SettingName, given))
    throw new UsageError(`${one} and ${two} exclude each other: use one, or listen= with several addresses`)
  }
  for (const names of ways) if (names !== way) for (const name of names) given.delete(name)
}

function describe(name: SettingName, given: ReadonlyMap<SettingName, Given>): string {
  const { text, origin } = given.get(name) as Given
  return `${name}=${text} (${describeOrigin(origin)})`
}

/** @throws UsageError for the first rule that does not hold */
export function checkRules({ config, describe, refuse }: Resolved): void {
  if (config.host !== undefined && config.port === undefined) refuse('host', 'needs a port as well, such as port=3033')
  const { control, pidfile, socket } = config
  if (control !== undefined && control === socket) refuse('control', `must be another path than ${describe('socket')}`)
  if (pidfile !== undefined && [control, socket].includes(pidfile))
    refuse('pidfile', 'must not be the path of a socket')
  if (config.tlsCert !== undefined && config.tlsKey === undefined) refuse('tls-cert', 'needs tls-key as well')
  if (config.tlsKey !== undefined && config.tlsCert === undefined) refuse('tls-key', 'needs tls-cert as well')
  if (config.maxspare > config.maxchildren) refuse('maxspare', `must not be more than ${describe('maxchildren')}`)
  if (config.minspare > config.maxspare) refuse('minspare', `must not be more than ${describe('maxspare')}`)
}
