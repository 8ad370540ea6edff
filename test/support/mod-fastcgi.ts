/**
 * mod_fastcgi 2.4.7, imitated: Debian has no package of it. An HTTP server that speaks to the application as its source
 * does, with FastCgiExternalServer: a connection for each request, one PARAMS record for each pair, an END_REQUEST of exactly
 * eight bytes that says REQUEST_COMPLETE, no other record types but STDOUT and STDERR, no chunked uploads. What deploy/apache
 * has for it (-flush, -pass-header Authorization, static files, a limit for uploads) is imitated as well.
 */

import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { parseTarget, requestParams } from '../../src/front/params.ts'
import { ReplyWriter } from '../../src/front/reply.ts'
import type { Site } from './site.ts'
import { EVERYTHING, type WebServer, type WebServerKind } from './web-server.ts'
import { begin, END, PARAMS, pair, readRecords, rec, STDERR, STDIN, STDOUT, stdinEnd, stream } from './wire.ts'

export const modFastcgi = {
  name: 'Apache mod_fastcgi (imitated)',
  missing: undefined,
  spawns: false,
  start,
  limits: { ...EVERYTHING, keepsConnections: false, chunkedBody: 0 },
  reasons: {
    keepsConnections: 'mod_fastcgi makes a connection for each request (`mod_fastcgi.c`)',
    chunkedBody: 'mod_fastcgi answers 411 (`REQUEST_CHUNKED_ERROR`)',
  },
} satisfies WebServerKind

const LIMIT = 104_857_600

interface Host {
  readonly site: Site
  readonly mount: string
  log(text: string): void
}

async function start(site: Site): Promise<WebServer> {
  let text = ''
  const log = (line: string): void => {
    text += line
  }
  const hosts = ['', '/app'].map(mount => createServer((req, res) => answer(req, res, { site, mount, log })))
  const [port, mountPort] = (await Promise.all(hosts.map(listen))) as [number, number]
  const stop = async (): Promise<void> => {
    for (const host of hosts) host.closeAllConnections()
    await Promise.all(hosts.map(host => new Promise(resolve => host.close(resolve))))
  }
  return { port, mountPort, log: () => text, stop }
}

const listen = (server: Server): Promise<number> =>
  new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })

function answer(req: IncomingMessage, res: ServerResponse, host: Host): void {
  const { site, mount } = host
  const { path, query } = parseTarget(req.url ?? '') ?? {}
  if (path === undefined) end(res, 400)
  else if (path === mount && mount !== '') end(res, 301, { Location: `${mount}/${query ? `?${query}` : ''}` })
  else if (isFile(path, mount)) sendFile(res, join(site.folder, mount === '' ? '' : 'static', path))
  else if (Number(req.headers['content-length'] ?? 0) > LIMIT) end(res, 413)
  else if (req.headers['transfer-encoding'] !== undefined) end(res, 411)
  else exchange(req, res, host)
}

const isFile = (path: string, mount: string): boolean =>
  mount === '' ? path.startsWith('/static/') : !path.startsWith(`${mount}/`)

function end(res: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  res.writeHead(status, headers).end()
}

function sendFile(res: ServerResponse, file: string): void {
  try {
    res.end(readFileSync(file))
  } catch {
    // Whatever is wrong with it, it is not there for the client.
    end(res, 404)
  }
}

function exchange(req: IncomingMessage, res: ServerResponse, host: Host): void {
  const application = createConnection(host.site.socket)
  application.on('error', error => fail(res, host, error.message))
  application.write(begin(1, { keep: false }))
  for (const [name, value] of variables(req, host.mount)) application.write(rec(PARAMS, 1, pair(name, value)))
  application.write(rec(PARAMS, 1))
  req.on('data', (chunk: Buffer) => {
    if (application.write(stream(STDIN, 1, chunk, 8_192))) return
    req.pause()
    application.once('drain', () => req.resume())
  })
  req.on('end', () => application.write(stdinEnd(1)))
  res.on('close', () => application.destroy())
  new ReplyReader(application, req, res, host)
}

/** mod_fastcgi drops `Proxy` as Apache does. */
function variables(req: IncomingMessage, mount: string): readonly (readonly [string, string])[] {
  const { socket } = req
  const at = { address: '127.0.0.1', port: socket.localPort ?? 0 }
  const target = parseTarget(req.url ?? '')
  if (target === null) return []
  const { method = 'GET', httpVersion, rawHeaders } = req
  const remote = { address: '127.0.0.1', port: socket.remotePort ?? 0 }
  const request = { method, target, redirected: false, httpVersion, rawHeaders, secure: false, remote, local: at }
  return requestParams(request, mount, 'imitation of mod_fastcgi')
}

function fail(res: ServerResponse, { log }: Host, why: string): void {
  log(`FastCGI: ${why}\n`)
  if (res.headersSent) res.destroy()
  else end(res, 500)
}

/** Reads the records of one reply, and insists on what mod_fastcgi insists on. */
class ReplyReader {
  readonly #application: Socket
  readonly #res: ServerResponse
  readonly #host: Host
  readonly #writer: ReplyWriter
  #bytes = Buffer.alloc(0)
  #ended = false

  constructor(application: Socket, req: IncomingMessage, res: ServerResponse, host: Host) {
    this.#application = application
    this.#res = res
    this.#host = host
    this.#writer = new ReplyWriter(res, req.method ?? 'GET')
    application.on('data', chunk => this.#receive(chunk))
    application.on('end', () => {
      if (!this.#ended) fail(res, host, 'incomplete headers or body: the application closed the connection')
    })
    res.on('drain', () => application.resume())
  }

  #receive(chunk: Buffer): void {
    const { records, rest } = readRecords(Buffer.concat([this.#bytes, chunk]))
    this.#bytes = Buffer.from(rest)
    for (const { type, id, content } of records) this.#take(type, id, content)
    if (!this.#ended && !this.#writer.flush()) this.#application.pause()
  }

  #take(type: number, id: number, content: Buffer): void {
    if (id !== 1) this.#refuse(`request id ${id}`)
    else if (type === STDERR) this.#host.log(content.toString())
    else if (type === END) this.#end(content)
    else if (type !== STDOUT) this.#refuse(`record of type ${type}`)
    else if (content.length > 0 && !this.#writer.receive(content)) this.#application.pause()
  }

  #end(content: Buffer): void {
    if (this.#ended || content.length !== 8 || content[4] !== 0) {
      this.#refuse('an END_REQUEST that is not the first, or not REQUEST_COMPLETE')
      return
    }
    this.#ended = true
    if (!this.#writer.end(true)) this.#res.destroy()
    this.#application.end()
  }

  #refuse(why: string): void {
    fail(this.#res, this.#host, why)
    this.#application.destroy()
  }
}
