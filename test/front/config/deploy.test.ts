/**
 * The configurations in deploy/ are what the command prints for the settings that stand in their first line, and each web
 * server that is installed accepts them. `UPDATE_DEPLOY=1 npx vitest run test/front/config/deploy.test.ts` writes them.
 */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { webServers } from '../../../src/front/config/servers.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const ONE = 'socket=/run/mysite/site.sock'
const TWO = 'listen=/run/mysite/site.sock,192.0.2.2:9000'
const FILES = 'document-root=/srv/mysite'
const BELOW = 'mount=/app document-root=/srv/mysite/static'
const NAME = 'server-name=example.org'

/** Each file, and the words behind `runfcgi config` that print it. */
const DEPLOY: Readonly<Record<string, string>> = {
  'nginx/keepalive.conf': `nginx ${ONE} ${NAME} ${FILES}`,
  'nginx/simple.conf': `nginx simple ${ONE} ${NAME} ${FILES}`,
  'nginx/mount.conf': `nginx ${ONE} ${NAME} ${BELOW}`,
  'nginx/simple-mount.conf': `nginx simple ${ONE} ${NAME} ${BELOW}`,
  'nginx/balance.conf': `nginx ${TWO} ${NAME} ${FILES}`,
  'apache/proxy-fcgi.conf': `apache ${ONE} ${NAME} ${FILES}`,
  'apache/proxy-fcgi-mount.conf': `apache ${ONE} ${NAME} ${BELOW}`,
  'apache/proxy-fcgi-balance.conf': `apache ${TWO} ${NAME} ${FILES}`,
  'apache/mod_fcgid.conf': `apache fcgid ${NAME} ${FILES}`,
  'apache/mod_fcgid-mount.conf': `apache fcgid ${NAME} ${BELOW} workdir=/srv/mysite`,
  'apache/mod_fastcgi.conf': `apache fastcgi ${ONE} ${NAME} ${FILES}`,
  'apache/mod_fastcgi-host.conf': `apache fastcgi host=127.0.0.1 port=3033 ${NAME} ${FILES}`,
  'apache/htaccess': 'apache htaccess',
  'lighttpd/site.conf': `lighttpd ${ONE} ${FILES}`,
  'lighttpd/mount.conf': `lighttpd ${ONE} ${BELOW}`,
  'lighttpd/host.conf': `lighttpd ${ONE} ${NAME},www.example.org ${FILES}`,
  'lighttpd/balance.conf': `lighttpd ${TWO} ${FILES}`,
  'lighttpd/spawn.conf': `lighttpd spawn ${FILES}`,
  'caddy/Caddyfile': `caddy ${ONE} ${NAME} ${FILES}`,
  'caddy/mount.Caddyfile': `caddy ${ONE} ${NAME} ${BELOW}`,
  'caddy/balance.Caddyfile': `caddy ${TWO} ${NAME} ${FILES}`,
  'haproxy/haproxy.cfg': `haproxy ${ONE} ${FILES}`,
  'haproxy/multiplexed.cfg': `haproxy multiplexed ${ONE} ${FILES}`,
  'haproxy/mount.cfg': `haproxy ${ONE} mount=/app ${FILES}`,
  'haproxy/balance.cfg': `haproxy ${TWO} ping=/ping ${FILES}`,
  'h2o/h2o.conf': `h2o ${ONE} ${NAME} ${FILES}`,
  'h2o/mount.conf': `h2o ${ONE} ${NAME} ${BELOW}`,
}

/** Written by hand: what no setting describes. */
const BY_HAND = /authorizer|mysite\.fcgi|README\.md/

const folder = mkdtempSync(join(tmpdir(), 'runfcgi-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function print(words: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: process.env.PATH, HOME: folder }
  const args = [join(root, 'bin/runfcgi.js'), 'config', ...words]
  return spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' })
}

describe.each(Object.entries(DEPLOY))('deploy/%s', (file, words) => {
  it('is what its first line prints, and is accepted by the program that it is for', () => {
    const path = join(root, 'deploy', file)
    const { status, stdout, stderr } = print([...words.split(' '), '--check'])
    expect([status, stderr]).toEqual([0, expect.stringMatching(/^runfcgi: (not )?checked: /)])
    expect(stdout.split('\n', 1)[0]).toBe(`# Printed by: runfcgi config ${words}`)
    if (process.env.UPDATE_DEPLOY !== undefined) writeFileSync(path, stdout)
    expect(readFileSync(path, 'utf8')).toBe(stdout)
  })
})

it('every configuration that deploy/ has for a web server is printed, except those that no setting describes', () => {
  const there = [...webServers.keys()].flatMap(name =>
    readdirSync(join(root, 'deploy', name)).map(file => `${name}/${file}`),
  )
  expect(there.filter(file => !BY_HAND.test(file)).toSorted()).toEqual(Object.keys(DEPLOY).toSorted())
})

it('every form of every web server has a configuration in deploy/', () => {
  const shown = new Set(
    Object.values(DEPLOY).map(words =>
      words
        .split(' ', 2)
        .map(word => (word.includes('=') ? '' : word))
        .join(' '),
    ),
  )
  for (const [server, forms] of webServers) {
    for (const [index, { name }] of forms.entries()) expect(shown).toContain(`${server} ${index === 0 ? '' : name}`)
  }
})
