/**
 * A `Response` whose status, headers and body are known without asking undici, when it was made from text, bytes or nothing
 * and from plain headers: what nearly every handler makes. Anything else, and anything unusual that is asked of it later, is
 * done by a genuine Response inside. `instanceof Response` holds, here and for genuine ones.
 *
 * Fetch standard §5.5 (Response class). Installed as the global Response by src/app/fetch/light-globals.ts.
 */

import { TOKEN } from '../../cgi/grammar.ts'
import type { Header } from '../../cgi/reply.ts'
import { NativeHeaders } from './light-headers.ts'
import { standIn } from './stand-in.ts'

export const NativeResponse = globalThis.Response

type Body = ConstructorParameters<typeof Response>[0]

/** A reply that can be sent as it is. */
export interface LightReply {
  readonly status: number
  readonly statusText: string
  readonly headers: readonly Header[]
  readonly body: string | Uint8Array | null
}

const NONE: readonly Header[] = []
const TEXT_TYPE: Header = ['content-type', 'text/plain;charset=UTF-8']
const JSON_TYPE: Header = ['content-type', 'application/json']
const TEXT: readonly Header[] = [TEXT_TYPE]

/** Values that no `Headers` would have to change or refuse. Others are left to the genuine class. */
const VALUE = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/

/**
 * The standard copies bytes when a Response is made of them. A buffer that is used again and again is a small one; large
 * ones are taken as they are and must not change until they were sent, as with http.ServerResponse.
 */
const COPY_BELOW = 16_384

export class LightResponse {
  #status = 200
  #statusText = ''
  #list: readonly Header[] = NONE
  #body: string | Uint8Array | null = null
  /** Once somebody has asked for the headers, these are the ones that count. */
  #headers: Headers | undefined
  #native: Response | undefined
  #size = -1

  constructor(body?: Body, init?: ResponseInit) {
    if (this.#take(body, init)) return
    this.#native = new NativeResponse(body, init)
    if (body instanceof Blob) this.#size = body.size
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data)
    if (text === undefined) throw new TypeError('The data is not JSON serializable')
    const response = new LightResponse(text, init)
    if (response.#native !== undefined) return NativeResponse.json(data, init)
    // The constructor put the type of text there, unless init had one.
    if (response.#list.at(-1) === TEXT_TYPE) response.#list = [...response.#list.slice(0, -1), JSON_TYPE]
    return response as unknown as Response
  }

  /** What to send, unless the genuine Response has to be asked. */
  static replyOf(value: unknown): LightReply | undefined {
    if (typeof value !== 'object' || value === null || !(#status in value)) return undefined
    return value.#native === undefined ? value.#reply() : undefined
  }

  /** Bytes of the body where a genuine Response knows and does not tell: of a Blob. -1: not known. */
  static sizeOf(value: object): number {
    return #size in value ? value.#size : -1
  }

  get status(): number {
    return this.#native === undefined ? this.#status : this.#native.status
  }

  get statusText(): string {
    return this.#native === undefined ? this.#statusText : this.#native.statusText
  }

  get ok(): boolean {
    const { status } = this
    return status >= 200 && status <= 299
  }

  get headers(): Headers {
    if (this.#headers === undefined) {
      this.#headers =
        this.#native === undefined ? new NativeHeaders(this.#list as [string, string][]) : this.#native.headers
    }
    return this.#headers
  }

  get body(): Response['body'] {
    return this.native().body
  }

  get bodyUsed(): boolean {
    return this.#native?.bodyUsed ?? false
  }

  get type(): Response['type'] {
    return this.#native?.type ?? 'default'
  }

  get url(): string {
    return this.#native?.url ?? ''
  }

  get redirected(): boolean {
    return this.#native?.redirected ?? false
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.native().arrayBuffer()
  }

  blob(): Promise<Blob> {
    return this.native().blob()
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.native().arrayBuffer())
  }

  formData(): Promise<FormData> {
    return this.native().formData() as Promise<FormData>
  }

  json(): Promise<unknown> {
    return this.native().json()
  }

  text(): Promise<string> {
    return this.native().text()
  }

  clone(): Response {
    const { body } = this.native().clone()
    return new NativeResponse(body as Body, this as ResponseInit)
  }

  /** The genuine Response. If headers had been handed out before, `headers` still has the ones that count. */
  native(): Response {
    if (this.#native === undefined) {
      // As bytes: text would bring a Content-Type along, which may have been taken away on purpose.
      const body = typeof this.#body === 'string' ? Buffer.from(this.#body) : this.#body
      this.#native = new NativeResponse(body as Body, this as ResponseInit)
      this.#headers ??= this.#native.headers
    }
    return this.#native
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): Response {
    return this.native()
  }

  /** Takes what the constructor was given, if it is of the simple kind and valid. */
  #take(body: unknown, init: ResponseInit | undefined): boolean {
    if (body !== null && body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) return false
    if (init !== undefined && !this.#takeInit(init, body ?? null)) return false
    if (typeof body === 'string') {
      this.#body = body
      if (this.#list === NONE) this.#list = TEXT
      else if (!this.#list.some(isContentType)) this.#list = [...this.#list, TEXT_TYPE]
    } else if (body !== null && body !== undefined) this.#body = body.length < COPY_BELOW ? Buffer.from(body) : body
    return true
  }

  #takeInit(init: ResponseInit, body: unknown): boolean {
    if (init === null || typeof init !== 'object') return false
    const { status = 200, statusText = '' } = init
    if (!Number.isInteger(status) || status < 200 || status > 599) return false
    if (body !== null && (status === 204 || status === 205 || status === 304)) return false
    if (statusText !== '' && (typeof statusText !== 'string' || !VALUE.test(statusText))) return false
    const list = #list in init && init.#headers === undefined ? init.#known() : listOf(init.headers)
    if (list === undefined) return false
    this.#status = status
    this.#statusText = statusText
    this.#list = list
    return true
  }

  /** The headers as a list, if nobody can have changed them. */
  #known(): readonly Header[] | undefined {
    return this.#native === undefined ? this.#list : listOf(this.headers)
  }

  #reply(): LightReply {
    return {
      status: this.#status,
      statusText: this.#statusText,
      headers: this.#headers === undefined ? this.#list : [...this.#headers],
      body: this.#body,
    }
  }
}

standIn(LightResponse, NativeResponse)

function isContentType(header: Header): boolean {
  return header[0].length === 12 && header[0].toLowerCase() === 'content-type'
}

/** Headers as a list; undefined if they are of a kind, or hold something, that the genuine class should see. */
function listOf(headers: ResponseInit['headers'] | null): readonly Header[] | undefined {
  if (headers === undefined) return NONE
  if (headers instanceof NativeHeaders) return [...headers]
  if (typeof headers !== 'object' || headers === null || Symbol.iterator in headers) return undefined
  const list: Header[] = []
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (typeof value !== 'string' || !TOKEN.test(name) || !VALUE.test(value)) return undefined
    list.push([name, value])
  }
  return list
}
