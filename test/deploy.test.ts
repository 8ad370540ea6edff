/**
 * The pages of deploy/, and the README on a fresh Debian: their commands are typed, one after the other, on a machine where
 * the web server is as its package installs it (test/support/debian.ts), and print what the page shows.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { webServers } from '../src/front/config/servers.ts'
import { inDebian, noDebian, type Typed } from './support/debian.ts'

if (noDebian !== undefined)
  console.warn(`SKIPPED: the commands of the deployment pages, because there are no ${noDebian} here`)

const root = fileURLToPath(new URL('..', import.meta.url))

interface Page {
  readonly file: string
  readonly text: string
  /** The folder in /etc that the web server has. */
  readonly folder: string
}

const FOLDERS: Readonly<Record<string, string>> = { apache: 'apache2' }

const pages: readonly Page[] = [...webServers.keys()].map(name => {
  const file = `deploy/${name}/README.md`
  return { file, text: readFileSync(join(root, file), 'utf8'), folder: FOLDERS[name] ?? name }
})

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const [, fresh = ''] = readme.split(/^### On a fresh Debian with nginx$/m)

const blocksOf = (text: string, info: RegExp): [info: string, content: string][] =>
  [...text.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)]
    .filter(([, name = '']) => info.test(name))
    .map(([, name = '', content = '']) => [name, content])

const typedIn = (text: string): Typed[] =>
  blocksOf(text, /^console/).flatMap(([, content]) =>
    content
      .split(/^\$ /m)
      .slice(1)
      .map(part => ({ command: part.slice(0, part.indexOf('\n')), shown: part.slice(part.indexOf('\n') + 1) })),
  )

const filesIn = (text: string): Record<string, string> =>
  Object.fromEntries(blocksOf(text, /^js /).map(([info, content]) => [info.slice(3), content]))

const isThere = ({ folder }: Page): boolean => existsSync(join('/etc', folder))

async function prove({ text, folder }: Page): Promise<void> {
  const typed = typedIn(text)
  const said = await inDebian(folder, { 'package.json': '{ "type": "module" }', ...filesIn(text) }, typed)
  const expected = typed.map(({ command, shown }) => ({ command, output: shown, code: 0 }))
  expect(said.map(one => ({ ...one, output: plain(one.output) }))).toEqual(expected)
}

/** The check of a configuration names a folder that is there for it alone. */
const plain = (output: string): string => output.replace(/^(runfcgi: checked: \S+ -t) .*$/m, '$1')

describe.skipIf(noDebian !== undefined)('what a page shows happens on a fresh Debian', () => {
  for (const page of pages) it.skipIf(!isThere(page))(page.file, () => prove(page), 300_000)

  const folder = 'nginx'
  const [, ...sections] = fresh.split(/^#{2,3} /m)
  const text = sections.length > 0 ? fresh.slice(0, fresh.search(/^#{2,3} /m)) : fresh
  it.skipIf(!existsSync('/etc/nginx'))(
    'README.md',
    async () => {
      expect(typedIn(text)).toHaveLength(5)
      await prove({ file: 'README.md', text, folder })
    },
    300_000,
  )
})

it('deploy/README.md links only to what there is', () => {
  const text = readFileSync(join(root, 'deploy/README.md'), 'utf8')
  const targets = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target = '']) => target)
  expect(targets.length).toBeGreaterThan(10)
  expect(targets.filter(target => !existsSync(join(root, 'deploy', target)))).toEqual([])
})

describe('each page', () => {
  it.each(pages.map(page => [page.file, page] as const))(
    '%s links to every configuration beside it, and to no other',
    (file, { text }) => {
      const linked = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target = '']) => target)
      const there = readdirSync(join(root, dirname(file))).filter(name => !/README|mysite\.fcgi/.test(name))
      expect(linked.toSorted()).toEqual(there.toSorted())
    },
  )

  it('says which file a block is, which a rendered page does not show', () => {
    for (const { file, text } of pages) {
      const shown = text.replaceAll(/^```.*$/gm, '')
      const unnamed = Object.keys(filesIn(text)).filter(name => !shown.includes(name))
      expect({ file, unnamed }).toEqual({ file, unnamed: [] })
    }
  })

  it('shows no shell command that is not typed', () => {
    for (const { text } of pages) expect(blocksOf(text, /^(sh|bash|shell)\b/)).toEqual([])
  })
})
