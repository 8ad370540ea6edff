/**
 * What has changed between two readings of the settings, and what a reload makes of it: the settings that the table marks
 * `reloadable` take their new value, all others keep the one that they had.
 */

import { describeOrigin } from './layers.ts'
import { type Given, type Resolved, resolvedFrom } from './resolve.ts'
import { checkRules } from './rules.ts'
import { type Config, configKey, entries, type SettingName, settingOf } from './settings.ts'

export interface Change {
  readonly name: SettingName
  /** `maxchildren: 2 -> 4 (runfcgi.config.json)` */
  readonly text: string
  /** A reload puts it into force. */
  readonly reloadable: boolean
}

/** In the order of the table. */
export const differences = (before: Resolved, after: Resolved): Change[] =>
  entries
    .filter(([name]) => !same(before, after, name))
    .map(([name, { reloadable = false }]) => ({ name, text: changeText(before, after, name), reloadable }))

/**
 * What is in force after a reload.
 * @throws UsageError when new and old values contradict each other
 */
export function reloaded(before: Resolved, after: Resolved): Resolved {
  const source = (name: SettingName): Resolved => (settingOf(name).reloadable ? after : before)
  const values = entries.map(([name]) => [configKey(name), inForceOf(source(name), name)])
  const given = entries.flatMap(([name]) => {
    const found = source(name).given.get(name)
    return found === undefined ? [] : [[name, found] as [SettingName, Given]]
  })
  const resolved = resolvedFrom(Object.fromEntries(values) as Config, new Map(given))
  checkRules(resolved)
  return resolved
}

const inForceOf = ({ config }: Resolved, name: SettingName): unknown => config[configKey(name)]

const same = (one: Resolved, other: Resolved, name: SettingName): boolean =>
  JSON.stringify(inForceOf(one, name)) === JSON.stringify(inForceOf(other, name))

function changeText(before: Resolved, after: Resolved, name: SettingName): string {
  const origin = after.given.get(name)?.origin
  const where = origin === undefined ? 'default' : describeOrigin(origin)
  return `${name}: ${shown(before, name)} -> ${shown(after, name)} (${where})`
}

function shown(resolved: Resolved, name: SettingName): string {
  const value = inForceOf(resolved, name)
  return value === undefined ? 'none' : settingOf(name).kind.format(value) || 'none'
}
