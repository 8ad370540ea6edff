/** The settings as text for a terminal of 80 columns, from the table. */

import {
  type AnySetting,
  configKey,
  entries,
  environmentName,
  type Section,
  type SettingName,
  settingOf,
} from './settings.ts'

const WIDTH = 80
const INDENT = 2

/** Two columns, the right one wrapped; a left side that is too long gets a line of its own. */
export function columns(rows: readonly (readonly [left: string, right: string])[], leftWidth: number): string {
  return rows
    .map(([left, right]) => {
      const lines = wrap(right, WIDTH - INDENT - leftWidth)
      const fits = left.length < leftWidth
      const first = fits ? left.padEnd(leftWidth) + (lines.shift() ?? '') : left
      return [first.trimEnd(), ...lines.map(line => ' '.repeat(leftWidth) + line)]
        .map(line => ' '.repeat(INDENT) + line)
        .join('\n')
    })
    .join('\n')
}

export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** The default as a person reads it. */
export function defaultText({ kind, default: value, defaultText }: AnySetting): string {
  return defaultText ?? (value === undefined ? 'none' : kind.format(value))
}

/** Sections in the order of the table. */
export const sections: readonly (readonly [Section, readonly (readonly [SettingName, AnySetting])[]])[] = [
  ...new Set(entries.map(([, { section }]) => section)),
].map(section => [section, entries.filter(([, setting]) => setting.section === section)])

/** Every setting with its default, by section. */
export function settingsHelp(): string {
  return sections
    .map(([section, settings]) => {
      const rows = settings.map(
        ([name, setting]) =>
          [`${name}=${setting.kind.placeholder}`, `${setting.help} [${defaultText(setting)}]`] as const,
      )
      return `${section}\n${columns(rows, 26)}`
    })
    .join('\n\n')
}

/** All there is to say about one setting. */
export function settingHelp(name: SettingName): string {
  const setting = settingOf(name)
  const spellings = [`${name}=…`, `--${name} …`, environmentName(name)]
  if (!setting.notInFile) spellings.push(`"${configKey(name)}" in the configuration file`)
  const rows: (readonly [string, string])[] = [
    ['value', setting.kind.expects],
    ['default', defaultText(setting)],
    ['written as', spellings.join(', ')],
  ]
  if (setting.aliases !== undefined) rows.push(['also called', setting.aliases.join(', ')])
  if (setting.section !== 'Web server')
    rows.push(['on reload', setting.reloadable ? 'a new value takes effect' : 'a new value needs a restart'])
  return `${wrap(`${name}: ${setting.help}`, WIDTH).join('\n')}\n\n${columns(rows, 13)}`
}
