/**
 * The settings, declared once. The `Config` type, flags, `key=value` words, environment variables, the keys of the
 * configuration file, help, the README's table and what a reload changes all come from this table.
 *
 * Knows names, kinds and defaults. Not where values come from (layers.ts) nor which of them contradict each other
 * (rules.ts).
 */

import type { Kind } from './kinds.ts'
import { addressSettings } from './sections/address.ts'
import { applicationSettings } from './sections/application.ts'
import { childrenSettings } from './sections/children.ts'
import { daemonSettings } from './sections/daemon.ts'
import { frontEndSettings } from './sections/front-end.ts'
import { limitsSettings } from './sections/limits.ts'
import { logSettings } from './sections/log.ts'
import { webServerSettings } from './sections/web-server.ts'
import type { Setting } from './setting.ts'

export type { Facts, Section } from './setting.ts'

const settings = {
  ...applicationSettings,
  ...addressSettings,
  ...childrenSettings,
  ...limitsSettings,
  ...daemonSettings,
  ...logSettings,
  ...frontEndSettings,
  ...webServerSettings,
} as const

export type SettingName = keyof typeof settings

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : S

type Value<S> = S extends Setting<infer T, infer D> ? T | Extract<D, undefined> : never

/** Every setting with a value, under its camelCase name. Durations are milliseconds, sizes bytes, paths absolute. */
export type Config = { readonly [N in SettingName as CamelCase<N>]: Value<(typeof settings)[N]> }

export type ConfigKey = keyof Config

/** What code that treats all settings alike sees of one. */
export type AnySetting = Omit<Setting<unknown, unknown>, 'kind'> & { readonly kind: Kind<unknown> }

/** Names and settings in the order of the table, which is the order of help. */
export const entries: readonly (readonly [SettingName, AnySetting])[] = Object.entries(settings).map(([name, spec]) => [
  name as SettingName,
  spec as unknown as AnySetting,
])

export const settingOf = (name: SettingName): AnySetting => settings[name] as unknown as AnySetting

export const configKey = (name: SettingName): ConfigKey =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as ConfigKey

export const environmentName = (name: SettingName): string => `RUNFCGI_${name.toUpperCase().replaceAll('-', '_')}`

/** Case, hyphens and underscores do not tell names apart. */
const canonical = (name: string): string => name.toLowerCase().replace(/[-_]/g, '')

const byAnyName: ReadonlyMap<string, SettingName> = new Map(
  entries.flatMap(([name, { aliases = [] }]) => [name, ...aliases].map(alias => [canonical(alias), name] as const)),
)

/** The setting that a person means by a name: the name itself, an alias, `maxSpool`, `MAX_SPOOL`. */
export const findSetting = (name: string): SettingName | undefined => byAnyName.get(canonical(name))
