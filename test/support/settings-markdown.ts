/** The settings as the tables of the README. */

import { defaultText, sections } from '../../src/config/help.ts'
import type { AnySetting, SettingName } from '../../src/config/settings.ts'

/** A bar would end the cell. */
const cell = (text: string): string => text.replaceAll('|', '\\|')

function row([name, setting]: readonly [SettingName, AnySetting]): string {
  const text = setting.defaultText ?? `\`${defaultText(setting)}\``
  return `| \`${name}\` | ${cell(setting.help)} | ${cell(setting.kind.expects)} | ${cell(text)} | ${setting.reloadable ? 'yes' : ''} |`
}

const HEAD = `| setting | what it does | value | default | reload |\n|---|---|---|---|---|`

/** One table per section, ready to stand in the README. */
export function settingsMarkdown(): string {
  return sections
    .map(([section, settings]) => `### ${section}\n\n${HEAD}\n${settings.map(row).join('\n')}\n`)
    .join('\n')
}
