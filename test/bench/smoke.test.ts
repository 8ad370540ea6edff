/** That the bench works, not how fast anything is: few requests, few rounds. */

import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('run.js', import.meta.url))
const few = ['--requests=20', '--rounds=3']

const hasCompiler = spawnSync('cc', ['--version']).status === 0
if (!hasCompiler) console.log('!!! There is no C compiler (cc) here: THE TESTS OF THE BENCH ARE SKIPPED.')

async function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const run = promisify(execFile)(process.execPath, [script, ...args], { maxBuffer: 1 << 24 })
  return run.then(
    output => ({ code: 0, ...output }),
    error => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  )
}

describe.skipIf(!hasCompiler)('npm run bench', () => {
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bench-smoke-'))
  })

  afterAll(async () => {
    await rm(directory, { recursive: true })
  })

  it('gets the same reply from every peer in every case, or says what it skipped', async () => {
    const { code, stdout, stderr } = await bench('--check')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const line of stdout.split('\n').filter(text => text.startsWith('skipped'))) console.log(line)
    expect(stdout).toMatch(/^hello: the same reply from .*floor.* wsgi,.* http,.* node,.* fetch/m)
    expect(stdout.match(/: the same reply from /g)?.length).toBeGreaterThan(20)
  }, 900_000)

  it('measures the peers it is told to, prints a line for each and judges their comparisons', async () => {
    const { code, stdout, stderr } = await bench(...few, '--cases=hello', '--peers=floor,wsgi,http')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(process.version)
    for (const title of ['bare net server', 'node:http', 'WSGI-style']) {
      expect(stdout.split(title).length - 1, title).toBeGreaterThanOrEqual(2)
    }
    expect(stdout).toMatch(/WSGI-style : node:http .* CPU per request .* ≤ 0.55 +(met|MISSED)/)
    expect(stdout).toMatch(/\d targets met, \d missed/)
  })

  it('works over TCP, with a connection per request, with one that carries many requests, and with idle ones', async () => {
    const cases = '--cases=connect,multiplex,idle'
    const peers = '--peers=http,hono-http,wsgi,wsgi-multiplexed,wsgi-idle'
    const { code, stderr } = await bench('--requests=64', '--rounds=1', '--idle=20', '--tcp', cases, peers)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('measures start-up and memory', async () => {
    const { code, stdout, stderr } = await bench(
      '--requests=20',
      '--rounds=1',
      '--cases=start,memory',
      '--peers=alone,alone-threaded-1',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/runfcgi threaded, 1 thread : node with node:http .* time to the first reply/)
    expect(stdout).toContain('idle connection KB')
  })

  it('exits 1 when a comparison is worse than in the baseline by more than the spread', async () => {
    const figures = join(directory, 'figures.json')
    const run = [...few, '--cases=hello', '--peers=wsgi,node-fastcgi', `--baseline=${figures}`]
    const comparison = { case: 'hello', peer: 'wsgi', against: 'node-fastcgi', measure: 'cpu' }
    const baseline = (ratio: number) =>
      JSON.stringify({ comparisons: [{ ...comparison, value: { median: ratio, low: ratio, high: ratio } }] })

    await writeFile(figures, baseline(1e-6))
    const worse = await bench(...run)
    expect(worse.stdout).toContain('REGRESSION')
    expect(worse.code).toBe(1)

    await writeFile(figures, baseline(1e6))
    expect((await bench(...run)).code).toBe(0)
  })

  it('writes its figures as JSON, and makes table, verdicts and chart of them without measuring again', async () => {
    const [file, chart] = [join(directory, 'run.json'), join(directory, 'chart.svg')]
    await bench(...few, '--cases=hello', '--peers=floor,wsgi', `--json=${file}`)
    const figures = JSON.parse(await readFile(file, 'utf8'))
    expect(figures.cases.hello.floor.requests).toBe(60)
    expect(figures.cases.hello.floor.microseconds.median).toBeGreaterThan(0)

    const again = await bench(`--from=${file}`, `--svg=${chart}`)
    expect(again.stdout).toMatch(/WSGI-style : bare net server.* ≤ 1.35 +(met|MISSED)/)
    expect(await readFile(chart, 'utf8')).toMatch(/^<svg [\s\S]*WSGI-style[\s\S]*<\/svg>\n$/)
  })

  it('has in the README only targets that are its own', async () => {
    const load = (name: string) => import(new URL(name, import.meta.url).href)
    const [{ COMPARISONS }, { rowOf }] = await Promise.all([load('targets.js'), load('readme.js')])
    const known: string[] = COMPARISONS.map((comparison: unknown) => rowOf(comparison).join(' | '))
    const page = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
    const table = /<!-- bench:[\s\S]*?\n\|---.*\n([\s\S]*?)\n\n/.exec(page)?.[1] ?? ''
    const rows = table.split('\n').map(line => line.slice(2).split(' | ').slice(0, 4).join(' | '))
    expect(rows.length).toBeGreaterThan(5)
    expect(rows.filter(row => !known.includes(row))).toEqual([])
  })

  it('refuses a peer it does not know, and says which there are', async () => {
    const { code, stderr } = await bench('--peers=apache')
    expect(code).toBe(2)
    expect(stderr).toContain('node-fastcgi')
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})
