/**
 * The words of the command line: `[command] [operand …] [key=value …] [--key value …]`, in any order; behind `--` stands
 * what is for the application.
 *
 * `key=value`, `--key=value` and `--key value` are the same; the last one wins, so their order is kept. Commander reads
 * the flags, and is only loaded when there are any: loading it takes half as long as starting Node.
 */

import { UsageError } from '../config/errors.ts'
import { nearest } from '../config/nearest.ts'
import { entries, findSetting, type SettingName, settingOf } from '../config/settings.ts'

export interface Arguments {
  /** Words that are neither settings nor flags. */
  readonly operands: readonly string[]
  /** Settings as they were written, in order. */
  readonly words: readonly (readonly [name: string, value: string])[]
  readonly help: boolean
  readonly version: boolean
  /** Everything behind `--`; undefined without one. */
  readonly rest?: readonly string[] | undefined
}

/** `socket=/tmp/x`, but not `./a=b.js`. */
const SETTING_WORD = /^([a-z][\w-]*)=(.*)$/is

/** @throws UsageError */
export async function parseArguments(argv: readonly string[]): Promise<Arguments> {
  const end = argv.indexOf('--')
  if (end >= 0) return { ...(await parseArguments(argv.slice(0, end))), rest: argv.slice(end + 1) }
  return argv.some(word => word.startsWith('-') && word !== '-') ? await withFlags(argv) : withoutFlags(argv)
}

function withoutFlags(argv: readonly string[]): Arguments {
  const operands: string[] = []
  const words: [string, string][] = []
  for (const word of argv) {
    const match = SETTING_WORD.exec(word)
    if (match === null) operands.push(word)
    else words.push([match[1] as string, match[2] as string])
  }
  return { operands, words, help: false, version: false }
}

/** Commander keeps the order of flags among themselves only, so that settings written as words become flags too. */
const ASSIGN = '--key-value'

function asFlag(word: string): readonly string[] {
  const match = SETTING_WORD.exec(word.replace(/^--/, ''))
  if (match !== null) return [ASSIGN, `${match[1]}=${match[2]}`]
  if (!word.startsWith('--')) return [word]
  const known = findSetting(word.slice(2))
  if (known !== undefined) return [`--${known}`]
  const negated = word.startsWith('--no-') ? findSetting(word.slice(5)) : undefined
  return [negated === undefined ? word : `--no-${negated}`]
}

async function withFlags(argv: readonly string[]): Promise<Arguments> {
  const { Command } = await import('commander')
  const words: [string, string][] = []
  const program = new Command('runfcgi')
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .helpOption(false)
    .argument('[words...]')
    .option('-h, --help')
    .option('-V, --version')
    .option(`${ASSIGN} <word>`)
    .on('option:key-value', (word: string) => {
      const [name = '', ...value] = word.split('=')
      words.push([name, value.join('=')])
    })
  for (const [name] of entries) addFlag(program, name, value => words.push([name, value]))
  try {
    program.parse(argv.flatMap(asFlag), { from: 'user' })
  } catch (error) {
    throw explain(error)
  }
  const { help = false, version = false } = program.opts<{ help?: boolean; version?: boolean }>()
  return { operands: program.args, words, help, version }
}

/** A yes-or-no setting is a flag without a value, and has a `--no-` form. */
function addFlag(program: import('commander').Command, name: SettingName, assign: (value: string) => void): void {
  if (settingOf(name).kind.placeholder !== 'BOOL') {
    program.option(`--${name} <value>`).on(`option:${name}`, assign)
    return
  }
  program.option(`--${name}`).on(`option:${name}`, () => assign('true'))
  program.option(`--no-${name}`).on(`option:no-${name}`, () => assign('false'))
}

function explain(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const flag = /'(-[^' ]*)/.exec(error.message)?.[1] ?? ''
  if (error.code === 'commander.optionMissingArgument') {
    const name = findSetting(flag.slice(2))
    return new UsageError(`${flag} needs a value: ${name === undefined ? '' : settingOf(name).kind.expects}`)
  }
  if (error.code !== 'commander.unknownOption') return new UsageError(error.message.replace(/^error: /, ''))
  const names = entries.map(([name]) => name)
  // No setting has a name of one letter.
  const meant = flag.startsWith('--') ? nearest(flag.slice(2), names) : undefined
  const hint =
    meant === undefined
      ? "'runfcgi help' lists all settings; what is for the application stands behind --"
      : `did you mean '--${meant}'?`
  return new UsageError(`unknown flag '${flag}'; ${hint}`)
}
