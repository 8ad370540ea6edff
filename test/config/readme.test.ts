/** The README's table of settings is the table. `UPDATE_README=1 npx vitest run test/config/readme.test.ts` writes it. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { settingsMarkdown } from '../support/settings-markdown.ts'

const readme = fileURLToPath(new URL('../../README.md', import.meta.url))

const BEGIN = '<!-- settings -->\n\n'
const END = '\n<!-- /settings -->'

describe.runIf(existsSync(readme))('the README', () => {
  it('lists the settings as the table has them', () => {
    const text = readFileSync(readme, 'utf8')
    const from = text.indexOf(BEGIN) + BEGIN.length
    const to = text.indexOf(END)
    expect(from, `${BEGIN.trim()} is there`).toBeGreaterThanOrEqual(BEGIN.length)
    expect(to, `${END.trim()} is there`).toBeGreaterThanOrEqual(from)
    if (process.env.UPDATE_README !== undefined) {
      writeFileSync(readme, text.slice(0, from) + settingsMarkdown() + text.slice(to))
      return
    }
    expect(text.slice(from, to)).toBe(settingsMarkdown())
  })
})
