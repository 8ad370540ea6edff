/** A machine with the application under runfcgi: a network namespace, and what runs there. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { probe } from '../../../src/front/probe.ts'
import { type RunningProgram, startProgram } from '../../support/child-process.ts'
import { type Host, makeNetwork } from '../../support/hosts.ts'
import { createSite, type Site } from '../../support/site.ts'

const program = fileURLToPath(new URL('../../../bin/runfcgi.js', import.meta.url))

/** Notes what it begins, and how long the body was, so that the test can tell which host had a request. */
const APPLICATION = `
import { appendFileSync } from 'node:fs'
export default async (request, response) => {
  const id = new URL(request.url, 'http://x').searchParams.get('id')
  appendFileSync(process.env.BEGUN, id + '\\n')
  let length = 0
  for await (const piece of request) length += piece.length
  await new Promise(resolve => setTimeout(resolve, 25))
  response.setHeader('X-Host', process.env.HOST)
  response.setHeader('X-Length', length)
  response.end('done')
}
`

export class Machine {
  readonly name: string
  readonly host: Host
  readonly #site: Site
  readonly #settings: readonly string[]
  #running: RunningProgram | undefined

  constructor(name: string, host: Host, site: Site, settings: readonly string[]) {
    this.name = name
    this.host = host
    this.#site = site
    this.#settings = settings
  }

  /** What its application has begun. */
  get begun(): Set<string> {
    const file = this.#begunFile
    return new Set(existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [])
  }

  get #begunFile(): string {
    return join(this.#site.folder, `begun-${this.name}`)
  }

  async start(): Promise<void> {
    const settings = [`host=${this.host.address}`, 'port=9000', 'ping=/ping', 'maxchildren=1', ...this.#settings]
    const [command, args] = this.host.command(process.execPath, program, 'stand', './app.js', ...settings)
    this.#running = await startProgram(command, args, {
      cwd: this.#site.folder,
      env: { PATH: process.env.PATH, BEGUN: this.#begunFile, HOST: this.name },
      ready: () => this.#isReady(),
    })
  }

  #isReady(): Promise<boolean> {
    const target = { kind: 'tcp', host: this.host.address, port: 9000 } as const
    return probe({ target, path: '/ping', timeoutMs: 1_000 }).then(
      reply => reply.status === 200,
      () => false,
    )
  }

  /** TERM, and whatever takes longer than that is waited for. */
  async drain(): Promise<void> {
    await this.#running?.stop()
  }

  kill(): void {
    // The whole group: what happens when a machine loses its power, but that the kernel still says goodbye.
    process.kill(-(this.#running?.pid as number), 'SIGKILL')
  }
}

export interface Machines {
  readonly site: Site
  readonly one: Machine
  readonly two: Machine
  readonly three: Machine
  remove(): Promise<void>
}

/** Three of them, none of which has been started; their applications lie in one folder. */
export function threeMachines(settings: readonly string[] = []): Machines {
  const site = createSite('node')
  writeFileSync(join(site.folder, 'app.js'), APPLICATION)
  const network = makeNetwork(3)
  const machine = (name: string, n: number): Machine => new Machine(name, network.hosts[n] as Host, site, settings)
  const [one, two, three] = [machine('one', 0), machine('two', 1), machine('three', 2)]
  return {
    site,
    one,
    two,
    three,
    async remove() {
      await Promise.all([one, two, three].map(machine => machine.drain()))
      network.remove()
      site.remove()
    },
  }
}
