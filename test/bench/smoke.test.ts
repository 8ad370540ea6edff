import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('run.js', import.meta.url))

/** Few requests: that it works, not how fast. */
const few = ['--requests=20', '--rounds=3']

async function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const run = promisify(execFile)(process.execPath, [script, ...args])
  return run.then(
    output => ({ code: 0, ...output }),
    error => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  )
}

describe('npm run bench', () => {
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bench-smoke-'))
  })

  afterAll(async () => {
    await rm(directory, { recursive: true })
  })

  it('measures the peers it is told to and prints a line for each', async () => {
    const { code, stdout, stderr } = await bench(
      ...few,
      '--cases=hello,upload',
      '--peers=floor,http,node-fastcgi,wsgi,node,fetch',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(process.version)
    for (const title of [
      'bare net server',
      'node:http',
      'node-fastcgi',
      'WSGI-style',
      'Node listener',
      'fetch (Hono)',
    ]) {
      expect(stdout.split(title).length - 1, title).toBeGreaterThanOrEqual(2)
    }
  })

  it('works over TCP and with a connection per request', async () => {
    const { code, stderr } = await bench(...few, '--tcp', '--cases=connect', '--peers=floor,http,hono-http')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('exits 1 when a ratio is worse than in the baseline by more than the spread', async () => {
    const figures = join(directory, 'figures.json')
    const run = [...few, '--cases=hello', '--peers=wsgi,node-fastcgi', `--baseline=${figures}`]
    const comparison = { case: 'hello', peer: 'wsgi', against: 'node-fastcgi' }
    const baseline = (ratio: number) =>
      JSON.stringify({ comparisons: [{ ...comparison, ratio: { median: ratio, low: ratio, high: ratio } }] })

    await writeFile(figures, baseline(1e-6))
    const worse = await bench(...run)
    expect(worse.stdout).toContain('REGRESSION')
    expect(worse.code).toBe(1)

    await writeFile(figures, baseline(1e6))
    expect((await bench(...run)).code).toBe(0)
  })

  it('writes its figures as JSON', async () => {
    const file = join(directory, 'run.json')
    await bench(...few, '--cases=hello', '--peers=floor', `--json=${file}`)
    const figures = JSON.parse(await readFile(file, 'utf8'))
    expect(figures.cases.hello.floor.requests).toBe(60)
    expect(figures.cases.hello.floor.microseconds.median).toBeGreaterThan(0)
  })

  it('refuses a peer it does not know, and says which there are', async () => {
    const { code, stderr } = await bench('--peers=apache')
    expect(code).toBe(2)
    expect(stderr).toContain('node-fastcgi')
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})
