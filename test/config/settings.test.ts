import { describe, expect, expectTypeOf, it } from 'vitest'
import { columns, settingHelp, settingsHelp } from '../../src/config/help.ts'
import { nearest } from '../../src/config/nearest.ts'
import { type Config, configKey, entries, environmentName, findSetting } from '../../src/config/settings.ts'
import { DEFAULT_LIMITS } from '../../src/server/limits.ts'
import { settingsMarkdown } from '../support/settings-markdown.ts'

const DJANGO = [
  ...['protocol', 'host', 'port', 'socket', 'method', 'maxrequests', 'maxspare', 'minspare', 'maxchildren'],
  ...['daemonize', 'pidfile', 'workdir', 'umask', 'outlog', 'errlog', 'debug'],
]

describe('the settings table', () => {
  it("holds Django's sixteen words", () => {
    for (const word of DJANGO) expect(findSetting(word)).toBe(word)
  })

  it('has no two settings that one name could mean', () => {
    const names = entries.flatMap(([name, { aliases = [] }]) => [name, ...aliases])
    expect(new Set(names.map(name => name.replace(/-/g, ''))).size).toBe(names.length)
  })

  it('has the defaults of the library', () => {
    const defaults = entries.map(([name, { default: value }]) => [configKey(name), value])
    expect(Object.fromEntries(defaults)).toMatchObject(DEFAULT_LIMITS)
  })

  it('has only lower-case words, which make good keys and variables', () => {
    for (const [name] of entries) expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/)
    expect(configKey('max-params-size')).toBe('maxParamsSize')
    expect(environmentName('max-params-size')).toBe('RUNFCGI_MAX_PARAMS_SIZE')
  })

  it('has a default for each setting that its own kind can read again', () => {
    for (const [name, { kind, default: value }] of entries) {
      if (value === undefined || typeof value === 'function') continue
      expect(kind.parse(kind.format(value), '/'), name).toEqual(value)
    }
  })

  it('gives each value its type', () => {
    expectTypeOf<Config['port']>().toEqualTypeOf<number | undefined>()
    expectTypeOf<Config['backlog']>().toEqualTypeOf<number>()
    expectTypeOf<Config['interface']>().toEqualTypeOf<'auto' | 'wsgi' | 'node' | 'fetch'>()
    expectTypeOf<Config['listen']>().toEqualTypeOf<readonly string[]>()
    expectTypeOf<Config['maxchildren']>().toEqualTypeOf<number>()
    expectTypeOf<Config['daemonize']>().toEqualTypeOf<boolean>()
  })
})

describe('what is derived from the table', () => {
  it('lists every setting in help, within 80 columns', () => {
    const text = settingsHelp()
    for (const [name] of entries) expect(text).toContain(`\n  ${name}=`)
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
  })

  it('explains each setting within 80 columns', () => {
    for (const [name] of entries) {
      for (const line of settingHelp(name).split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    }
    expect(settingHelp('socket')).toContain('RUNFCGI_SOCKET')
    expect(settingHelp('app')).toContain('application')
  })

  it('lists every setting in a Markdown table with the same number of cells', () => {
    const rows = settingsMarkdown()
      .split('\n')
      .filter(line => line.startsWith('| `'))
    expect(rows.length).toBe(entries.length)
    for (const row of rows) expect(row.replaceAll('\\|', '').split('|').length, row).toBe(7)
  })
})

describe('columns', () => {
  it('wrap the right side and give a long left side its own line', () => {
    const rows = columns(
      [
        ['a', 'one two '.repeat(12).trim()],
        ['a-very-long-name', 'text'],
      ],
      6,
    )
    expect(rows.split('\n')).toEqual([
      '  a     one two one two one two one two one two one two one two one two one two',
      '        one two one two one two',
      '  a-very-long-name',
      '        text',
    ])
  })
})

describe('the nearest word', () => {
  const words = ['socket', 'socket-mode', 'port', 'host']

  it.each([
    ['sokcet', 'socket'],
    ['Socket', 'socket'],
    ['soket', 'socket'],
    ['prt', 'port'],
    ['socket-mod', 'socket-mode'],
  ])('to %s is %s', (word, meant) => {
    expect(nearest(word, words)).toBe(meant)
  })

  it('is none when all are far away, as two letters are of three', () => {
    expect(nearest('xyzzyx', words)).toBeUndefined()
    expect(nearest('pos', words)).toBeUndefined()
  })
})
