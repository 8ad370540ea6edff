/**
 * The kinds of value a setting can have: how each is read from text, and written again for messages and help.
 *
 * Knows no setting by name. Everything arrives as text (the command line and the environment have nothing else), so a
 * value means the same wherever it was written.
 */

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { joinWords, quoteWord, splitWords } from './words.ts'

export interface Kind<T> {
  /** What stands for a value in help: `PATH`, `SECONDS`. */
  readonly placeholder: string
  /** Completes the sentence "must be …". */
  readonly expects: string
  /** `base` is the folder that relative paths count from. Undefined: not a value of this kind. */
  parse(text: string, base: string): T | undefined
  /** The shortest text that `parse` reads as this value. */
  format(value: T): string
  /** Only where a value is a list: what stands between its elements in text, and an element as it stands there. */
  readonly list?: { readonly separator: string; quote(element: string): string }
  /** A number in a file would be read wrongly (0660 is octal, 660 is not): only text will do. */
  readonly textOnly?: boolean
}

export const text = (placeholder: string, expects: string, pattern = /./): Kind<string> => ({
  placeholder,
  expects,
  parse: value => (pattern.test(value) ? value : undefined),
  format: value => value,
})

export const int = (min: number, max = Number.MAX_SAFE_INTEGER): Kind<number> => ({
  placeholder: 'NUMBER',
  expects: max === Number.MAX_SAFE_INTEGER ? `a whole number, ${min} or more` : `${min} to ${max}`,
  parse: value => within(/^\d+$/.test(value) ? Number(value) : Number.NaN, min, max),
  format: String,
})

const within = (value: number, min: number, max: number): number | undefined =>
  value >= min && value <= max ? value : undefined

const BYTE_UNITS = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const

/** A number of bytes: `262144`, `256k`, `1m`, `2g` (powers of 1,024; `256kb` and `256KiB` are the same). */
export const bytes: Kind<number> = {
  placeholder: 'BYTES',
  expects: 'a number of bytes such as 262144, 256k, 1m or 2g',
  parse: value => measure(value.replace(/i?b$/i, ''), BYTE_UNITS, 1),
  format: value => formatMeasure(value, BYTE_UNITS, 1, ''),
}

const TIME_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** The longest delay a timer of Node can have: 2^31 - 1 ms. */
const LONGEST = 24 * TIME_UNITS.d

/** A duration, kept in milliseconds: `30` and `30s` are seconds, `500ms`, `5m`, `1h`, `1d`. */
export const duration = (min = 0): Kind<number> => ({
  placeholder: 'SECONDS',
  expects: `a duration such as 30, 30s, 500ms, 5m or 1h, ${min > 0 ? 'more than 0, ' : ''}at most 24d`,
  parse: value => within(measure(value, TIME_UNITS, 1000) ?? Number.NaN, min, LONGEST),
  format: value => formatMeasure(value, TIME_UNITS, 1000, 's'),
})

function measure(value: string, units: Readonly<Record<string, number>>, bare: number): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(value)
  if (match === null) return undefined
  const unit = match[2] === '' ? bare : Object.entries(units).find(([name]) => name === match[2]?.toLowerCase())?.[1]
  return unit === undefined ? undefined : Math.round(Number(match[1]) * unit)
}

/** In the largest unit that divides the value. */
function formatMeasure(value: number, units: Readonly<Record<string, number>>, bare: number, suffix: string): string {
  if (value === 0) return '0'
  const [name, unit] = Object.entries(units).findLast(([, size]) => size > bare && value % size === 0) ?? ['', 0]
  if (unit !== 0) return `${value / unit}${name}`
  return value % bare === 0 ? `${value / bare}${suffix}` : `${value}ms`
}

/** Permission bits in octal, with or without the leading zero. */
export const mode: Kind<number> = {
  placeholder: 'MODE',
  expects: 'permission bits in octal such as 0660',
  parse: value => (/^(0o?)?[0-7]{1,3}$/.test(value) ? Number.parseInt(value.replace(/^0o/, ''), 8) : undefined),
  format: value => value.toString(8).padStart(4, '0'),
  textOnly: true,
}

const WORDS: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'yes', 'on', '1'].map(word => [word, true] as const),
  ...['false', 'no', 'off', '0'].map(word => [word, false] as const),
])

export const bool: Kind<boolean> = {
  placeholder: 'BOOL',
  expects: 'true or false (or yes, no, on, off, 1, 0)',
  parse: value => WORDS.get(value.toLowerCase()),
  format: String,
}

/** One of a few words; `also` gives other spellings of them. */
export const oneOf = <const W extends string>(
  words: readonly W[],
  also: Readonly<Record<string, W>> = {},
): Kind<W> => ({
  placeholder: words.join('|'),
  expects: words.length === 1 ? `${words[0]}` : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
  parse: value => words.find(word => word === value.toLowerCase()) ?? new Map(Object.entries(also)).get(value),
  format: value => value,
})

/** Paths become absolute here, before anything changes directory. A leading `~/` is the home folder. */
const absolute = (path: string, base: string): string =>
  path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : resolve(base, path)

/** A path; a word of `instead` stands for itself (`-`, `off`). */
export const path = (...instead: readonly string[]): Kind<string> => ({
  placeholder: ['PATH', ...instead].join('|'),
  expects: ['a path', ...instead].join(' or '),
  parse: (value, base) => {
    if (value === '' || value.includes('\0')) return undefined
    return instead.includes(value) ? value : absolute(value, base)
  },
  format: value => value,
})

/** Something to import: a path is made absolute when it looks like one (`./app.js:name`), a package name is left alone. */
export const reference: Kind<string> = {
  placeholder: 'FILE[:EXPORT]',
  expects: 'a file such as ./app.js, an export of one such as ./app.js:name, or a package',
  parse: (value, base) => (value === '' ? undefined : /^(\.\.?|~)?\//.test(value) ? absolute(value, base) : value),
  format: value => value,
}

/** Where to listen or connect. Only paths are looked at here; what the rest means is the listener's business. */
export const address: Kind<string> = {
  placeholder: 'ADDRESS',
  expects: 'an address such as unix:/run/site.sock, 127.0.0.1:3033, [::1]:3033, :3033 or fd:3',
  parse: (value, base) => {
    if (value === '' || value.includes('\0')) return undefined
    if (value.startsWith('unix:')) return `unix:${absolute(value.slice(5), base)}`
    return /^(\.\.?|~)?\//.test(value) ? `unix:${absolute(value, base)}` : value
  },
  format: value => value,
}

/** Several values, separated by commas; the setting may also be repeated. */
export const list = <T>(item: Kind<T>): Kind<readonly T[]> => ({
  placeholder: `${item.placeholder},…`,
  expects: `${item.expects}; several are separated by commas`,
  parse: (value, base) => {
    const parts = value.split(',').map(part => part.trim())
    const items = parts.filter(part => part !== '').map(part => item.parse(part, base))
    return items.every(one => one !== undefined) ? items : undefined
  },
  format: values => values.map(item.format).join(','),
  list: { separator: ',', quote: element => element },
})

/** Several values of any kind, quoted as in a shell. */
export const words: Kind<readonly string[]> = {
  placeholder: 'WORDS',
  expects: "words, quoted as in a shell: -p 3000 --title 'My site'; in a file also an array",
  parse: splitWords,
  format: joinWords,
  list: { separator: ' ', quote: quoteWord },
}
