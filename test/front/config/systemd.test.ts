/** The unit that the command prints and the one in deploy/systemd, which is for one folder, say the same to systemd. */

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { Site } from '../../../src/front/config/site.ts'
import { systemdForms } from '../../../src/front/config/systemd.ts'

const PROGRAM = '/srv/mysite/node_modules/.bin/runfcgi'

const site: Site = {
  command: 'runfcgi config systemd',
  backends: [{ kind: 'unix', path: '/run/runfcgi/site.sock' }],
  names: [],
  port: 80,
  mount: '',
  root: '/srv/mysite',
  statics: ['/static'],
  everything: false,
  maxBody: 100 * 2 ** 20,
  oneAtATime: false,
  ping: undefined,
  handedOver: [],
  script: '/srv/mysite/mysite.fcgi',
  service: {
    program: [PROGRAM],
    words: ['socket=/run/runfcgi/site.sock', 'pidfile=/run/runfcgi/site.pid'],
    folder: '/srv/mysite',
    user: undefined,
    group: undefined,
    socketGroup: undefined,
    files: ['/run/runfcgi/site.pid'],
    logs: [],
    place: 'pidfile=/run/runfcgi/site.pid',
    ending: 30_000,
  },
}

/** What each says, without comments and what describes it. */
const said = (unit: string): string[] =>
  unit
    .split('\n')
    .filter(line => line !== '' && !/^(#|Description|Documentation)/.test(line))
    .toSorted()

it('says what deploy/systemd/runfcgi.service says', () => {
  const shipped = readFileSync(new URL('../../../deploy/systemd/runfcgi.service', import.meta.url), 'utf8')
  expect(said(systemdForms[0]?.generate(site) ?? '')).toEqual(said(shipped))
})

it.each([
  ['user', 'a b'],
  ['user', '%i'],
  ['group', '-x'],
  ['socketGroup', 'a"b'],
  ['folder', '/srv/a\\'],
  ['folder', '/srv/a '],
])('refuses what systemd has no way to be told: %s %j', (name, value) => {
  const odd = { ...site, service: { ...site.service, user: 'www-data', [name]: value } }
  expect(() => systemdForms[0]?.generate(odd)).toThrow(
    /systemd cannot be told ".*": it has no way to write '.+' there$/,
  )
})
