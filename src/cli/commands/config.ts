/** `config`: prints a configuration for the settings in force, and asks the program that it is for whether it accepts it. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../../config/errors.ts'
import { nearest } from '../../config/nearest.ts'
import type { Resolved } from '../../config/resolve.ts'
import { joinWords } from '../../config/words.ts'
import { ADDRESSLESS, programs } from '../../front/config/servers.ts'
import type { Form, Site } from '../../front/config/site.ts'
import type { Target } from '../../front/target.ts'
import { addressesOf, reachable } from '../addresses.ts'
import type { Invocation } from '../commands.ts'
import { EXIT_OK } from '../errors.ts'
import { settingsFor } from '../settings.ts'
import { serviceOf } from './service.ts'

/** Where a web server is told to stop an upload unless somebody says: all but nginx have no limit, or a huge one. */
const UPLOAD_LIMIT = 100 * 2 ** 20

/** Prints the configuration on standard output. Resolves to 1 if `--check` finds that the program refuses it. */
export async function config(invocation: Invocation): Promise<number> {
  const [server, form] = chosen(invocation.operands)
  const resolved = await settingsFor(invocation)
  const site = siteOf(resolved, invocation, ADDRESSLESS.has(form.name))
  const text = form.generate(site)
  process.stdout.write(text)
  for (const warning of [sourceServed(site), withoutTls(server, site, text)])
    if (warning !== undefined) process.stderr.write(`runfcgi: ${warning}\n`)
  if (!resolved.config.check) return EXIT_OK
  return (await import('./rehearse.ts')).rehearse(server, form.name, text)
}

/** Beside an application below a prefix every file of the document root is served. */
function sourceServed({ everything, root }: Site): string | undefined {
  if (!everything || !existsSync(join(root, 'package.json'))) return undefined
  return `document-root=${root} holds a package.json: all files in it are served, those of the application as well`
}

/** Certificates have no settings here. Caddy gets them by itself. */
function withoutTls(server: string, { port }: Site, text: string): string | undefined {
  if (port !== 443 || server === 'caddy' || !/\b443\b/.test(text.replace(/^ *#.*/gm, ''))) return undefined
  return `server-port=443: ${server} would speak plain HTTP there until it is told a certificate`
}

/** @throws UsageError */
function chosen([server = '', name, ...more]: readonly string[]): readonly [string, Form] {
  const forms = programs.get(server)
  if (forms === undefined) {
    const what = server === '' ? 'a configuration for what?' : `no configuration for '${server}'`
    throw new UsageError(unknown(what, server, [...programs.keys()]))
  }
  const form = name === undefined ? forms[0] : forms.find(form => form.name === name)
  if (form === undefined || more.length > 0) {
    const word = [name, ...more].join(' ')
    const known = forms.map(form => form.name)
    throw new UsageError(unknown(`no form '${word}' for ${server}`, word, known))
  }
  return [server, form]
}

function unknown(what: string, word: string, known: readonly string[]): string {
  const meant = nearest(word, known)
  if (word !== '' && meant !== undefined) return `${what}; did you mean '${meant}'?`
  const list = `${known.slice(0, -1).join(', ')}${known.length > 1 ? ' or ' : ''}${known.at(-1)}`
  return `${what}${word === '' ? '' : ':'} say ${list}`
}

/** @throws UsageError */
function siteOf(resolved: Resolved, invocation: Invocation, addressless: boolean): Site {
  const { config } = resolved
  const mount = mountOf(resolved)
  const root = config.documentRoot ?? config.workdir ?? process.cwd()
  const site = {
    command: commandLine(invocation),
    backends: addressless ? [] : backendsOf(resolved),
    names: config.serverName,
    port: config.serverPort,
    mount,
    root: root.replace(/(?<=.)\/+$/, ''),
    statics: config.static,
    everything: mount !== '' && config.documentRoot !== undefined,
    maxBody: maxBodyOf(resolved),
    oneAtATime: config.concurrency === 1,
    ping: pingOf(resolved),
    handedOver: config.sendfile,
    script: join(config.workdir ?? root, 'mysite.fcgi'),
    service: serviceOf(resolved, invocation),
  }
  if (!isPlain(site)) throw new UsageError('settings for a configuration must not contain control characters')
  if (!site.everything) return site
  return { ...site, statics: site.statics.filter(path => path.startsWith(`${mount}/`)) }
}

/** `max-body-size=0` is said by somebody who wants no limit anywhere; that it is the default is no reason to have none. */
function maxBodyOf({ config: { maxBodySize }, given }: Resolved): number | undefined {
  if (maxBodySize > 0) return maxBodySize
  return given.has('max-body-size') ? undefined : UPLOAD_LIMIT
}

function backendsOf(resolved: Resolved): readonly Target[] {
  const addresses = addressesOf(resolved)
  if (addresses.length === 0) throw new UsageError('where does the application listen? say socket=PATH or port=NUMBER')
  return addresses.map(address => {
    if (address.kind === 'fd') return resolved.refuse('listen', 'a web server cannot be told a descriptor')
    if (address.kind === 'tcp' && address.port === 0)
      return resolved.refuse('port', 'the web server has to know the port')
    const target = reachable(address)
    if (target.kind === 'unix') return { kind: 'unix', path: target.path }
    if (!/^[\w.:-]+$/.test(target.host)) return resolved.refuse('host', 'must be a name or an address')
    return { kind: 'tcp', host: target.host, port: target.port }
  })
}

/** Written into regular expressions and paths of every syntax there is, so that only plain ones will do. */
function mountOf({ config, refuse }: Resolved): string {
  const mount = config.mount ?? ''
  if (/^(\/[\w.~-]+)*$/.test(mount)) return mount
  return refuse('mount', 'for a web server it must be made of letters, digits and . _ ~ -')
}

function pingOf({ config: { ping }, refuse }: Resolved): string | undefined {
  if (ping === undefined || /^(\/[\w.~-]+)+$/.test(ping)) return ping
  return refuse('ping', 'for a web server it must be made of letters, digits and . _ ~ -')
}

/** A line break anywhere would end a comment, a directive, or both; YAML knows some that Unicode has. */
function isPlain(value: unknown): boolean {
  if (typeof value === 'string') return !/[\0-\x1f\x7f-\x9f\u2028\u2029\ufeff]/.test(value)
  return typeof value !== 'object' || value === null || Object.values(value).every(isPlain)
}

/** As it can be typed again. */
function commandLine({ operands, words }: Invocation): string {
  const settings = words.filter(([name]) => name !== 'check').map(([name, value]) => `${name}=${value}`)
  return joinWords(['runfcgi', 'config', ...operands, ...settings])
}
