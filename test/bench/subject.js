/**
 * A peer under measurement on one case: its server process, and load on it.
 */

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { workOf } from './cases.js'
import { hasEnded, launch, stop } from './children.js'
import { cpuBetween, cpuSnapshot } from './cpu.js'
import { Load, writeRequests } from './load.js'
import { PEERS } from './peers.js'
import { verifyReply } from './verify.js'

const START_DEADLINE_MS = 20_000

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Not yet there; or libfcgi, which hangs up on a new connection that brings nothing for two seconds. */
const NOT_YET = ['ENOENT', 'ECONNREFUSED', 'EAGAIN', 'EACCES', 'ECONNRESET', 'EPIPE']

export class Subject {
  rounds = []

  /** @param settings `{ directory, tcp, node, nodeOptions, environment }` */
  constructor(caseName, peerName, settings) {
    this.caseName = caseName
    this.peerName = peerName
    this.peer = PEERS[peerName]
    this.settings = settings
    const context = { directory: settings.directory, caseName }
    this.work = { ...workOf(caseName), ...this.peer.load, ...this.peer.request?.(context) }
  }

  get name() {
    return `${this.caseName}, ${this.peerName}`
  }

  /**
   * Chooses the addresses, its own and where there is one the port of the web server in front, and makes what the command
   * needs: compiling holds up everything here, which a server that is being started would notice.
   */
  async place() {
    const { directory, tcp, node, nodeOptions = [] } = this.settings
    const { caseName, work } = this
    const { front } = work
    const overTcp = front ? this.peer.protocol === 'http' : tcp
    this.address = overTcp ? `127.0.0.1:${await freePort()}` : join(directory, `${this.caseName}.${this.peerName}`)
    this.port = front ? await freePort() : undefined
    this.requests = writeRequests(directory, caseName, this.target.protocol, work)
    this.command = this.peer.command({ caseName, work, address: this.address, directory, node, nodeOptions })
  }

  /** Where the load goes, and what it speaks. */
  get target() {
    if (this.port) return { protocol: 'http', address: `127.0.0.1:${this.port}` }
    return { protocol: this.peer.protocol, address: this.address }
  }

  /**
   * Starts the server and waits for its first reply, which must be right.
   * @returns {Promise<number>} milliseconds from the command to that reply
   */
  async start() {
    const { file, args, env } = this.command
    // A server that was killed leaves its socket behind.
    if (this.address.startsWith('/')) rmSync(this.address, { force: true })
    const started = performance.now()
    this.process = launch(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.settings.environment, BENCH_CASE: this.caseName, ...env },
    })
    this.output = ''
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', chunk => {
        this.output = (this.output + chunk).slice(-4_000)
      })
    }
    this.process.on('error', error => {
      this.output += error.message
    })
    this.expected = await this.firstReply()
    return performance.now() - started
  }

  async firstReply() {
    const { protocol, address } = this.target
    const deadline = Date.now() + START_DEADLINE_MS
    for (;;) {
      try {
        return await verifyReply(protocol, address, this.requests.first, this.work)
      } catch (error) {
        const waits = NOT_YET.includes(error.code) || (this.port && /^status 50/.test(error.message))
        if (!waits || hasEnded(this.process) || Date.now() > deadline) {
          throw new Error(`${this.name}: ${error.message}\n${this.output}`)
        }
      }
      await delay(this.port ? 50 : 1)
    }
  }

  /** What the load shall do. Connections to a web server are kept whatever it does with those to the application. */
  job(amount) {
    const { connections, multiplex, keepAlive, settle } = this.work
    const reuse = keepAlive && (this.port !== undefined || (this.peer.keepsConnections ?? true))
    return {
      ...this.target,
      connections,
      multiplex,
      reuse,
      settle,
      expected: this.expected,
      ...this.requests,
      ...amount,
    }
  }

  /** Opens connections that have each sent one request and then do nothing, until `stop`. */
  async openIdle(count) {
    this.idle = new Load(this.settings.directory)
    await this.run(this.idle, this.job({ connections: count, multiplex: 1, reuse: true, requests: count, hold: true }))
  }

  /** @throws Error if any reply was not right */
  async run(load, job, started) {
    const answer = await load.run(job, started)
    if (answer.errors > 0 || answer.requests === 0) {
      const what = `${answer.errors} errors in ${answer.requests} requests: ${answer.firstError}`
      throw new Error(`${this.name}: ${what}\n${this.output}`)
    }
    return answer
  }

  /** Load of `amount` ({ seconds } or { requests }), and what it cost the server and the web server in front. */
  async load(load, amount, front) {
    const pids = front ? [this.process.pid, front.pid] : [this.process.pid]
    let before
    const answer = await this.run(load, this.job(amount), () => {
      before = pids.map(cpuSnapshot)
    })
    const [cpu, frontCpu] = pids.map((pid, at) => cpuBetween(before[at], cpuSnapshot(pid)))
    return {
      requests: answer.requests,
      seconds: answer.seconds,
      microseconds: cpu.total / 1_000 / answer.requests,
      ...(front && { frontMicroseconds: frontCpu.total / 1_000 / answer.requests }),
      // What is answered after the time is up is not counted: with slow requests that is a time of idle servers.
      perSecond: answer.inTime > 0 ? answer.inTime / answer.window : answer.requests / answer.seconds,
      systemShare: cpu.user + cpu.system > 0 ? cpu.system / (cpu.user + cpu.system) : 0,
      serverBusy: cpu.total / 1e9 / answer.seconds,
      loadBusy: answer.cpuSeconds / answer.seconds,
    }
  }

  async stop() {
    await this.idle?.stop()
    this.idle = undefined
    if (this.process) await stop(this.process)
  }
}
