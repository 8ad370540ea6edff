import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { until } from '../support/until.ts'
import { project } from './command.ts'

const program = fileURLToPath(new URL('../../bin/runfcgi.js', import.meta.url))

/** script(1) gives a program a terminal of its own. */
const hasScript = spawnSync('script', ['--version']).status === 0

const terminals = new Set<ChildProcess>()

afterEach(() => {
  for (const terminal of terminals) terminal.kill('SIGKILL')
  terminals.clear()
})

interface Terminal {
  readonly path: string
  /** Of the command in the terminal. */
  pid(): number
  screen(): string
  type(text: string): void
  close(): void
}

function openTerminal(args: readonly string[]): Terminal {
  const { path } = project()
  const command = `echo $$ > pid; exec '${process.execPath}' '${program}' ${args.join(' ')}`
  const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: path, env: { ...process.env, NO_COLOR: '1' } })
  terminals.add(child)
  let screen = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text.replaceAll('\r', '')
  })
  return {
    path,
    pid: () => Number(readFileSync(join(path, 'pid'), 'utf8')),
    screen: () => screen,
    type: text => void child.stdin.write(text),
    close: () => void child.kill('SIGKILL'),
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    return false
  }
}

describe.runIf(hasScript)('on a terminal', () => {
  it('stand says what runs where, what to tell nginx, and how to stop it', async () => {
    const terminal = openTerminal(['stand', 'socket=site.sock'])
    const socket = join(terminal.path, 'site.sock')
    await until('it greets', () => terminal.screen().includes('Ctrl-C to stop.\n'))
    expect(terminal.screen()).toBe(
      'Serving app.js (default export, an object with fetch())\n' +
        `  on ${socket}    nginx: fastcgi_pass unix:${socket};\n` +
        'Press Ctrl-C to stop.\n',
    )
    const pid = terminal.pid()
    terminal.type('\x03')
    await until('it is gone', () => !isAlive(pid))
    await until('its last words are on the screen', () =>
      /\[\d\d:\d\d:\d\d\] INFO: SIGINT: finishing what runs\n/.test(terminal.screen()),
    )
    expect(existsSync(socket)).toBe(false)
  })

  it('stand logs JSON all the same when json=true', async () => {
    const terminal = openTerminal(['stand', 'socket=site.sock', 'json=true'])
    const lines = (): string[] => terminal.screen().split('\n').slice(0, -1)
    await until('it is ready', () => lines().some(line => line.includes('"msg":"ready"')))
    expect(lines().map(line => JSON.parse(line))).toContainEqual(expect.objectContaining({ msg: 'ready' }))
  })

  it('stand stops in good order when the terminal goes', async () => {
    const terminal = openTerminal(['stand', 'socket=site.sock'])
    await until('it greets', () => terminal.screen().includes('Ctrl-C'))
    const pid = terminal.pid()
    terminal.close()
    await until('it is gone', () => !isAlive(pid))
    expect(existsSync(join(terminal.path, 'site.sock'))).toBe(false)
  })
})
