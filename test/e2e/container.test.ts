/**
 * deploy/container and deploy/kubernetes, as far as they go without a container engine: the command of the image as process 1
 * of a pid namespace, under an account that is not root, in a root file system of its own that is read-only but for /tmp and
 * /run/site; and the numbers of the manifest against each other. As root on Linux only.
 */

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { probe } from '../../src/front/probe.ts'
import { type RunningProgram, startProgram } from '../support/child-process.ts'
import { freePorts } from '../support/ports.ts'
import { install } from '../support/runfcgi.ts'
import { unprivileged } from '../support/unprivileged.ts'
import { until } from '../support/until.ts'

const read = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../deploy/${file}`, import.meta.url)), 'utf8')
const dockerfile = read('container/Dockerfile').replaceAll('\\\n', ' ')
const manifest = read('kubernetes/deployment.yaml')

/** The words of an instruction in JSON form, the last of that name. */
function wordsOf(instruction: string): string[] {
  const found = [...dockerfile.matchAll(new RegExp(`^${instruction}\\b[^\\[\\n]*(\\[.*\\])$`, 'gm'))].at(-1)
  return JSON.parse(found?.[1] as string)
}

/** All lists of words with this key in the manifest; a long one has a line for each word, and a comma after the last. */
const listsOf = (key: string): string[][] =>
  [...manifest.matchAll(new RegExp(`^ *${key}:\\s+(\\[[^\\]]*\\])$`, 'gm'))].map(([, list]) =>
    JSON.parse((list as string).replace(/,\s*\]$/, ']')),
  )

const numberOf = (pattern: RegExp): number => Number(pattern.exec(manifest)?.[1])

/** Settings whose values this machine chooses. */
const withPort = (words: string[], port: number): string[] =>
  words.map(word => (word === 'port=9000' ? `port=${port}` : word))

const APPLICATION = `
import { existsSync, writeFileSync } from 'node:fs'
const attempt = path => { try { writeFileSync(path, ''); return true } catch (error) { return error.code } }
export default async (request, response) => {
  if (request.url === '/slow') {
    writeFileSync('/tmp/begun', '')
    while (!existsSync('/tmp/go')) await new Promise(resolve => setTimeout(resolve, 5))
  }
  if (request.url === '/begun') return response.end(String(existsSync('/tmp/begun')))
  const writable = ['/tmp/x', '/run/site/x', '/srv/app/x', '/x', '/usr/x'].map(path => [path, attempt(path)])
  response.end(JSON.stringify({ parent: process.ppid, uid: process.getuid(), groups: process.getgroups(), writable: Object.fromEntries(writable) }))
}
`

/** Mounts what the image would hold, makes the root read-only and becomes the account. */
const SCRIPT = `
set -e
root=$1; account=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
for folder in usr bin lib lib64; do
  if [ -d "/$folder" ]; then mkdir -p "$root/$folder"; mount --rbind -o ro "/$folder" "$root/$folder"; fi
done
mount -t proc proc "$root/proc"
for file in null urandom; do : > "$root/dev/$file"; mount --bind "/dev/$file" "$root/dev/$file"; done
for folder in tmp run/site; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/setpriv --reuid="$account" --regid="$account" --clear-groups --no-new-privs --bounding-set=-all \\
  /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin NODE_ENV=production sh -c 'cd /srv/app && exec "$@"' sh "$@"
`

const account = unprivileged?.uid
const impossible = whyNot()
if (impossible !== undefined)
  console.warn(`SKIPPED: the container's command in a root of its own, because ${impossible}`)

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || account === undefined) return 'only root on Linux can make one'
  if (!process.execPath.startsWith('/usr/')) return 'Node.js does not lie in /usr here'
  const made = spawnSync('unshare', ['--mount', '--pid', '--fork', 'mount', '--make-rprivate', '/'], {
    encoding: 'utf8',
  })
  return made.status === 0 ? undefined : `unshare is not permitted (${made.error?.message ?? made.stderr.trim()})`
}

describe.skipIf(impossible !== undefined)('the command of the image', () => {
  let root: string
  let port: number
  let running: RunningProgram
  const inside = (words: string[]): [string, string[]] => [
    'unshare',
    ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', SCRIPT, 'sh', root, String(account), ...words],
  ]
  const get = async (path: string) =>
    (await probe({ target: { kind: 'tcp', host: '127.0.0.1', port }, path })).body.toString()

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'runfcgi-image-'))
    chmodSync(root, 0o755)
    for (const folder of ['srv/app', 'proc', 'dev', 'tmp', 'run/site', 'etc'])
      mkdirSync(join(root, folder), { recursive: true })
    writeFileSync(join(root, 'srv/app/package.json'), '{ "type": "module" }')
    writeFileSync(join(root, 'srv/app/app.js'), APPLICATION)
    install(join(root, 'srv/app'))
    ;[port] = (await freePorts(1)) as [number]
    const command = [...wordsOf('ENTRYPOINT'), ...withPort(wordsOf('CMD'), port)]
    running = await startProgram(...inside(command), {
      ready: () =>
        get('/ping').then(
          text => text === 'pong\n',
          () => false,
        ),
    })
  })
  afterAll(async () => {
    await running?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  test('is process 1 under an account without rights, and can write to /tmp and /run/site only', async () => {
    expect(JSON.parse(await get('/'))).toEqual({
      parent: 1,
      uid: account,
      groups: [account],
      writable: { '/tmp/x': true, '/run/site/x': true, '/srv/app/x': 'EROFS', '/x': 'EROFS', '/usr/x': 'EROFS' },
    })
    await until('it says that it is ready', () => running.output().includes('"ready"'))
    const log = running
      .output()
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(log.find(({ msg }) => msg === 'ready')).toMatchObject({ pid: 1, method: 'prefork' })
  })

  test('its health check says that it is well, and says so when it is not', () => {
    const check = wordsOf('HEALTHCHECK')
    const ask = (words: string[]) => spawnSync(...inside(words), { encoding: 'utf8' })
    expect(ask(withPort(check, port))).toMatchObject({ status: 0, stdout: expect.stringContaining('pong') })
    expect(ask(withPort(check, 1)).status).toBe(1)
  })

  test('ends in good order at TERM, with an answer to what runs', async () => {
    const slow = get('/slow')
    await until('the request has begun', async () => (await get('/begun')) === 'true')
    // unshare itself passes no signal on: the engine sends it to process 1.
    const [pid] = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8').trim().split(' ')
    process.kill(Number(pid), 'SIGTERM')
    await until('it has heard of it', () => running.output().includes('SIGTERM: finishing what runs'))
    writeFileSync(`/proc/${pid}/root/tmp/go`, '')
    expect(JSON.parse(await slow)).toMatchObject({ parent: 1 })
    await until('it has ended', () => !existsSync(`/proc/${pid}`))
  })
})

describe('the manifest for Kubernetes', () => {
  const [settings = []] = listsOf('args')
  const socket = settings.find(word => word.startsWith('socket='))

  test('leaves the time to stop that runfcgi is told to take', () => {
    const secondsOf = (name: string): number => Number(new RegExp(`${name}=(\\d+)`).exec(settings.join(' '))?.[1])
    const sleeps = listsOf('command')
      .filter(([name]) => name === 'sleep')
      .map(([, seconds]) => Number(seconds))
    expect(sleeps).toHaveLength(1)
    expect(secondsOf('lame-duck'), 'nginx goes first').toBeGreaterThan(sleeps[0] ?? 0)
    const all = secondsOf('lame-duck') + secondsOf('graceful-timeout')
    expect(numberOf(/terminationGracePeriodSeconds: (\d+)/)).toBeGreaterThan(all)
  })

  test('probes the socket that runfcgi and nginx use, at the path that is answered', () => {
    expect(socket).toBeDefined()
    expect(manifest).toContain(`server unix:${socket?.slice('socket='.length)};`)
    const [path] = settings.flatMap(word => (word.startsWith('ping=') ? [word.slice(5)] : []))
    const probes = listsOf('command').filter(words => words.includes('probe'))
    expect(probes).toHaveLength(2)
    for (const words of probes) expect(words.slice(-2)).toEqual([socket, path])
    expect(manifest).toMatch(new RegExp(`httpGet:\\n *path: ${path}\\n`))
    expect(listsOf('command').filter(words => words.length === 1)).toEqual([wordsOf('ENTRYPOINT')])
  })

  test('has settings that runfcgi accepts', () => {
    const folder = mkdtempSync(join(tmpdir(), 'runfcgi-manifest-'))
    try {
      writeFileSync(join(folder, 'app.js'), 'module.exports = (request, response) => response.end()')
      const program = fileURLToPath(new URL('../../bin/runfcgi.js', import.meta.url))
      const words = settings.slice(1).map(word => (word === socket ? `socket=${folder}/s` : word))
      const checked = spawnSync(process.execPath, [program, 'check', ...words], { cwd: folder, encoding: 'utf8' })
      expect(checked).toMatchObject({ status: 0, stdout: expect.stringContaining('ping=/ping') })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
