/** Root starts, somebody else serves. */

import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { probe } from '../support/probe.ts'
import { unprivileged } from '../support/unprivileged.ts'
import { until } from '../support/until.ts'
import { type Folder, launch, project, type Running, run } from './command.ts'

const WHO = `export default (req, res) => res.end(JSON.stringify({
  uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(), home: process.env.HOME, user: process.env.USER,
}))`

const asRoot = process.getuid?.() === 0 && unprivileged !== undefined

async function stand(folder: Folder, settings: readonly string[]): Promise<{ running: Running; who: object }> {
  const path = join(folder.path, 'site.sock')
  const running = launch(['stand', `socket=${path}`, ...settings], { cwd: folder.path })
  await until('the socket is there', () => {
    if (running.child.exitCode !== null) throw new Error(running.stderr())
    return existsSync(path)
  })
  const { body } = await probe({ target: { kind: 'unix', path }, path: '/' })
  return { running, who: JSON.parse(body.toString()) }
}

function open(): Folder {
  const folder = project({ 'app.js': WHO })
  chmodSync(folder.path, 0o755)
  return folder
}

describe.runIf(asRoot)('user and group', () => {
  const { name, uid, gid } = unprivileged ?? { name: '', uid: 0, gid: 0 }

  for (const method of ['prefork', 'threaded', 'inline'].map(name => [`method=${name}`])) {
    it(`give the application another account, its groups and its home ${method}`, async () => {
      const { who } = await stand(open(), [`user=${name}`, ...method])
      const groups = execFileSync('id', ['-G', name], { encoding: 'latin1' }).trim().split(' ').map(Number)
      const [, , , , , home] = execFileSync('getent', ['passwd', name], { encoding: 'latin1' }).split(':')
      expect(who).toEqual({ uid, gid, groups: expect.arrayContaining(groups), home, user: name })
      expect(who).not.toMatchObject({ groups: expect.arrayContaining([0]) })
    })

    it(`may be numbers that nobody has a name for ${method}`, async () => {
      const { who } = await stand(open(), ['user=54321', 'group=54322', ...method])
      expect(who).toMatchObject({ uid: 54_321, gid: 54_322, groups: [54_322] })
    })

    it(`let the log be opened again by the account that writes it ${method}`, async () => {
      const folder = open()
      chmodSync(folder.path, 0o777)
      const log = join(folder.path, 'e.log')
      const { running } = await stand(folder, [`user=${name}`, `errlog=${log}`, ...method])
      await until('the log is there', () => existsSync(log) && readFileSync(log, 'utf8').includes('"ready"'))
      execFileSync('mv', [log, `${log}.1`])
      running.kill('SIGUSR1')
      await until('the log is there again', () => existsSync(log) && readFileSync(log, 'utf8').includes('opened again'))
      if (method[0] !== 'method=prefork') expect(statSync(log).uid).toBe(uid)
    })
  }

  it('are refused with one line when they do not exist', async () => {
    const folder = open()
    const { code, stderr } = await run(['stand', 'socket=s', 'user=nobody-of-that-name'], { cwd: folder.path })
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'runfcgi: there is no user "nobody-of-that-name" on this system: check the name\n',
    })
  })

  it('are refused with one line for a number without a group', async () => {
    const folder = open()
    const { code, stderr } = await run(['stand', 'socket=s', 'user=54321'], { cwd: folder.path })
    expect(code).toBe(2)
    expect(stderr).toMatch(/^runfcgi: user=54321 \(command line\): .*group=.*\n$/)
  })
})
