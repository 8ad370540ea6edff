/** A responder on a real socket, and applications at the level of the port (src/app/exchange.ts), for tests of the wire. */

import { mkdtempSync, rmSync } from 'node:fs'
import type { NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { AbortReason, Application, Exchange, RequestHandler } from '../../src/app/exchange.ts'
import type { Log } from '../../src/log.ts'
import { DEFAULT_LIMITS, type Limits } from '../../src/server/limits.ts'
import {
  type AccessRecord,
  createResponder,
  type Responder,
  type ResponderOptions,
} from '../../src/server/responder.ts'
import { bind } from '../../src/server/sockets/listen.ts'
import { until } from './until.ts'
import { type Client, type ClientOptions, connectClient } from './wire.ts'

export interface LogEntry {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly details: object
}

export interface Serving {
  readonly responder: Responder
  readonly target: NetConnectOpts
  readonly log: readonly LogEntry[]
  /** Requests that have ended, in that order. */
  readonly ended: readonly AccessRecord[]
  connect(options?: ClientOptions): Promise<Client>
}

export interface ServingOptions extends Partial<Omit<ResponderOptions, 'app' | 'log' | 'limits' | 'onRequestEnd'>> {
  readonly limits?: Partial<Limits>
  readonly over?: 'unix' | 'tcp'
  /** Nobody asks how a request has ended, as without an access log: `ended` stays empty. */
  readonly untold?: boolean
}

/** Serves `app` until the test is finished; then every client must be without fault and every socket closed. */
export async function serving(app: Application, options: ServingOptions = {}): Promise<Serving> {
  const { limits, over = 'unix', untold = false, ...rest } = options
  const folder = mkdtempSync(join(tmpdir(), 'wire-'))
  const path = join(folder, 's')
  const bound = await bind(over === 'unix' ? { kind: 'unix', path } : { kind: 'tcp', host: '127.0.0.1', port: 0 })
  const log: LogEntry[] = []
  const ended: AccessRecord[] = []
  const responder = createResponder({
    debug: false,
    ...rest,
    app,
    log: listLog(log),
    limits: { ...DEFAULT_LIMITS, ...limits },
    onRequestEnd: untold ? undefined : record => ended.push(record),
  })
  responder.attach(bound.server)
  const { address } = bound
  const target = address.kind === 'tcp' ? { host: '127.0.0.1', port: address.port } : { path }
  const clients: Client[] = []
  onTestFinished(async () => {
    for (const client of clients) client.socket.destroy()
    await responder.drain(0)
    await bound.close()
    rmSync(folder, { recursive: true })
    expect(clients.map(client => client.fault)).toEqual(clients.map(() => undefined))
    expect(responder.stats()).toMatchObject({ connections: 0, inflight: 0 })
  })
  const connect = async (clientOptions?: ClientOptions): Promise<Client> => {
    const client = await connectClient(target, clientOptions)
    clients.push(client)
    return client
  }
  return { responder, target, log, ended, connect }
}

function listLog(entries: LogEntry[]): Log {
  const at = (level: LogEntry['level']) => (details: object, message: string) =>
    void entries.push({ level, details, message })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** A request as the applications of these tests see it; what they do not set does nothing. */
export class RawRequest implements RequestHandler {
  readonly exchange: Exchange
  onStdin: (chunk: Buffer) => boolean = () => true
  onStdinEnd: () => void = () => {}
  onDrain: () => void = () => {}
  onAbort: (reason: AbortReason) => void = () => {}

  constructor(exchange: Exchange) {
    this.exchange = exchange
  }

  get params(): Record<string, string> {
    const { names, values } = this.exchange.params
    return Object.fromEntries(names.map((name, at) => [name, values[at] as string]))
  }

  /** The whole body. */
  body(): Promise<Buffer> {
    const chunks: Buffer[] = []
    this.onStdin = chunk => chunks.push(chunk) > 0
    const end = new Promise<Buffer>(settle => {
      this.onStdinEnd = () => settle(Buffer.concat(chunks))
    })
    if (this.exchange.bodyless) return Promise.resolve(Buffer.alloc(0))
    this.exchange.resumeStdin()
    return end
  }

  head(status = '200 OK', headers: Readonly<Record<string, string>> = {}): void {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const length = Number(headers['Content-Length'] ?? -1)
    this.exchange.head(Number.parseInt(status, 10), `Status: ${status}\r\n${lines.join('')}\r\n`, length)
  }

  reply(body: string | Uint8Array, status = '200 OK'): void {
    this.head(status, { 'Content-Type': 'text/plain', 'Content-Length': String(Buffer.byteLength(body)) })
    this.exchange.end(body)
  }
}

export function rawApplication(handle: (request: RawRequest) => void): Application {
  return {
    interface: 'node',
    handle(exchange) {
      const request = new RawRequest(exchange)
      handle(request)
      return request
    },
  }
}

/** An application that keeps its requests for the test to play with. */
export function keptRequests(): { app: Application; requests: RawRequest[]; nth(n: number): Promise<RawRequest> } {
  const requests: RawRequest[] = []
  return {
    app: rawApplication(one => requests.push(one)),
    requests,
    async nth(n) {
      await until(`request ${n}`, () => requests.length > n)
      return requests[n] as RawRequest
    },
  }
}

export const hello: Application = rawApplication(request => request.reply('hello'))

/** Answers with the body that it was sent. */
export const echo: Application = rawApplication(request => {
  void request.body().then(body => request.reply(body))
})

/** Answers with the CGI variables as JSON, each character one byte. */
export const variables: Application = rawApplication(request => request.reply(JSON.stringify(request.params)))
