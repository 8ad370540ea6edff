/**
 * The load generator seen from here: a process of load.c, told by lines on its standard input what to do.
 */

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { launch, stop } from './children.js'
import { compile } from './compile.js'
import { requestVariants } from './requests.js'

/** Distinct requests sent in turn; few when they are big. */
const variantsFor = ({ body, multiplex = 1 }) => (multiplex > 1 ? multiplex : body.length > 65_536 ? 2 : 64)

const written = new Map()

/**
 * The requests of a case for one protocol as a file, which the load generator reads; peers that get the same ones share it.
 * @returns {{ file: string, variants: number, first: Buffer }}
 */
export function writeRequests(directory, caseName, protocol, work) {
  const { multiplex = 1, scriptFile } = work
  const file = join(directory, `${[caseName, protocol, multiplex, scriptFile ? 'php' : ''].join('.')}.requests`)
  if (!written.has(file)) {
    const variants = requestVariants(protocol, work, variantsFor(work))
    writeFileSync(file, Buffer.concat(variants))
    written.set(file, { file, variants: variants.length, first: variants[0] })
  }
  return written.get(file)
}

/** One process; one job at a time. */
export class Load {
  #process
  #lines
  #died

  constructor(directory) {
    this.#process = launch(compile('load.c', directory), { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#process.stdout })
    this.#died = once(this.#process, 'exit')
  }

  /**
   * Runs a job; `started` is called when the connections that will be kept are open and nothing was sent yet.
   * @param {{ protocol: 'fastcgi' | 'http', address: string, connections: number, multiplex?: number, reuse: boolean,
   *   hold?: boolean, expected: number, requests?: number, seconds?: number, settle?: number, variants: number, file: string }} job
   *   `address`: a socket path or host:port. Ends after `requests` or `seconds`, whichever comes first. `settle`: so many
   *   seconds go before `seconds`, and replies in them are not `inTime`. `hold`: the connections stay until `stop`.
   */
  async run(job, started = () => undefined) {
    const { protocol, address, connections, multiplex = 1, reuse, hold = false, expected } = job
    const { requests = 0, seconds = 0, settle = 0, variants, file } = job
    const numbers = [
      connections,
      multiplex,
      Number(reuse),
      Number(hold),
      expected,
      requests,
      Math.round(seconds * 1000),
      Math.round(settle * 1000),
    ]
    await this.#ask([protocol, address, ...numbers, variants, file].join(' '))
    started()
    return JSON.parse(await this.#ask('go'))
  }

  #ask(line) {
    this.#process.stdin.write(`${line}\n`)
    const died = this.#died.then(() => {
      throw new Error('the load generator ended')
    })
    return Promise.race([new Promise(resolve => this.#lines.once('line', resolve)), died])
  }

  async stop() {
    await stop(this.#process)
  }
}
