/** Clients that go on asking, GET and POST in turn, and remember what became of each request. */

import { fetchWhole, keepAliveAgent } from '../../support/http-client.ts'
import { until } from '../../support/until.ts'

export const CLIENTS = 6

const POST_BYTES = 2_000

/** Clients send GET and POST in turn. */
export const isPost = (id: string): boolean => Number(id) % 2 === 0

export interface Asked {
  readonly id: string
  /** `done` from a host, or what went wrong. */
  readonly outcome: string
  readonly host: string
  readonly began: number
  readonly ended: number
}

export class Load {
  readonly asked: Asked[] = []
  readonly #port: number
  readonly #clients: Promise<void>[]
  readonly #open = new Map<string, number>()
  #over = false
  #last = 0

  /** `keepAlive`: each client has one connection to the front end; else each request has one. */
  constructor(port: number, { keepAlive = true } = {}) {
    this.#port = port
    this.#clients = Array.from({ length: CLIENTS }, () => this.#client(keepAlive))
  }

  async stop(): Promise<void> {
    this.#over = true
    await Promise.all(this.#clients)
  }

  get failed(): Asked[] {
    return this.asked.filter(({ outcome }) => outcome !== 'done')
  }

  /** Waits until nothing is unanswered that was asked before now. */
  async settles(): Promise<void> {
    const now = performance.now()
    await until('an answer to all that was asked', () => [...this.#open.values()].every(began => began > now))
  }

  /** Waits until so many further requests were answered, by this host if one is named. */
  async goesOn(count: number, host?: string): Promise<void> {
    const isMeant = (one: Asked) => one.outcome === 'done' && (host === undefined || one.host === host)
    const before = this.asked.filter(isMeant).length
    const what = `${count} more replies${host === undefined ? '' : ` of host ${host}`}`
    await until(what, () => this.asked.filter(isMeant).length >= before + count)
  }

  /** Waits until the last `count` replies are all of other hosts. */
  async avoids(host: string, count: number): Promise<void> {
    await this.goesOn(count)
    await until(`${count} replies of other hosts than ${host}`, () =>
      this.asked.slice(-count).every(one => one.host !== host),
    )
  }

  async #client(keepAlive: boolean): Promise<void> {
    let agent = keepAlive ? keepAliveAgent() : undefined
    while (!this.#over) {
      const id = String(++this.#last)
      const began = performance.now()
      this.#open.set(id, began)
      const { outcome, host } = await ask(this.#port, id, agent)
      this.#open.delete(id)
      if (outcome !== 'done' && agent !== undefined) {
        agent.destroy()
        agent = keepAliveAgent()
      }
      this.asked.push({ id, outcome, host, began, ended: performance.now() })
    }
    agent?.destroy()
  }
}

async function ask(
  port: number,
  id: string,
  agent: ReturnType<typeof keepAliveAgent> | undefined,
): Promise<Pick<Asked, 'outcome' | 'host'>> {
  const [method, length] = isPost(id) ? ['POST', POST_BYTES] : ['GET', 0]
  const sent = length > 0 ? { headers: { 'Content-Length': length }, body: [Buffer.alloc(length)] } : {}
  try {
    const { status, headers, body } = await fetchWhole(port, `/?id=${id}`, { method, ...sent, ...(agent && { agent }) })
    const isWhole = String(body) === 'done' && headers['x-length'] === String(length)
    const outcome = status === 200 && isWhole ? 'done' : `${method} ${status} (${headers['x-length']} bytes)`
    return { outcome, host: String(headers['x-host']) }
  } catch (error) {
    return { outcome: `${method} ${(error as Error).message}`, host: '' }
  }
}
