/** The load of the storms: clients that send GET and POST requests through a web server, and count every reply. */

import { createHash, randomBytes } from 'node:crypto'
import { fetchWhole, keepAliveAgent } from '../support/http-client.ts'

/** How a request can end. */
export type Outcome = 'success' | 'reset' | 'refused' | 'write error' | 'read timeout' | 'unexpected'

/** A request that did not end as it should; times are `performance.now()`. */
export interface Failure {
  readonly kind: 'get' | 'post'
  readonly began: number
  readonly ended: number
  readonly details: string
}

export interface Tally {
  readonly get: Partial<Record<Outcome, number>>
  readonly post: Partial<Record<Outcome, number>>
  readonly failures: Failure[]
}

/** Clients with one connection each, which send GET /hello and POST /hash in turn. */
export class Load {
  readonly tally: Tally = { get: {}, post: {}, failures: [] }
  readonly #clients: Promise<void>[]
  #over = false

  constructor(port: number, clients: number) {
    this.#clients = Array.from({ length: clients }, () => this.#client(port))
  }

  /** Requests that were answered as they should be. */
  get answered(): number {
    return (this.tally.get.success ?? 0) + (this.tally.post.success ?? 0)
  }

  /** No more requests; resolves when the last ones are answered. */
  async stop(): Promise<void> {
    this.#over = true
    await Promise.all(this.#clients)
  }

  async #client(port: number): Promise<void> {
    const agent = keepAliveAgent()
    const body = randomBytes(16_384)
    const hash = createHash('sha256').update(body).digest('hex')
    const headers = { 'Content-Length': body.length }
    while (!this.#over) {
      await this.#count('get', 'Hello', () => fetchWhole(port, '/hello', { agent }))
      await this.#count('post', hash, () => fetchWhole(port, '/hash', { method: 'POST', body: [body], agent, headers }))
    }
    agent.destroy()
  }

  async #count(kind: 'get' | 'post', expected: string, ask: () => ReturnType<typeof fetchWhole>): Promise<void> {
    const began = performance.now()
    const [outcome, details] = await ask().then(
      ({ status, body }) => {
        const right = status === 200 && body.toString().includes(expected)
        return [right ? 'success' : 'unexpected', `${status} ${body.toString().slice(0, 200)}`] as const
      },
      (error: unknown) => [outcomeOf(error), String(error)] as const,
    )
    const counts = this.tally[kind]
    counts[outcome] = (counts[outcome] ?? 0) + 1
    if (outcome !== 'success') this.tally.failures.push({ kind, began, ended: performance.now(), details })
  }
}

function outcomeOf(error: unknown): Outcome {
  const { code = '' } = error as NodeJS.ErrnoException
  if (code === 'ECONNRESET') return 'reset'
  if (code === 'ECONNREFUSED') return 'refused'
  if (code === 'EPIPE') return 'write error'
  return /in vain/.test(String(error)) ? 'read timeout' : 'unexpected'
}
