/**
 * A peer under measurement on one case: its server process, and load on it.
 */

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

/** Only names what never comes: how long a start takes is measured where that is the question. */
const START_DEADLINE_MS = 60_000

/** How often a server is asked whether it is there, where the time is measured, and where it only costs the others theirs. */
const ASK_MS = { measured: 1, otherwise: 20 }

const given = new Set()

/**
 * Below the range that the kernel hands out itself (32768 and up), so that no outgoing connection has it when the server
 * starts; not twice in a run.
 */
async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 10_000)
    if (given.has(port)) continue
    given.add(port)
    if (await isFree(port)) return port
  }
}

function isFree(port) {
  return new Promise(resolve => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
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
   * @param pause milliseconds between two attempts
   * @returns {Promise<number>} milliseconds from the command to that reply
   */
  async start(pause = ASK_MS.otherwise) {
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
    this.expected = await this.firstReply(pause)
    return performance.now() - started
  }

  async firstReply(pause) {
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
      await delay(this.port ? 50 : pause)
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

  /** As `start`, with the time to the millisecond. */
  timedStart() {
    return this.start(ASK_MS.measured)
  }

  async stop() {
    await this.idle?.stop()
    this.idle = undefined
    if (this.process) await stop(this.process)
  }
}
