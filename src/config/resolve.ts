/**
 * Layers of assignments to one `Config`: default < package.json < configuration file < environment < command line.
 * Every value remembers where it came from, so that a message can say it.
 */

import { availableParallelism } from 'node:os'
import { UsageError } from './errors.ts'
import {
  type Assignment,
  commandLineLayer,
  DEFAULT,
  describeOrigin,
  environmentLayer,
  fileLayer,
  findFile,
  type Origin,
  packageLayer,
} from './layers.ts'
import { nearest } from './nearest.ts'
import { checkRules, settleAddress } from './rules.ts'
import {
  type AnySetting,
  type Config,
  configKey,
  entries,
  environmentName,
  type Facts,
  findSetting,
  type SettingName,
  settingOf,
} from './settings.ts'

export interface Given {
  readonly value: unknown
  /** As the person wrote it. */
  readonly text: string
  readonly origin: Origin
  /** The folder that relative paths in it count from. */
  readonly base: string
}

export interface Resolved {
  readonly config: Config
  /** Settings that somebody gave; all others have their default. */
  readonly given: ReadonlyMap<SettingName, Given>
  /** `port=99999 (command line)`, for messages about a setting. */
  describe(name: SettingName): string
  /** Ends the command with a message about a setting. */
  refuse(name: SettingName, why: string): never
}

export interface Sources {
  /** `key=value` of the command line, in order. */
  readonly words: readonly (readonly [string, string])[]
  readonly env: Readonly<NodeJS.ProcessEnv>
  /** The directory where the command was typed. */
  readonly cwd: string
  /** Somebody else keeps the process alive: `daemonize` is false unless somebody says otherwise. */
  readonly supervised: boolean
}

/**
 * Reads all sources.
 * @throws UsageError with one line: which setting, which value, where it came from, what to do
 */
export async function resolveConfig(sources: Sources): Promise<Resolved> {
  const { cwd } = sources
  const above = [...environmentLayer(sources.env, cwd), ...commandLineLayer(sources.words, cwd)]
  const file = configFile(above) ?? findFile(cwd)
  const below = [...packageLayer(cwd), ...(file === undefined ? [] : await fileLayer(file))]
  return settle([...below, ...above], sources.supervised)
}

/** `config=FILE` has to be known before the rest. */
function configFile(layer: readonly Assignment[]): string | undefined {
  const given = merge(layer.filter(({ name }) => findSetting(name) === 'config'))
  return given.get('config')?.value as string | undefined
}

function settle(assignments: readonly Assignment[], supervised: boolean): Resolved {
  const given = merge(assignments)
  settleAddress(given)
  const resolved = resolvedFrom(withDefaults(given, supervised), given)
  checkRules(resolved)
  return resolved
}

/** Settled settings, with the words for messages about them. */
export function resolvedFrom(config: Config, given: ReadonlyMap<SettingName, Given>): Resolved {
  const describe = (name: SettingName): string => describeSetting(name, config, given.get(name))
  const refuse = (name: SettingName, why: string): never => {
    throw new UsageError(`${describe(name)}: ${why}`)
  }
  return { config, given, describe, refuse }
}

/** Later assignments win over earlier ones; those of a list that come from the same place add up. */
function merge(assignments: readonly Assignment[]): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>()
  for (const assignment of assignments) {
    if (assignment.value === null || assignment.value === undefined) continue
    const name = findSetting(assignment.name) ?? unknownSetting(assignment)
    const setting = settingOf(name)
    if (setting.notInFile && ['file', 'package'].includes(assignment.origin.kind)) {
      throw new UsageError(`${name} (${describeOrigin(assignment.origin)}): may not stand in a configuration file`)
    }
    const before = given.get(name)
    const now = parse(name, setting, assignment)
    given.set(
      name,
      setting.kind.list !== undefined && before?.origin === now.origin ? joined(setting.kind, before, now) : now,
    )
  }
  return given
}

const joined = ({ list }: AnySetting['kind'], before: Given, now: Given): Given => ({
  value: [...(before.value as unknown[]), ...(now.value as unknown[])],
  text: `${before.text}${list?.separator}${now.text}`,
  origin: now.origin,
  base: now.base,
})

/** A value of a file or of a program as it would be typed. */
export const textOf = ({ list }: AnySetting['kind'], value: unknown): string =>
  Array.isArray(value) && list !== undefined
    ? value.map(element => list.quote(String(element))).join(list.separator)
    : String(value)

function parse(name: SettingName, { kind }: AnySetting, { value, origin, base }: Assignment): Given {
  const text = textOf(kind, value)
  const scalar =
    ['string', 'number', 'boolean'].includes(typeof value) || (Array.isArray(value) && kind.list !== undefined)
  const parsed = scalar && !(kind.textOnly && typeof value !== 'string') ? kind.parse(text, base) : undefined
  if (parsed === undefined) {
    const quoted = kind.textOnly && typeof value === 'number' ? ', in quotes' : ''
    throw new UsageError(`${name}=${text} (${describeOrigin(origin)}): must be ${kind.expects}${quoted}`)
  }
  return { value: parsed, text, origin, base }
}

function unknownSetting({ name, origin }: Assignment): never {
  const meant = nearest(
    name,
    entries.map(([known]) => known),
  ) as SettingName | undefined
  if (origin.kind === 'environment') {
    const hint = meant === undefined ? 'unset it' : `did you mean ${environmentName(meant)}?`
    throw new UsageError(`unknown setting ${origin.name} (environment); ${hint}`)
  }
  const where = origin.kind === 'command line' ? '' : ` (${describeOrigin(origin)})`
  const hint = meant === undefined ? "'runfcgi help' lists all settings" : `did you mean '${meant}'?`
  throw new UsageError(`unknown setting '${name}'${where}; ${hint}`)
}

function withDefaults(given: ReadonlyMap<SettingName, Given>, supervised: boolean): Config {
  const lookUp = (name: SettingName): unknown => {
    const known = given.get(name)
    if (known !== undefined) return known.value
    const fallback = settingOf(name).default
    return typeof fallback === 'function' ? (fallback as (facts: Facts) => unknown)(facts) : fallback
  }
  const facts: Facts = {
    cores: availableParallelism(),
    get maxchildren() {
      return lookUp('maxchildren') as number
    },
    get maxspare() {
      return lookUp('maxspare') as number
    },
    bound: given.has('socket') || given.has('port') || given.has('listen'),
    supervised,
  }
  return Object.fromEntries(entries.map(([name]) => [configKey(name), lookUp(name)])) as unknown as Config
}

function describeSetting(name: SettingName, config: Config, given: Given | undefined): string {
  const value = config[configKey(name)]
  const text = given?.text ?? (value === undefined ? '' : settingOf(name).kind.format(value))
  return `${name}=${text} (${describeOrigin(given?.origin ?? DEFAULT)})`
}
