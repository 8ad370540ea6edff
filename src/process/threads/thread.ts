/**
 * What a worker thread runs (threaded.ts starts it): loads the application and hands it the requests that the main thread
 * sends. Knows no socket and no FastCGI record.
 */

import { realpathSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { type MessagePort, parentPort } from 'node:worker_threads'
import type { AdapterOptions, Application, RequestRole } from '../../app/exchange.ts'
import { type LoadedApplication, type LoadRequest, loadApplication } from '../../app/load/load.ts'
import { loadFailure } from '../../app/load/load-error.ts'
import { decodePairs } from '../../fcgi/pairs.ts'
import { closeApplication, loadedBy } from '../pool/child.ts'
import { untilWritten } from '../standard-streams.ts'
import { onUncaught } from '../uncaught.ts'
import { freeCells, ThreadChannel } from './channel.ts'
import { ThreadExchange } from './exchange.ts'
import {
  ABORT_REASONS,
  BEAT_MS,
  failureOf,
  isBehind,
  NO_REQUEST,
  RequestFlag,
  Shared,
  type ThreadNotice,
  type ThreadOrder,
  ToMain,
  ToThread,
} from './messages.ts'
import type { Received } from './record.ts'
import { UnderWay } from './under-way.ts'

/** The first message: what the thread is to run. */
export interface ThreadData {
  readonly request: LoadRequest
  readonly options: AdapterOptions
  /** Of the channel, and its port. */
  readonly memory: SharedArrayBuffer
  readonly port: MessagePort
  /** For orders and notices. The port to the parent is left to the application; nobody listens there. */
  readonly orders: MessagePort
  /** The thread may have been there before this became what it is. */
  readonly environment: NodeJS.ProcessEnv
}

/** How often the heap is measured, in beats. */
const BEATS_PER_MEASURE = 16

class ApplicationThread {
  readonly #orders: MessagePort
  readonly #shared: Int32Array
  readonly #exchanges = new UnderWay<ThreadExchange>()
  #request: ThreadData['request'] | undefined
  #app: LoadedApplication | null = null
  #channel: ThreadChannel | null = null
  #draining = false
  readonly #onEnd = (exchange: ThreadExchange): void => this.#ended(exchange)

  constructor(orders: MessagePort, memory: SharedArrayBuffer) {
    this.#orders = orders
    this.#shared = freeCells(memory)
    setInterval(() => this.#beat(), BEAT_MS).unref()
    onUncaught(
      error => this.#crashed(error),
      () => this.#app?.closed,
    )
  }

  async load({ request, options, memory, port, environment }: ThreadData): Promise<void> {
    this.#request = request
    for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name]
    Object.assign(process.env, environment)
    allowToStay()
    try {
      const app = await loadApplication(request, options)
      this.#app = app
      const channel = new ThreadChannel(memory, port, 'thread', record => this.#work(record, channel))
      this.#channel = channel
      this.#orders.on('message', (order: ThreadOrder) => this.#obey(order))
      this.#tell({ type: 'ready', loaded: loadedBy(app) })
    } catch (error) {
      this.#tell({ type: 'load-failed', error: error instanceof Error ? error.message : String(error) })
      this.#orders.close()
    }
  }

  #beat(): void {
    const beats = Atomics.add(this.#shared, Shared.beat, 1)
    if (beats % BEATS_PER_MEASURE === 0)
      Atomics.store(this.#shared, Shared.heap, Math.round(getHeapStatistics().used_heap_size / 1024))
  }

  #tell(notice: ThreadNotice): void {
    this.#channel?.flush()
    this.#orders.postMessage(notice)
  }

  #crashed(thrown: unknown): void {
    if (this.#channel === null) {
      const { app, cwd } = this.#request as ThreadData['request']
      this.#tell({ type: 'load-failed', error: loadFailure(thrown, app ?? cwd, cwd).message })
      process.exit(1)
    }
    this.#channel.send(ToMain.crashed, NO_REQUEST, 0, 0, '', JSON.stringify(failureOf(thrown)), false)
    this.#channel.flush()
  }

  /** What was sent before the order is worked off before. */
  #obey({ type }: ThreadOrder): void {
    this.#channel?.receive()
    this.#draining = true
    if (type === 'terminate') for (const exchange of this.#exchanges.values()) exchange.abort('shutdown')
    void this.#closeWhenIdle()
  }

  #work(record: Received, channel: ThreadChannel): void {
    const { kind, id } = record
    switch (kind) {
      case ToThread.request:
        this.#begin(record, channel)
        break
      case ToThread.stdin:
        this.#exchanges.get(id)?.receiveStdin(record.chunk())
        break
      case ToThread.stdinEnd:
        this.#exchanges.get(id)?.receiveStdinEnd()
        break
      case ToThread.credit:
        this.#exchanges.get(id)?.receiveCredit(record.amount)
        break
      case ToThread.abort:
        this.#exchanges.get(id)?.abort(ABORT_REASONS[record.code] ?? 'client-gone')
        break
      default:
        throw new Error(`no such record: ${kind}`)
    }
  }

  /** What is written here is read by the main thread even while the application never lets go. */
  #begin({ id, code, amount: order, bytes, start, end }: Received, channel: ThreadChannel): void {
    Atomics.store(this.#shared, Shared.started, order)
    if (!isBehind(order, Atomics.load(this.#shared, Shared.revoked))) {
      channel.send(ToMain.skipped, id)
      return
    }
    const params = decodePairs(bytes, start, end)
    const role: RequestRole = (code & RequestFlag.authorizer) !== 0 ? 'authorizer' : 'responder'
    const bodyless = (code & RequestFlag.bodyless) !== 0
    const exchange = new ThreadExchange(id, role, params, bodyless, channel, this.#onEnd)
    this.#exchanges.set(exchange)
    // A reload has brought or taken away the authorizer meanwhile: what knows nothing of the role must not answer.
    if (role === 'authorizer' && this.#app?.authorizes !== true) exchange.refuse(503)
    else exchange.start(this.#app as Application)
  }

  #ended(exchange: ThreadExchange): void {
    this.#exchanges.delete(exchange)
    if (this.#draining) void this.#closeWhenIdle()
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#exchanges.size > 0 || this.#app === null) return
    const app = this.#app
    this.#app = null
    await closeApplication(app).catch(error => this.#crashed(error))
    await untilWritten()
    this.#tell({ type: 'drained' })
    this.#orders.close()
    this.#channel?.close()
  }
}

/** Server files begin with `process.chdir(__dirname)`. No thread can do that, and none needs to that is there already. */
function allowToStay(): void {
  const { chdir } = process
  process.chdir = directory => {
    if (realpathSync(directory) !== realpathSync('.')) chdir(directory)
  }
}

parentPort?.once('message', (data: ThreadData) => void new ApplicationThread(data.orders, data.memory).load(data))
