import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { differences, reloaded } from '../../src/config/difference.ts'
import { type Resolved, resolveConfig } from '../../src/config/resolve.ts'

const settings = (...words: [string, string][]): Promise<Resolved> =>
  resolveConfig({ words, env: {}, cwd: '/', supervised: true })

describe('what has changed between two readings', () => {
  it('is told in the order of the table, with both values and where the new one comes from', async () => {
    const before = await settings(['queue', '5'], ['request-timeout', '30s'], ['maxchildren', '2'])
    const after = await settings(['queue', '5'], ['backlog', '7'], ['maxchildren', '4'], ['maxspare', '2'])
    expect(differences(before, after)).toEqual([
      { name: 'backlog', text: expect.stringMatching(/^backlog: \d+ -> 7 \(command line\)$/), reloadable: false },
      { name: 'maxchildren', text: 'maxchildren: 2 -> 4 (command line)', reloadable: true },
      {
        name: 'request-timeout',
        text: expect.stringMatching(/^request-timeout: 30s? -> 0 \(default\)$/),
        reloadable: true,
      },
    ])
  })

  it('is nothing when only the place of a value has changed', async () => {
    expect(differences(await settings(['queue', '1024']), await settings())).toEqual([])
  })

  it('is in force after a reload only where the table says so', async () => {
    const before = await settings(['queue', '5'], ['backlog', '6'])
    const now = reloaded(before, await settings(['queue', '9'], ['backlog', '9'], ['port', '80']))
    expect(now.config).toMatchObject({ queue: 9, backlog: 6, port: undefined })
    expect(now.describe('queue')).toBe('queue=9 (command line)')
    expect(now.describe('backlog')).toBe('backlog=6 (command line)')
  })
})

it.each([
  ['json', (queue: number) => `{ "queue": ${queue} }`],
  ['mjs', (queue: number) => `export default { queue: ${queue} }`],
  ['cjs', (queue: number) => `module.exports = { queue: ${queue} }`],
])('a configuration file in %s is read again', async (extension, content) => {
  const cwd = mkdtempSync(join(tmpdir(), 'settings-'))
  onTestFinished(() => rmSync(cwd, { recursive: true }))
  const read = async (queue: number): Promise<number> => {
    writeFileSync(join(cwd, `runfcgi.config.${extension}`), content(queue))
    return (await resolveConfig({ words: [], env: {}, cwd, supervised: true })).config.queue
  }
  expect([await read(1), await read(2), await read(3)]).toEqual([1, 2, 3])
})
