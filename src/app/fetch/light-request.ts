/**
 * A `Request` that costs next to nothing until something unusual is asked of it. Method, URL, headers and the whole body
 * come straight from the exchange; a genuine Request is built for the rest (`body`, `clone`, `signal` of a copy …), and from
 * then on it is the one that is asked.
 *
 * `instanceof Request` holds. `new Request(light)` and `fetch(light)` hold where src/app/fetch/light-globals.ts is installed,
 * which is why light requests are handed out nowhere else. Fetch standard §5.4 (Request class), §5.3 (Body mixin).
 */

import { LightHeaders } from './light-headers.ts'
import type { RequestBody } from './request-body.ts'
import { standIn } from './stand-in.ts'

export const NativeRequest = globalThis.Request
const NativeResponse = globalThis.Response

/** What a request is made from. Everything but method and url is asked for once, when it is needed. */
export interface RequestSource {
  /** As the Request constructor would have it. */
  readonly method: string
  /** Absolute and serialized. */
  readonly url: string
  /** False: the body is null. */
  readonly hasBody: boolean
  headerRecord(): Record<string, string>
  body(): RequestBody
  readonly signal: AbortSignal
}

const decoder = new TextDecoder()

export class LightRequest {
  readonly #source: RequestSource
  #headers: LightHeaders | undefined
  #native: Request | undefined
  #used = false

  constructor(source: RequestSource) {
    this.#source = source
  }

  static isLight(value: unknown): value is LightRequest {
    return typeof value === 'object' && value !== null && #source in value
  }

  get method(): string {
    return this.#source.method
  }

  get url(): string {
    return this.#source.url
  }

  get headers(): Headers {
    if (this.#native !== undefined) return this.#native.headers
    this.#headers ??= new LightHeaders(this.#source.headerRecord())
    return this.#headers as unknown as Headers
  }

  get signal(): AbortSignal {
    return this.#source.signal
  }

  get body(): Request['body'] {
    return this.#source.hasBody ? this.native().body : null
  }

  get bodyUsed(): boolean {
    return this.#native === undefined ? this.#used : this.#native.bodyUsed
  }

  async text(): Promise<string> {
    return this.#native === undefined ? decoder.decode(await this.#take()) : this.#native.text()
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await this.bytes()
    return bytes.buffer as ArrayBuffer
  }

  async bytes(): Promise<Uint8Array> {
    return this.#native === undefined ? ownBytes(await this.#take()) : new Uint8Array(await this.#native.arrayBuffer())
  }

  async blob(): Promise<Blob> {
    return (await this.#asResponse()).blob()
  }

  async formData(): Promise<FormData> {
    return (await this.#asResponse()).formData() as Promise<FormData>
  }

  clone(): Request {
    return this.native().clone()
  }

  /** The genuine Request. */
  native(): Request {
    this.#native ??= buildNative(this.#source, this.headers, this.#used)
    return this.#native
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): Request {
    return this.native()
  }

  #take(): Promise<Buffer> {
    if (!this.#source.hasBody) return Promise.resolve(Buffer.alloc(0))
    if (this.#used) return Promise.reject(new TypeError('Body is unusable: Body has already been read'))
    this.#used = true
    return this.#source.body().collect()
  }

  /** For what needs the Content-Type: undici parses it, and multipart bodies, the same for both. */
  async #asResponse(): Promise<Response> {
    const body = this.#native === undefined ? await this.#take() : await this.#native.arrayBuffer()
    const type = this.headers.get('content-type')
    return new NativeResponse(body, type === null ? {} : { headers: { 'content-type': type } })
  }
}

/** Copied if it is a piece of a larger buffer: whoever gets an ArrayBuffer gets all of it. */
function ownBytes({ buffer, byteOffset, length }: Buffer): Uint8Array {
  const bytes = new Uint8Array(buffer, byteOffset, length)
  return length === buffer.byteLength ? bytes : bytes.slice()
}

/** Seldom asked for: what the genuine Request says. */
const seldom = [
  'cache',
  'credentials',
  'destination',
  'duplex',
  'integrity',
  'isHistoryNavigation',
  'isReloadNavigation',
  'keepalive',
  'mode',
  'redirect',
  'referrer',
  'referrerPolicy',
]

for (const name of seldom) {
  Object.defineProperty(LightRequest.prototype, name, {
    configurable: true,
    get(this: LightRequest) {
      return (this.native() as unknown as Record<string, unknown>)[name]
    },
  })
}
standIn(LightRequest, NativeRequest)

const BareRequest = NativeRequest as unknown as new (url: string, init: RequestInit) => object

/**
 * A genuine Request whose signal is made when it is looked at: following a signal costs undici more than all the rest. So
 * its clones follow the signal, but a `new Request(request)` does not.
 */
class GenuineRequest extends BareRequest {
  readonly #source: RequestSource

  constructor(source: RequestSource, init: RequestInit) {
    super(source.url, init)
    this.#source = source
  }

  get signal(): AbortSignal {
    return this.#source.signal
  }

  clone(): Request {
    return new NativeRequest(Reflect.apply(NativeRequest.prototype.clone, this, []), { signal: this.signal })
  }
}
standIn(GenuineRequest, NativeRequest)

/** The genuine Request for a source, its body not yet read. */
export function genuineRequest(source: RequestSource): Request {
  return buildNative(source, Object.entries(source.headerRecord()), false)
}

function buildNative(source: RequestSource, headers: Headers | [string, string][], used: boolean): Request {
  const init: RequestInit = { method: source.method, headers }
  if (source.hasBody) {
    init.body = used ? new Uint8Array() : source.body().stream()
    init.duplex = 'half'
  }
  const request = new GenuineRequest(source, init) as unknown as Request
  // The body went another way already, and this one has to know that it is gone.
  if (used && source.hasBody) void request.arrayBuffer()
  return request
}
