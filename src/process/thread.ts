/**
 * What a worker thread runs (threaded.ts starts it): loads the application and hands it the requests that the main thread
 * sends. Knows no socket and no FastCGI record.
 */

import { getHeapStatistics } from 'node:v8'
import { type MessagePort, parentPort } from 'node:worker_threads'
import type { AdapterOptions, Application, RequestRole } from '../app/exchange.ts'
import { type LoadRequest, loadApplication } from '../app/load.ts'
import { loadFailure } from '../app/load-error.ts'
import { decodePairs } from '../fcgi/pairs.ts'
import { loadedBy } from './child.ts'
import {
  ABORT_REASONS,
  BEAT_MS,
  type Operand,
  Operations,
  Outbox,
  Shared,
  type ThreadNotice,
  type ThreadOrder,
  ToMain,
  ToThread,
} from './messages.ts'
import { ThreadExchange } from './thread-exchange.ts'

/** The first message: what the thread is to run. */
export interface ThreadData {
  readonly request: LoadRequest
  readonly options: AdapterOptions
  readonly shared: SharedArrayBuffer
  /** The thread may have been there before this became what it is. */
  readonly environment: NodeJS.ProcessEnv
}

/** How long an application's own `close()` may take, in milliseconds. */
const CLOSE_MS = 5_000

/** How often the heap is measured, in beats. */
const BEATS_PER_MEASURE = 16

/** Pairs are written here to be decoded, which copies what it takes: a buffer for each request would be garbage at once. */
const SCRATCH = Buffer.allocUnsafeSlow(32_768)

const bytesOf = (pairs: string): [bytes: Buffer, start: number, end: number] =>
  pairs.length > SCRATCH.length
    ? [Buffer.from(pairs, 'latin1'), 0, pairs.length]
    : [SCRATCH, 0, SCRATCH.write(pairs, 'latin1')]

class ApplicationThread {
  readonly #port: MessagePort
  readonly #shared: Int32Array
  readonly #outbox: Outbox
  readonly #exchanges = new Map<number, ThreadExchange>()
  #request: ThreadData['request'] | undefined
  #app: Application | null = null
  #draining = false
  readonly #onEnd = (exchange: ThreadExchange): void => this.#ended(exchange)

  constructor(port: MessagePort, shared: SharedArrayBuffer) {
    this.#port = port
    this.#shared = new Int32Array(shared)
    // Several messages are worked off in one turn: what the first asked for must be gone before the next one may hang.
    this.#outbox = new Outbox('callback', (operations, transfers) => port.postMessage(operations, transfers))
    setInterval(() => this.#beat(), BEAT_MS).unref()
    process.on('uncaughtException', error => this.#crashed(error))
  }

  async load({ request, options, environment }: ThreadData): Promise<void> {
    this.#request = request
    for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
    Object.assign(process.env, environment)
    try {
      const app = await loadApplication(request, options)
      this.#app = app
      this.#port.on('message', (message: Operand[] | ThreadOrder) => this.#hear(message))
      this.#tell({ type: 'ready', loaded: loadedBy(app) })
    } catch (error) {
      this.#tell({ type: 'load-failed', error: error instanceof Error ? error.message : String(error) })
      this.#port.close()
    }
  }

  #beat(): void {
    const beats = Atomics.add(this.#shared, Shared.beat, 1)
    if (beats % BEATS_PER_MEASURE === 0)
      Atomics.store(this.#shared, Shared.heap, Math.round(getHeapStatistics().used_heap_size / 1024))
  }

  #tell(notice: ThreadNotice): void {
    this.#port.postMessage(notice)
  }

  #crashed(error: unknown): void {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    if (this.#app === null) {
      const { app, cwd } = this.#request as ThreadData['request']
      this.#tell({ type: 'load-failed', error: loadFailure(error, app ?? cwd, cwd).message })
      process.exit(1)
    }
    this.#tell({ type: 'crashed', error: message, stack: stack ?? message })
  }

  #hear(message: Operand[] | ThreadOrder): void {
    if (Array.isArray(message)) this.#work(new Operations(message))
    else {
      this.#draining = true
      if (message.type === 'terminate') for (const exchange of [...this.#exchanges.values()]) exchange.abort('shutdown')
      void this.#closeWhenIdle()
    }
  }

  /** Operands are taken before anything is asked of an exchange: it may be gone, and they must not be left. */
  #work(operations: Operations): void {
    while (operations.more) {
      const operation = operations.number()
      const id = operations.number()
      switch (operation) {
        case ToThread.request:
          this.#begin(id, operations.text(), operations.flag(), operations.flag() ? 'authorizer' : 'responder')
          break
        case ToThread.stdin: {
          const chunk = operations.content() as Uint8Array
          this.#exchanges.get(id)?.receiveStdin(chunk)
          break
        }
        case ToThread.stdinEnd:
          this.#exchanges.get(id)?.receiveStdinEnd()
          break
        case ToThread.credit: {
          const bytes = operations.number()
          this.#exchanges.get(id)?.receiveCredit(bytes)
          break
        }
        case ToThread.abort: {
          const reason = ABORT_REASONS[operations.number()] ?? 'client-gone'
          this.#exchanges.get(id)?.abort(reason)
          break
        }
        default:
          throw new Error(`no such operation: ${operation}`)
      }
    }
  }

  /** What is written here is read by the main thread even while the application never lets go. */
  #begin(id: number, pairs: string, bodyless: boolean, role: RequestRole): void {
    Atomics.store(this.#shared, Shared.started, id)
    if (id <= Atomics.load(this.#shared, Shared.revoked)) {
      this.#outbox.add(ToMain.skipped, id)
      return
    }
    const params = decodePairs(...bytesOf(pairs))
    const exchange = new ThreadExchange(id, role, params, bodyless, this.#outbox, this.#onEnd)
    this.#exchanges.set(id, exchange)
    // A reload has brought or taken away the authorizer meanwhile: what knows nothing of the role must not answer.
    if (role === 'authorizer' && this.#app?.authorizes !== true) exchange.refuse(503)
    else exchange.start(this.#app as Application)
  }

  #ended(exchange: ThreadExchange): void {
    this.#exchanges.delete(exchange.id)
    if (this.#draining) void this.#closeWhenIdle()
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#exchanges.size > 0 || this.#app === null) return
    const app = this.#app
    this.#app = null
    this.#outbox.sendNow()
    const patience = new Promise(resolve => setTimeout(resolve, CLOSE_MS).unref())
    await Promise.race([app.close?.(), patience]).catch(error => this.#crashed(error))
    this.#tell({ type: 'drained' })
    this.#port.close()
  }
}

const port = parentPort
port?.once('message', (data: ThreadData) => void new ApplicationThread(port, data.shared).load(data))
