/** The units of deploy/systemd, as systemd itself reads them. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const units = new URL('../../deploy/systemd/', import.meta.url).pathname
const files = readdirSync(units).filter(name => /\.(service|socket)$/.test(name))
const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' })
const missing = analyze('--version').error !== undefined
if (missing) console.warn('SKIPPED: the units of systemd, because systemd-analyze is not installed')

/** An instance of each template, with a program that exists: systemd-analyze looks for it. */
const instanceOf = (name: string): string => name.replace('@', '@mysite')

describe.skipIf(missing)('the units of deploy/systemd', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'runfcgi-units-'))
    for (const name of files) {
      const text = readFileSync(join(units, name), 'utf8')
        .replaceAll(/\/srv\/\S+\/node_modules\/\.bin\/runfcgi/g, process.execPath)
        .replaceAll(/^Documentation=.*$/gm, '')
      writeFileSync(join(folder, instanceOf(name)), text)
    }
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('are found', () => {
    expect(files).toHaveLength(4)
  })

  it('are verified without a word', () => {
    const { status, stdout, stderr } = analyze('verify', ...files.map(name => join(folder, instanceOf(name))))
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  it.each(files.filter(name => name.endsWith('.service')))('%s is exposed less than 2 of 10', name => {
    const { stdout } = analyze('security', '--offline=true', join(folder, instanceOf(name)))
    const [, figure] = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout) ?? []
    expect(Number(figure)).toBeLessThan(2)
  })

  it('differ from each other only where they say so', () => {
    const bodyOf = (name: string): string[] =>
      readFileSync(join(units, name), 'utf8')
        .slice(readFileSync(join(units, name), 'utf8').indexOf('[Unit]'))
        .replaceAll('/srv/%i', '/srv/mysite')
        .replaceAll(/runfcgi(-activated)?-%i/g, 'runfcgi')
        .split('\n')
    const [one, template, activated] = ['runfcgi.service', 'runfcgi@.service', 'runfcgi-activated@.service'].map(bodyOf)
    expect(template).toEqual(one)
    expect(activated?.filter(line => !one?.includes(line))).toEqual([
      'Requires=runfcgi-activated@%i.socket',
      expect.stringMatching(/^ExecStart=\S+ start pidfile=/),
    ])
  })
})
