/** The HTTP server that `serve` puts in front of the FastCGI one, with a real socket between them. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Resolved } from '../../config/resolve.ts'
import { createGateway, type GatewayListen } from '../../front/gateway.ts'
import type { Log, ServerLog } from '../../log.ts'
import { type Address, parseAddress } from '../../server/sockets/address.ts'
import { ListenError } from '../../server/sockets/listen-error.ts'
import { errnoOf } from '../../server/thrown.ts'
import { reachable } from '../addresses.ts'
import { CommandError } from '../errors.ts'
import type { Life } from './life.ts'

export interface Front {
  readonly url: string
  close(graceMs: number): Promise<void>
}

/** A socket in a folder that only this user can enter; both go at the end. */
export function privateSocket(life: Life): Address {
  const folder = privateFolder()
  life.atExit(() => rmSync(folder, { recursive: true, force: true }))
  return { kind: 'unix', path: join(folder, 'serve.sock'), mode: 0o600 }
}

function privateFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'runfcgi-'))
  } catch (error) {
    const todo = 'let TMPDIR name one that can be, or say socket=PATH'
    throw new CommandError(`folder ${tmpdir()} for temporary files cannot be written (${errnoOf(error)}): ${todo}`)
  }
}

export interface TwoEnds {
  /** For the responder. */
  readonly log: Log
  /** For what the gateway reads from FCGI_STDERR. */
  readonly onStderr: (text: string) => void
}

/** A worker's log takes another way than its replies: in milliseconds, how long a stack waits for the same one in the log. */
const ECHO_MS = 500

/** Errors in the log whose echo may still come, at most: some have none. */
const MAX_LOGGED = 32

/**
 * An error of the application is logged and goes to FCGI_STDERR, and either may be here first; where both ends are ours, once
 * is enough.
 */
export function withoutEcho(log: ServerLog): TwoEnds {
  const logged: string[] = []
  const held: string[] = []
  const error = (details: object, message: string): void => {
    const text = 'err' in details && details.err instanceof Error ? `${details.err.stack}\n` : ''
    if (text !== '' && !take(held, text)) logged.splice(0, logged.push(text) - MAX_LOGGED)
    log.error(details, message)
  }
  return {
    log: { debug: log.debug.bind(log), info: log.info.bind(log), warn: log.warn.bind(log), error },
    onStderr: text => {
      if (take(logged, text)) return
      if (!hasStack(text)) {
        log.print('err', text)
        return
      }
      held.push(text)
      setTimeout(() => void (take(held, text) && log.print('err', text)), ECHO_MS)
    },
  }
}

const hasStack = (text: string): boolean => text.includes('\n    at ')

/** Takes one such text out; false if there is none. */
function take(texts: string[], text: string): boolean {
  const at = texts.indexOf(text)
  if (at >= 0) texts.splice(at, 1)
  return at >= 0
}

/** @throws GatewayError, UsageError, CommandError */
export async function openFront(
  resolved: Resolved,
  addresses: readonly Address[],
  { log, onStderr }: TwoEnds,
): Promise<Front> {
  const { config, refuse } = resolved
  const target = addresses.find(address => address.kind !== 'fd')
  if (target === undefined) return refuse('listen', "'serve' needs a socket or a port that it can connect to")
  const tls = readTls(resolved)
  const gateway = createGateway({
    target: reachable(target),
    log,
    mount: config.mount,
    tls,
    onStderr,
  })
  const { url } = await gateway.listen(httpAddress(resolved))
  return {
    url: url.startsWith('/') ? `unix:${url}` : `${url}${config.mount ?? ''}`,
    close: graceMs => gateway.close(graceMs),
  }
}

function httpAddress({ config, refuse }: Resolved): GatewayListen {
  try {
    const address = parseAddress(config.http)
    if (address.kind === 'unix') return { path: address.path }
    if (address.kind === 'tcp') return { host: address.host === '' ? '::' : address.host, port: address.port }
  } catch (error) {
    if (error instanceof ListenError) return refuse('http', error.message)
    throw error
  }
  return refuse('http', 'must be a host and port, or a Unix socket')
}

function readTls({ config, describe }: Resolved): { cert: Buffer; key: Buffer } | undefined {
  if (config.tlsCert === undefined || config.tlsKey === undefined) return undefined
  const read = (name: 'tls-cert' | 'tls-key', path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (error) {
      throw new CommandError(`${describe(name)}: cannot be read (${errnoOf(error)})`)
    }
  }
  return { cert: read('tls-cert', config.tlsCert), key: read('tls-key', config.tlsKey) }
}
