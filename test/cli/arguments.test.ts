/** Arguments of the application: behind `--`, or the setting args. It finds them in process.argv, as if Node had started it. */

import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { project, run } from './command.ts'
import { type Home, home } from './daemon.ts'

/** As the programs of npm packages are: no export, arguments, a server of its own. Then it spoils process.argv. */
const PROGRAM = `
const { argv } = require('node:process')
const seen = [...argv]
argv.length = 1
require('node:http')
  .createServer((request, response) => response.end(JSON.stringify(seen.slice(1))))
  .listen(Number(seen[seen.indexOf('-p') + 1]))
`

const GIVEN = ['./build/index.js', '-p', '3000', '--title', 'My "own" site', 'socket=elsewhere', '--', '', "it's"]

const seenBy = async (site: Home): Promise<string[]> => JSON.parse((await site.get()).text)

describe.each(['prefork', 'threaded', 'inline'] as const)('what stands behind -- with method=%s', method => {
  it('is what the application finds behind its file, in each child, after a reload and an upgrade', async () => {
    const site = home({ 'program.cjs': PROGRAM })
    const more = method === 'inline' ? [] : ['maxchildren=2', 'minspare=2']
    const { path } = site.folder
    const words = ['socket=site.sock', 'pidfile=site.pid', `method=${method}`, ...more]
    const started = await run(['./program.cjs', ...words, '--', ...GIVEN], { cwd: path })
    expect({ code: started.code, stdout: started.stdout }).toEqual({ code: 0, stdout: '' })
    const whole = [join(path, 'program.cjs'), ...GIVEN]
    const expectAll = async (): Promise<void> => {
      for (const seen of await Promise.all(Array.from({ length: 8 }, () => seenBy(site)))) expect(seen).toEqual(whole)
    }
    await expectAll()
    for (const command of method === 'inline' ? ['upgrade'] : ['reload', 'upgrade', 'reload']) {
      const { code, stderr } = await site.command(command)
      expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' })
      await expectAll()
    }
    expect(existsSync(join(path, 'elsewhere'))).toBe(false)
    expect((await site.command('stop')).code).toBe(0)
    site.expectNothingLeft()
  })
})

describe('arguments of the application', () => {
  it.each(['prefork', 'threaded'])('change with a reload if they stand in a file, with method=%s', async method => {
    const site = home({ 'app.cjs': PROGRAM })
    const configure = (args: unknown): string =>
      site.folder.file('runfcgi.config.json', JSON.stringify({ method, app: './app.cjs', args }))
    configure(['-p', 3000, '--title', 'a, b'])
    await site.start()
    expect((await seenBy(site)).slice(1)).toEqual(['-p', '3000', '--title', 'a, b'])
    configure("-p 3001 --title 'c d'")
    expect((await site.command('reload')).code).toBe(0)
    expect((await seenBy(site)).slice(1)).toEqual(['-p', '3001', '--title', 'c d'])
    expect(site.read('err.log')).toContain(
      "args: -p 3000 --title 'a, b' -> -p 3001 --title 'c d' (runfcgi.config.json)",
    )
    expect((await site.command('stop')).code).toBe(0)
  })

  it('are none of the words that runfcgi was started with', async () => {
    const site = home({ 'app.cjs': PROGRAM })
    for (const method of ['prefork', 'threaded', 'inline']) {
      await site.start(`method=${method}`)
      expect(await seenBy(site)).toEqual([join(site.folder.path, 'app.cjs')])
      expect((await site.command('stop')).code).toBe(0)
    }
  })

  it('behind -- replace those of the file, also by none', async () => {
    const site = home({ 'app.cjs': PROGRAM, 'runfcgi.config.json': '{ "args": ["of", "the", "file"] }' })
    const { path } = site.folder
    for (const given of [['typed'], []]) {
      const { code } = await run(['socket=site.sock', 'pidfile=site.pid', '--', ...given], { cwd: path })
      expect(code).toBe(0)
      expect((await seenBy(site)).slice(1)).toEqual(given)
      expect((await site.command('stop')).code).toBe(0)
    }
  })

  it('reach the program that a link in node_modules/.bin leads to, under the name of the link', async () => {
    const site = home({ 'program.js': PROGRAM, 'package.json': '{}' })
    const link = join(site.folder.path, 'program')
    symlinkSync('program.js', link)
    const { code } = await run(['./program', 'socket=site.sock', 'pidfile=site.pid', '--', 'public'], {
      cwd: site.folder.path,
    })
    expect(code).toBe(0)
    expect(await seenBy(site)).toEqual([link, 'public'])
    expect((await site.command('stop')).code).toBe(0)
  })

  it('let a module that asks whether it is the program listen', async () => {
    const site = home({
      'app.js': `
        import { createServer } from 'node:http'
        import { pathToFileURL } from 'node:url'
        if (import.meta.url === pathToFileURL(process.argv[1]).href)
          createServer((request, response) => response.end('it listens')).listen(3000)`,
    })
    await site.start()
    expect((await site.get()).text).toBe('it listens')
    expect((await site.command('stop')).code).toBe(0)
  })

  it('are shown by check, as they can be typed', async () => {
    const { path } = project({ 'app.cjs': PROGRAM })
    const { code, stdout } = await run(['check', 'socket=site.sock', '--', '-p', '1', 'a b', "it's"], { cwd: path })
    expect(stdout).toContain("  args=-p 1 'a b' 'it'\\''s' (command line)\n")
    expect(code).toBe(0)
  })

  it('stand in the unit for systemd', async () => {
    const { path } = project({ 'app.cjs': PROGRAM })
    const { stdout } = await run(['config', 'systemd', 'socket=/run/mysite/site.sock', '--', '-p', '1', 'a b'], {
      cwd: path,
    })
    expect(stdout).toMatch(/^ExecStart=.* start .*"args=-p 1 'a b'"$/m)
  })

  it.each([
    [['stop', '--', 'now'], "'stop' starts no application: leave out '--' and what stands behind it"],
    [['probe', 'socket=/tmp/x', '--', '/'], "'probe' starts no application: leave out '--' and what stands behind it"],
    [['stand', "args=it's", 'port=0'], /^args=it's \(command line\): must be words, quoted as in a shell: /],
    [
      ['stand', './a.js', './b.js', 'port=0'],
      "'stand' takes one application, not 2: ./a.js ./b.js; arguments of the application stand behind --",
    ],
    [
      ['stand', './a.js', '-p', '3000'],
      "unknown flag '-p'; 'runfcgi help' lists all settings; what is for the application stands behind --",
    ],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await run(args, { cwd: project().path })
    expect(code).toBe(2)
    expect(stderr.replace(/^runfcgi: /, '').trimEnd()).toEqual(
      typeof message === 'string' ? message : expect.stringMatching(message),
    )
  })
})
