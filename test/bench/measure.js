/**
 * A peer under measurement: its server process, and rounds of load on it.
 */

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CASES, replyOf } from './cases.js'
import { cpuBetween, cpuSnapshot, residentBytes } from './cpu.js'
import { commandOf, PEERS } from './peers.js'
import { verifyPeer } from './verify.js'

const START_DEADLINE_MS = 20_000
const STOP_DEADLINE_MS = 5_000

/** The load generator, one process for the whole run; one job at a time. */
export class Load {
  #process = fork(new URL('load.js', import.meta.url), { execArgv: [] })
  #died = once(this.#process, 'exit').then(() => {
    throw new Error('the load generator ended')
  })

  /** Runs a job; `started` is called when its connections are open and nothing was sent yet. */
  async run(job, started) {
    await this.#ask(job)
    started()
    return this.#ask('go')
  }

  #ask(message) {
    this.#process.send(message)
    return Promise.race([new Promise(resolve => this.#process.once('message', resolve)), this.#died])
  }

  async stop() {
    this.#process.kill()
    await once(this.#process, 'exit')
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function canConnect(connect) {
  return new Promise(resolve => {
    const socket = net.connect(connect, () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

/** One peer serving one case. */
export class Subject {
  constructor(caseName, peerName, { directory, tcp, node, nodeOptions }) {
    this.caseName = caseName
    this.peerName = peerName
    this.peer = PEERS[peerName]
    this.work = CASES[caseName]
    this.settings = { directory, tcp, node, nodeOptions }
    this.rounds = []
  }

  /** Starts the server, waits until it accepts, and checks its reply. */
  async start() {
    const { directory, tcp, node, nodeOptions } = this.settings
    const port = tcp ? await freePort() : 0
    const path = join(directory, `${this.caseName}.${this.peerName}`)
    this.connect = tcp ? { host: '127.0.0.1', port } : { path }
    const [file, ...args] = commandOf(this.peer, this.caseName, tcp ? `127.0.0.1:${port}` : path, node, nodeOptions)
    this.process = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.stderr = ''
    this.process.stderr.on('data', chunk => {
      this.stderr = (this.stderr + chunk).slice(-4_000)
    })
    this.process.on('error', error => {
      this.stderr += error.message
    })
    await this.accepting()
    this.expected = await verifyPeer(this.peer.protocol, this.connect, this.work, replyOf(this.work)).catch(error => {
      throw new Error(`${this.caseName}, ${this.peerName}: ${error.message}\n${this.stderr}`)
    })
  }

  async accepting() {
    const deadline = Date.now() + START_DEADLINE_MS
    while (!(await canConnect(this.connect))) {
      const { exitCode, signalCode, pid } = this.process
      if (pid === undefined || exitCode !== null || signalCode !== null || Date.now() > deadline) {
        throw new Error(`${this.caseName}, ${this.peerName}: the server did not start\n${this.stderr}`)
      }
      await delay(20)
    }
  }

  job(amount) {
    const { method, path, body, connections, keepAlive } = this.work
    const { protocol, keepsConnections = true } = this.peer
    const reuse = keepAlive && keepsConnections
    const { connect, expected } = this
    return { protocol, connect, connections, keepAlive, reuse, expected, method, path, body, ...amount }
  }

  /**
   * Load of `amount` ({ seconds } or { requests }), and what it cost the server.
   * @throws Error if any reply was not right
   */
  async load(load, amount) {
    let before
    const answer = await load.run(this.job(amount), () => {
      before = cpuSnapshot(this.process.pid)
    })
    const cpu = cpuBetween(before, cpuSnapshot(this.process.pid))
    if (answer.errors > 0 || answer.requests === 0) {
      const what = `${answer.errors} errors in ${answer.requests} requests: ${answer.firstError}`
      throw new Error(`${this.caseName}, ${this.peerName}: ${what}\n${this.stderr}`)
    }
    return {
      requests: answer.requests,
      seconds: answer.seconds,
      microseconds: cpu.total / 1_000 / answer.requests,
      perSecond: answer.requests / answer.seconds,
      systemShare: cpu.user + cpu.system > 0 ? cpu.system / (cpu.user + cpu.system) : 0,
      serverBusy: cpu.total / 1e9 / answer.seconds,
      loadBusy: answer.cpuSeconds / answer.seconds,
    }
  }

  /** A measured round. */
  async round(load, amount) {
    this.rounds.push(await this.load(load, amount))
    this.residentBytes = residentBytes(this.process.pid)
  }

  async stop() {
    const { process } = this
    if (!process?.pid || process.exitCode !== null || process.signalCode !== null) return
    const exited = once(process, 'exit')
    process.kill('SIGTERM')
    const killer = setTimeout(() => process.kill('SIGKILL'), STOP_DEADLINE_MS)
    await exited
    clearTimeout(killer)
  }
}
