/**
 * Whatever a person can have in a path: either one line says that this web server cannot be told that, or the real one
 * accepts what is printed, finds the application at that socket and the files in that folder.
 *
 *   ODD_RUNS=200 npx vitest run test/front/config/odd.test.ts
 */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createServer } from '../../../src/index.ts'
import { run } from '../../cli/command.ts'
import { fetchWhole } from '../../support/http-client.ts'
import { freePorts } from '../../support/ports.ts'
import { PRINTED, startPrinted } from '../../support/printed.ts'
import { createSite, type Site } from '../../support/site.ts'
import { findProgram } from '../../support/web-server.ts'

const RUNS = Number(process.env.ODD_RUNS ?? 6)

/** What means something to some configuration, and what is long or unusual in bytes. */
const CHARACTERS = [
  ...` "'\\\`$%#;:,=!?&|<>(){}[]*+^~@.-_`,
  ...['a', 'Z', '0', 'ü', 'ß', '漢', '🦊', '\u00a0', '\u2028', '\u202e', '\u0301', '\u0085'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what it is about
  ...['${a}', '$1', '%{a}', '%h', '\\"', "\\'", '\\n', '{env.PATH}', '{$PATH}', '//', '<%', '/*', '*/', '{{', '}}'],
  ...['\n', '\t', '\r', '\x1b', '\x7f'],
] as const

const odd = fc
  .array(fc.constantFrom(...CHARACTERS), { minLength: 1, maxLength: 6 })
  .map(pieces => pieces.join(''))
  .filter(name => !/^\.*$/.test(name) && Buffer.byteLength(name) < 60)

const name = fc.oneof({ weight: 1, arbitrary: fc.constant('plain') }, { weight: 3, arbitrary: odd })

interface Wanted {
  /** Below the folder of the site, one with the socket and one with the files. */
  readonly socket: string
  readonly root: string
}

/** The answer of the application, and the file. */
const ANSWER = 'the application of this socket'
const CONTENT = 'the file of this folder\n'

async function listen(where: string | { readonly host: string; readonly port: number }): Promise<() => Promise<void>> {
  const server = createServer((_request: unknown, response: { end(text: string): void }) => response.end(ANSWER))
  await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(where, resolve))
  if (typeof where === 'string') chmodSync(where, 0o777)
  return () => new Promise(resolve => void server.close(() => resolve()))
}

function folders({ folder }: Site, { socket, root }: Wanted): readonly [string, string] {
  const [sockets, files] = [join(folder, 's', socket), join(folder, 'f', root)]
  mkdirSync(sockets, { recursive: true })
  mkdirSync(join(files, 'static'), { recursive: true })
  writeFileSync(join(files, 'static', 'file.txt'), CONTENT)
  return [join(sockets, 's'), files]
}

/** With every character that cannot be seen, or looks like another, as its code. */
const visible = (wanted: Wanted): string =>
  JSON.stringify(wanted).replaceAll(/[^ -~]/g, found => `\\u{${found.codePointAt(0)?.toString(16)}}`)

/** 'refused', or 'works'. */
async function outcomeOf(server: string, wanted: Wanted): Promise<string> {
  const site = createSite('node')
  const undo: (() => unknown)[] = [site.remove]
  try {
    const [socket, root] = folders(site, wanted)
    const [port = 0] = await freePorts(1)
    const words = [`socket=${socket}`, `document-root=${root}`, `server-port=${port}`, '--check']
    const { code, stdout, stderr } = await run(['config', server, ...words], { cwd: site.folder })
    if (code === 2) {
      expect([stdout, stderr]).toEqual(['', expect.stringMatching(/^runfcgi: [^\n]+\n$/)])
      return 'refused'
    }
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^runfcgi: checked: /)])
    undo.push(await listen(socket))
    const { stop } = await startPrinted(server, stdout, site, port)
    undo.push(stop)
    const application = await fetchWhole(port, '/hello')
    expect([application.status, String(application.body)]).toEqual([200, ANSWER])
    if (server === 'haproxy') return 'works'
    const file = await fetchWhole(port, '/static/file.txt')
    expect([file.status, String(file.body)]).toEqual([200, CONTENT])
    return 'works'
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

/** Answers below this server's address for what it was told of the application's. */
async function askThrough(server: string, site: Site, addresses: readonly string[], count: number): Promise<unknown[]> {
  const [port = 0] = await freePorts(1)
  const words = [`listen=${addresses.join(',')}`, `server-port=${port}`, '--check']
  const { code, stdout, stderr } = await run(['config', server, ...words], { cwd: site.folder })
  if (code === 2) return [stderr.trim()]
  expect([code, stderr]).toEqual([0, expect.stringMatching(/^runfcgi: checked: /)])
  const { stop } = await startPrinted(server, stdout, site, port)
  try {
    const replies = Array.from({ length: count }, () => fetchWhole(port, '/hello'))
    return (await Promise.all(replies)).map(({ status, body }) => (status === 200 ? String(body) : status))
  } finally {
    await stop()
  }
}

describe.each(Object.entries(PRINTED))('%s', (server, { programs }) => {
  const skip = findProgram(...programs) === undefined
  if (skip) console.warn(`SKIPPED: odd paths behind ${server}: it is not installed`)

  it.skipIf(skip)(
    'accepts and means what it was told of any path, or the command refuses it in one line',
    async () => {
      const outcomes = new Map<string, number>()
      await fc.assert(
        fc.asyncProperty(fc.record({ socket: name, root: name }), async wanted => {
          const outcome = await outcomeOf(server, wanted).catch(error => {
            throw new Error(visible(wanted), { cause: error })
          })
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        }),
        { numRuns: RUNS, endOnFailure: true },
      )
      if (RUNS > 20) console.log(server, Object.fromEntries(outcomes))
    },
    60_000 + 3_000 * RUNS,
  )

  it.skipIf(skip)('reaches an application at an IPv6 address, and several at sockets and ports', async () => {
    const site = createSite('node')
    const [six = 0, four = 0] = await freePorts(2)
    const undo = [await listen({ host: '::1', port: six }), await listen({ host: '127.0.0.1', port: four })]
    undo.push(await listen(site.socket))
    try {
      expect(await askThrough(server, site, [`[::1]:${six}`], 1)).toEqual([ANSWER])
      const all = [`[::1]:${six}`, `127.0.0.1:${four}`, `unix:${site.socket}`]
      const said = new Set(await askThrough(server, site, all, 12))
      expect(said).toEqual(new Set([server === 'h2o' ? expect.stringContaining('one address, not 3') : ANSWER]))
    } finally {
      for (const step of undo) await step()
      site.remove()
    }
  })
})
