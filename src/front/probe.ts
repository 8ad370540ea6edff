/**
 * `probe`: one request to any FastCGI responder, and everything that came back. For people who look for a fault, so it
 * also says what a web server would make of the reply. Knows the client side of FastCGI; prints nothing.
 */

import { hasNoBody } from '../cgi/reply.ts'
import { type Header, type ResponseHead, ResponseHeadError, ResponseHeadParser } from '../cgi/response.ts'
import { toPrintable } from '../cgi/url.ts'
import { ProtocolStatus, Role } from '../fcgi/constants.ts'
import { Connection, type ConnectionError, type ReplyListener } from './connection.ts'
import { hopByHop } from './hop-by-hop.ts'
import { type Entry, parseTarget, requestParams } from './params.ts'
import { formatTarget, type Target } from './target.ts'

export interface ProbeOptions {
  readonly target: Target
  /** Path and query. Default `/`. What an URL may not hold is percent-encoded as UTF-8. */
  readonly path?: string | undefined
  /** Default GET, or POST if there is a body. */
  readonly method?: string | undefined
  /** Request headers, besides Host (default `localhost`), User-Agent and, with a body, Content-Type (a form). */
  readonly headers?: readonly Header[] | undefined
  readonly body?: string | Uint8Array | undefined
  /** The prefix of the path that becomes SCRIPT_NAME. Default `''`. */
  readonly mount?: string | undefined
  /**
   * CGI variables to add or to replace: `SCRIPT_FILENAME` for PHP-FPM, for example. `FCGI_ROLE=AUTHORIZER`, which web servers
   * do not send, asks an authorizer.
   */
  readonly params?: Readonly<Record<string, string>> | undefined
  /** Milliseconds without a byte before it is given up. Default 10,000; 0 for no limit. */
  readonly timeoutMs?: number | undefined
  /** Called as soon as the head is there. */
  readonly onHead?: ((head: ResponseHead) => void) | undefined
  /** Takes the body as it arrives; without it the result holds it. */
  readonly onBody?: ((chunk: Buffer) => void) | undefined
}

/** Which of the two roles is asked. */
const roleOf = ({ params }: ProbeOptions): Role =>
  params?.FCGI_ROLE === 'AUTHORIZER' ? Role.authorizer : Role.responder

export interface ProbeResult {
  /** The address, as it is written in settings. */
  readonly target: string
  readonly method: string
  readonly uri: string
  readonly status: number
  readonly reason: string
  readonly headers: readonly Header[]
  /** Empty if `onBody` took it. */
  readonly body: Buffer
  readonly bodyLength: number
  /** What came as FCGI_STDERR. */
  readonly stderr: string
  readonly appStatus: number
  /** Milliseconds from the start until the connection stood, the head was complete, and the request had ended. */
  readonly timing: { readonly connect: number; readonly head: number; readonly total: number }
  /** What a web server would stumble over. */
  readonly notes: readonly string[]
}

export type ProbeErrorCode = 'usage' | 'connect' | 'closed' | 'protocol' | 'timeout' | 'refused' | 'bad-reply'

/** No reply that could be shown. The message is one line; `stderr` is what came as FCGI_STDERR until then. */
export class ProbeError extends Error {
  override readonly name = 'ProbeError'
  readonly code: ProbeErrorCode
  readonly stderr: string

  constructor(code: ProbeErrorCode, message: string, stderr = '', cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.stderr = stderr
  }
}

const PROTOCOL_STATUS: ReadonlyMap<number, string> = new Map([
  [ProtocolStatus.cantMpxConn, 'CANT_MPX_CONN: it does not multiplex'],
  [ProtocolStatus.overloaded, 'OVERLOADED: it has no room for another request'],
  [ProtocolStatus.unknownRole, 'UNKNOWN_ROLE: it does not serve that role'],
])

/** nginx reads a head of one page unless `fastcgi_buffer_size` says more. */
const NGINX_HEAD = 4_096

/** Text as FastCGI carries it: its UTF-8 bytes, one a character. */
const asBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

function rawHeadersOf({ headers = [], body }: ProbeOptions): string[] {
  const given = new Set(headers.map(([name]) => name.toLowerCase()))
  const all: Header[] = [...headers]
  const add = (name: string, value: string): void => {
    if (!given.has(name.toLowerCase())) all.push([name, value])
  }
  add('Host', 'localhost')
  add('User-Agent', 'runfcgi-probe')
  add('Accept', '*/*')
  if (body !== undefined) {
    add('Content-Type', 'application/x-www-form-urlencoded')
    add('Content-Length', String(Buffer.byteLength(body)))
  }
  return all.flatMap(([name, value]) => [name, asBytes(value)])
}

/** The variables of the request; no web server stands between, so most are made up. */
function paramsOf(options: ProbeOptions, method: string): { uri: string; params: Iterable<Entry> } {
  const path = options.path ?? '/'
  const target = parseTarget(toPrintable(asBytes(path)))
  if (target === null) throw new ProbeError('usage', `${JSON.stringify(path)} is no path: write /path?query`)
  const endpoint = { address: '127.0.0.1', port: 0 }
  const port = options.target.kind === 'tcp' ? options.target.port : 80
  const request = { method, target, httpVersion: '1.1', rawHeaders: rawHeadersOf(options) }
  const facts = { ...request, redirected: false, secure: false, remote: endpoint, local: { ...endpoint, port } }
  const params = new Map(requestParams(facts, options.mount ?? '', 'runfcgi-probe'))
  // php-cgi refuses to work without it.
  params.set('REDIRECT_STATUS', '200')
  for (const [name, value] of Object.entries(options.params ?? {})) params.set(name, asBytes(value))
  return { uri: target.uri, params }
}

/** One probe under way. */
class Probe implements ReplyListener {
  readonly result: Promise<ProbeResult>
  readonly #options: ProbeOptions
  readonly #method: string
  readonly #uri: string
  readonly #connection: Connection
  readonly #parser = new ResponseHeadParser()
  readonly #started = performance.now()
  readonly #body: Buffer[] = []
  readonly #stderr: Buffer[] = []
  readonly #notes: string[] = []
  #resolve: (result: ProbeResult) => void = () => {}
  #reject: (error: ProbeError) => void = () => {}
  #timer: NodeJS.Timeout | null = null
  #head: ResponseHead | null = null
  #headLength = 0
  #bodyLength = 0
  #stdoutEnded = false
  #connectedAt = -1
  #headAt = -1

  constructor(options: ProbeOptions) {
    this.#options = options
    this.#method = options.method ?? (options.body === undefined ? 'GET' : 'POST')
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    const { uri, params } = paramsOf(options, this.#method)
    this.#uri = uri
    const timeoutMs = options.timeoutMs ?? 10_000
    if (timeoutMs > 0) this.#timer = setTimeout(() => this.#timedOut(timeoutMs), timeoutMs)
    this.#connection = new Connection(options.target)
    const hasBody = options.body !== undefined
    this.#connection.start(this, { params, hasBody, keepConn: false, role: roleOf(options) })
  }

  onConnected(): void {
    this.#connectedAt = this.#elapsed()
    this.#timer?.refresh()
    const { body } = this.#options
    if (body === undefined) return
    this.#connection.write(typeof body === 'string' ? Buffer.from(body) : body)
    this.#connection.endBody()
  }

  onStdout(chunk: Buffer): void {
    if (this.#stdoutEnded) this.#note('STDOUT goes on after its end: nginx answers 502')
    if (this.#head !== null) {
      this.#take(chunk)
      return
    }
    try {
      const parsed = this.#parser.receive(chunk)
      this.#headLength += chunk.length
      if (parsed === null) return
      this.#head = parsed.head
      this.#headLength -= parsed.rest.length
      this.#headAt = this.#elapsed()
      this.#options.onHead?.(parsed.head)
      this.#take(parsed.rest)
    } catch (error) {
      if (!(error instanceof ResponseHeadError)) throw error
      this.#fail('bad-reply', error.message, error)
    }
  }

  onStdoutEnd(): void {
    this.#stdoutEnded = true
    if (this.#head === null) this.#note('STDOUT ended before the response head: nginx answers 502')
  }

  onStderr(chunk: Buffer): void {
    this.#stderr.push(chunk)
  }

  onBatchEnd(): void {
    this.#timer?.refresh()
  }

  onDrain(): void {
    this.#timer?.refresh()
  }

  onEnd(appStatus: number, protocolStatus: number): void {
    if (protocolStatus !== ProtocolStatus.requestComplete) {
      const why = PROTOCOL_STATUS.get(protocolStatus) ?? `protocolStatus ${protocolStatus}`
      this.#fail('refused', `${formatTarget(this.#options.target)} refused the request (${why})`)
    } else if (this.#head === null) {
      const error = this.#parser.ended()
      this.#fail('bad-reply', error.message, error)
    } else this.#succeed(this.#head, appStatus)
  }

  onFailure(error: ConnectionError): void {
    this.#fail(error.code, error.message, error)
  }

  #take(chunk: Buffer): void {
    this.#bodyLength += chunk.length
    if (chunk.length === 0) return
    if (this.#options.onBody === undefined) this.#body.push(chunk)
    else this.#options.onBody(chunk)
  }

  #elapsed(): number {
    return performance.now() - this.#started
  }

  #note(text: string): void {
    if (!this.#notes.includes(text)) this.#notes.push(text)
  }

  #timedOut(timeoutMs: number): void {
    const where = formatTarget(this.#options.target)
    const seconds = timeoutMs / 1000
    if (this.#connectedAt < 0) this.#fail('timeout', `${where}: timed out after ${seconds} s, not connected`)
    else if (this.#head === null)
      this.#fail('timeout', `${where}: timed out after ${seconds} s, connected but no reply`)
    else this.#fail('timeout', `${where}: timed out after ${seconds} s without a byte, in the middle of the reply`)
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#connection.abandon()
  }

  #stderrText(): string {
    return Buffer.concat(this.#stderr).toString()
  }

  #fail(code: ProbeErrorCode, message: string, cause?: unknown): void {
    this.#stop()
    this.#reject(new ProbeError(code, message, this.#stderrText(), cause))
  }

  #succeed(head: ResponseHead, appStatus: number): void {
    this.#stop()
    this.#noteHead(head)
    this.#noteBody(head, appStatus)
    this.#resolve({
      target: formatTarget(this.#options.target),
      method: this.#method,
      uri: this.#uri,
      status: head.status,
      reason: head.reason,
      headers: head.headers,
      body: Buffer.concat(this.#body),
      bodyLength: this.#bodyLength,
      stderr: this.#stderrText(),
      appStatus,
      timing: { connect: this.#connectedAt, head: this.#headAt, total: this.#elapsed() },
      notes: this.#notes,
    })
  }

  #noteHead(head: ResponseHead): void {
    const hops = hopByHop([])
    for (const [name] of head.headers) {
      if (hops.has(name.toLowerCase()))
        this.#note(`the header ${name} is for the web server to set: some obey it, some fail`)
    }
    if (this.#headLength > NGINX_HEAD) {
      this.#note(`a head of ${this.#headLength} bytes: nginx answers 502 unless fastcgi_buffer_size is larger`)
    }
    if (head.localRedirect !== null)
      this.#note('a local redirect: Apache and lighttpd follow it themselves, nginx sends it')
  }

  #noteBody(head: ResponseHead, appStatus: number): void {
    const length = this.#bodyLength
    const bodyless = hasNoBody(this.#method, head.status)
    if (bodyless && length > 0) this.#note(`a body of ${length} bytes where there must be none`)
    if (!bodyless && head.contentLength >= 0 && head.contentLength !== length) {
      this.#note(`Content-Length says ${head.contentLength} bytes, but ${length} came`)
    }
    if (appStatus !== 0) this.#note(`the application ended with status ${appStatus}`)
  }
}

/**
 * Sends one request and waits for the whole reply.
 * @throws ProbeError
 */
export async function probe(options: ProbeOptions): Promise<ProbeResult> {
  return new Probe(options).result
}
