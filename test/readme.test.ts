/**
 * The README, held to its word: its applications are written to files, its commands are typed, what they print is compared
 * with what the page shows, and its tables with the code that they describe.
 *
 * A block that begins with ```js app.js is that file. In ```console blocks a line with `$ ` is typed in a shell and the
 * lines below it are what it prints. ```console server is a program that goes on running, on a terminal of its own, until
 * the next one; ```text log is what it prints later; ```console debian is typed by test/deploy.test.ts. Each section has a folder of its own; /srv/mysite stands for it, /tmp
 * for another one, 8080 for a free port. Times,
 * durations, ages, process ids, sizes of processes and the version of Node.js are not compared.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { commands } from '../src/cli/commands.ts'
import { SIGNALS } from '../src/cli/serving/signals.ts'
import { accepts, freePorts } from './support/ports.ts'
import { kill, processesIn } from './support/processes.ts'
import { soon, until } from './support/until.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

// The page in pieces.

interface Block {
  /** What stands behind the fence: `js app.js`, `console server`. */
  readonly info: string
  readonly text: string
}

interface Section {
  readonly title: string
  readonly text: string
  readonly blocks: readonly Block[]
}

const blocksOf = (text: string): Block[] =>
  [...text.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)].map(([, info, content]) => ({
    info: info as string,
    text: content as string,
  }))

const sections: readonly Section[] = readme
  .split(/^## /m)
  .slice(1)
  .map(text => ({ title: text.slice(0, text.indexOf('\n')), text, blocks: blocksOf(text) }))

function sectionOf(title: string, level = '##'): string {
  const [, ...parts] = readme.split(`\n${level} ${title}\n`)
  expect(parts, `one section "${title}"`).toHaveLength(1)
  return (parts[0] as string).split(/^#{2,3} /m, 1)[0] as string
}

/** The cells of the first table in a text, without its head. */
function tableOf(text: string): string[][] {
  const [, table = ''] = /^\|.*\n\|[-|]+\n((?:\|.*\n)+)/m.exec(text) ?? []
  return table
    .trimEnd()
    .split('\n')
    .map(row =>
      row
        .slice(2, -2)
        .split(/(?<!\\) ?\| /)
        .map(cell => cell.replaceAll('\\|', '|').trim()),
    )
}

/** What stands between backquotes. */
const spansOf = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, span]) => span as string)

// What the page shows happens.

/** script(1) gives a program a terminal. */
const hasScript = spawnSync('script', ['--version']).status === 0

interface Place {
  readonly folder: string
  readonly run: string
  readonly port: number
  /** What is on the page, as it is here. */
  here(text: string): string
  /** What is here, as it is on the page. */
  page(text: string): string
}

const folders: string[] = []
const running = new Set<ChildProcess>()

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
  for (const folder of folders.splice(0)) {
    for (const pid of processesIn(folder)) kill(pid)
    rmSync(folder, { recursive: true, force: true })
  }
})

const temporary = (): string => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'runfcgi-')))
  folders.push(folder)
  return folder
}

/** A folder as a person has it who has installed the packages, and the command with them. */
async function createPlace(): Promise<Place> {
  const [folder, run, [port = 0]] = [temporary(), temporary(), await freePorts(1)]
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(root, 'deploy'), join(folder, 'deploy'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/runfcgi'))
  symlinkSync(join(root, 'node_modules/express'), join(folder, 'node_modules/express'))
  mkdirSync(join(run, 'bin'))
  symlinkSync(join(root, 'bin/runfcgi.js'), join(run, 'bin/runfcgi'))
  return {
    folder,
    run,
    port,
    here: text => text.replaceAll('/tmp/', `${run}/`).replaceAll('8080', String(port)),
    page: text =>
      text
        .replaceAll(`${run}/`, '/tmp/')
        .replaceAll(folder, '/srv/mysite')
        .replaceAll(`:${port}`, ':8080')
        .replaceAll('\r', ''),
  }
}

const environmentOf = ({ run }: Place): NodeJS.ProcessEnv => ({
  PATH: [join(run, 'bin'), dirname(process.execPath), process.env.PATH].join(delimiter),
  HOME: process.env.HOME,
  TERM: 'dumb',
  NO_COLOR: '1',
})

/** A command and the lines below it. */
interface Typed {
  readonly command: string
  readonly shown: string
}

const typedIn = ({ text }: Block): Typed[] =>
  text
    .split(/^\$ /m)
    .slice(1)
    .map(part => ({ command: part.slice(0, part.indexOf('\n')), shown: part.slice(part.indexOf('\n') + 1) }))

/** Times differ, and what the system chooses; with them the widths of the columns of `status`. */
const timeless = (text: string): string =>
  text
    .replaceAll(/\d+(\.\d+)? ms/g, 'N ms')
    .replaceAll(/\b\d\d:\d\d:\d\d\b/g, 'HH:MM:SS')
    .replaceAll(/\bage("?): \d+/g, 'age$1: N')
    .replaceAll(/\bprocess \d+/g, 'process N')
    .replaceAll(/\bv\d+\.\d+\.\d+/g, 'vN')
    .replaceAll(/^ *ID +PID .* AGE$/gm, header => header.replaceAll(/ +/g, ' '))
    .replaceAll(/^ *(\d+) +\d+ +(\d+) +ready .*$/gm, '$1 PID $2 ready …')
    .replaceAll(/\b\d+(\.\d+)? (s|MiB)\b/g, 'N $2')

async function type({ command, shown }: Typed, place: Place): Promise<void> {
  const child = spawn('sh', ['-c', `exec 2>&1; ${place.here(command)}`], {
    cwd: place.folder,
    env: environmentOf(place),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  let printed = ''
  child.stdout?.setEncoding('utf8').on('data', text => {
    printed += text
  })
  const [code] = await soon(command, once(child, 'close'))
  running.delete(child)
  expect([command, timeless(place.page(printed)).trimEnd()]).toEqual([command, timeless(shown).trimEnd()])
  expect([command, code]).toEqual([command, 0])
}

/** Those that have ended. */
const linesOf = (text: string): string[] => text.match(/.*\n/g) ?? []

/** A program that goes on running, on a terminal if this machine can make one. */
class Program {
  readonly #place: Place
  readonly #command: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #screen = ''

  constructor(command: string, place: Place) {
    const line = `echo $$ > ${place.run}/pid; exec ${place.here(command)}`
    const [program, args] = hasScript ? ['script', ['-qec', line, '/dev/null']] : ['sh', ['-c', line]]
    const child = spawn(program, args as string[], { cwd: place.folder, env: environmentOf(place) })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', text => {
        this.#screen += text
      })
    }
    running.add(child)
    this.#place = place
    this.#command = command
    this.#child = child
    this.#ended = once(child, 'close').finally(() => running.delete(child))
  }

  get screen(): string {
    return timeless(this.#place.page(this.#screen))
  }

  /** Waits until it shows the lines and can be connected to. Where there is no terminal it does not greet. */
  async begins(shown: string): Promise<void> {
    if (hasScript) {
      const lines = timeless(shown)
      const wanted = linesOf(lines).length
      // Whole lines: `12` is not yet `12 ms`.
      await this.#until('shows what the page shows', () => linesOf(this.screen).length >= wanted)
      expect(linesOf(this.screen).slice(0, wanted).join('')).toBe(lines)
    }
    const address = this.#command.includes('http=') ? this.#place.port : join(this.#place.run, 'site.sock')
    await this.#until('can be connected to', () => accepts(address))
  }

  async logs(shown: string): Promise<void> {
    if (hasScript) await this.#until(`logs ${shown}`, () => this.screen.includes(timeless(shown)))
  }

  async stop(): Promise<void> {
    process.kill(Number(readFileSync(join(this.#place.run, 'pid'), 'utf8')), 'SIGTERM')
    await soon(`${this.#command} ends`, this.#ended)
  }

  #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    return until(
      () => `${this.#command} ${what}; it shows: ${this.#screen}`,
      () => {
        if (this.#child.exitCode !== null) throw new Error(`${this.#command} has ended: ${this.#screen}`)
        return condition()
      },
    )
  }
}

async function walk({ blocks }: Section): Promise<void> {
  const place = await createPlace()
  let program: Program | undefined
  for (const block of blocks) {
    const [language, name] = block.info.split(' ')
    if (block.info === 'console server') {
      await program?.stop()
      const [{ command, shown } = { command: '', shown: '' }] = typedIn(block)
      program = new Program(command, place)
      await program.begins(shown)
    } else if (block.info === 'text log') await program?.logs(block.text)
    else if (block.info === 'console debian') continue
    else if (language === 'console') for (const typed of typedIn(block)) await type(typed, place)
    else if (name !== undefined) writeFileSync(join(place.folder, name), place.here(block.text))
  }
  await program?.stop()
}

const shownSections = sections.filter(({ blocks }) => blocks.some(({ info }) => /^console(?! debian)/.test(info)))

describe('what the README shows is what happens', () => {
  it.each(shownSections.map(section => [section.title, section] as const))('in the section %s', (_title, section) =>
    walk(section),
  )

  it('has no shell command that is not typed by this test, except npm start', () => {
    const untyped = blocksOf(readme).filter(({ info }) => /^(sh|bash|shell)\b/.test(info))
    expect(untyped.map(({ text }) => text.trim())).toEqual(['npm start'])
    expect(scripts.start).toBe('node bin/runfcgi.js serve deploy/examples/demo/app.js --http=127.0.0.1:8080')
  })

  it('names no npm script that is not there', () => {
    const named = [...readme.matchAll(/`npm run (\w+)/g)].map(([, name]) => name as string)
    expect(named.length).toBeGreaterThan(2)
    for (const name of named) expect(Object.keys(scripts)).toContain(name)
  })
})

describe('a page does not show which file a block is', () => {
  it.each(sections.map(section => [section.title, section] as const))('so the text says it: %s', (_title, section) => {
    const shown = section.text.replaceAll(/^```.*$/gm, '')
    const files = section.blocks.map(({ info }) => info.split(' ')[1] ?? '').filter(name => name.includes('.'))
    expect(files.filter(name => !shown.includes(name))).toEqual([])
  })
})

/** As GitHub makes it of a heading. */
const anchorOf = (title: string): string =>
  title
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(' ', '-')

describe('what the README lists is what there is', () => {
  it('every file that it links to', () => {
    const targets = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, target]) => target as string)
    const files = targets.filter(target => !/^https?:/.test(target))
    expect(files.length).toBeGreaterThan(10)
    expect(files.filter(file => !existsSync(join(root, file)))).toEqual([])
  })

  it('every section, in its contents; and no link leads nowhere', () => {
    const headings = [...readme.matchAll(/^##+ (.+)$/gm)].map(([line, title = '']) => ({
      line,
      anchor: anchorOf(title),
    }))
    const links = (text: string) => [...text.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor)
    const sections = headings.filter(({ line }) => line.startsWith('## ')).map(({ anchor }) => anchor)
    expect(links(sectionOf('Contents')).sort()).toEqual(sections.filter(anchor => anchor !== 'contents').sort())
    const anchors = headings.map(({ anchor }) => anchor)
    expect(links(readme).filter(anchor => !anchors.includes(anchor as string))).toEqual([])
  })

  it('every folder of src', () => {
    const listed = tableOf(sectionOf('Developing')).flatMap(([folder = '']) => spansOf(folder))
    const there = readdirSync(join(root, 'src'), { withFileTypes: true }).filter(entry => entry.isDirectory())
    for (const { name } of there) expect(listed).toContain(`src/${name}/`)
    for (const folder of listed) expect(existsSync(join(root, folder)), folder).toBe(true)
  })

  it('every command', () => {
    const usage = ({ name, operands }: { name: string; operands: string }) => `\`${`${name} ${operands}`.trim()}\``
    expect(tableOf(sectionOf('Commands'))).toEqual(commands.map(command => [usage(command), command.help]))
    const listed = spansOf(sectionOf('What it does not do'))
    for (const { name } of commands.filter(({ name }) => name !== 'stand' && name !== 'serve')) {
      expect(listed).not.toContain(name)
    }
  })

  it('every exit code', () => {
    const declared = [...read('src/cli/errors.ts').matchAll(/^export const EXIT_\w+ = (\d+)$/gm)].map(
      ([, code]) => code,
    )
    expect(tableOf(sectionOf('Exit codes', '###')).map(([code]) => code)).toEqual(declared)
  })

  it('every signal, in the words of the code', () => {
    expect(tableOf(sectionOf('Signals', '###'))).toEqual(
      SIGNALS.map(({ signals, does }) => [signals.map(name => name.replace(/^SIG/, '')).join(', '), does]),
    )
  })

  it('the rule of which callable an export is, in the words of the code', () => {
    const [comment = ''] = read('src/app/load/detect.ts').split('*/', 1)
    const rule = comment.replaceAll(/^ \* ?/gm, '')
    const text = sectionOf('Which one it is', '###')
    const rows = [...rule.matchAll(/^ {2}(\S.*?) +→ (.+)$/gm)].map(([, what, which]) => [what, which])
    expect(rows.length).toBeGreaterThan(4)
    expect(tableOf(text)).toEqual(rows)
    const sentences = rule.split('\n').filter(line => /^ {2}\d\. |^A /.test(line))
    expect(sentences.length).toBeGreaterThan(3)
    for (const sentence of sentences) expect(text).toContain(sentence.trim())
  })

  it.each(['nginx', 'apache', 'lighttpd'])('only lines that are in the configurations for %s, on its page', folder => {
    const files = readdirSync(join(root, 'deploy', folder))
    const texts = files.filter(name => name !== 'README.md').map(name => read(join('deploy', folder, name)))
    const [, ...tables] = read(join('deploy', folder, 'README.md')).split(/^\| line \|/m)
    const lines = tables.flatMap(table => tableOf(`| line |${table}`)).flatMap(([line = '']) => spansOf(line))
    expect(lines.length).toBeGreaterThan(5)
    for (const line of lines) {
      const parts = line.split('…').map(part => part.trim())
      expect(
        texts.some(text => parts.every(part => text.includes(part))),
        line,
      ).toBe(true)
    }
  })
})
