/**
 * The load generator: a process of its own, told by its parent what to do. It writes requests that were encoded before,
 * and of the replies looks only at what says that they are whole: FastCGI record headers, or the number of bytes of an
 * HTTP reply whose length is known. All sockets read into one buffer; nothing is allocated per request.
 */

import { once } from 'node:events'
import net from 'node:net'
import { requestVariants } from './requests.js'

const readBuffer = Buffer.allocUnsafe(256 * 1024)

/** Distinct requests sent in turn; few when they are big. */
const variantsFor = bodyBytes => (bodyBytes > 65_536 ? 2 : 64)

/** So many errors end a run. */
const MAX_ERRORS = 100

const STDOUT = 6
const END_REQUEST = 3

/** Follows the records of one connection. Knows a reply is right by the number of its STDOUT bytes and its END_REQUEST. */
class FastCgiScanner {
  header = Buffer.alloc(8)
  headerBytes = 0
  /** Bytes of content and padding still to come. */
  skip = 0
  stdout = 0
  ended = false

  constructor(expected) {
    this.expected = expected
  }

  /** 1: the reply ended here; 0: more to come; -1: this is not the reply that was expected. */
  receive(bytes, length) {
    let at = 0
    while (at < length) {
      if (this.skip > 0) {
        const taken = Math.min(this.skip, length - at)
        this.skip -= taken
        at += taken
      } else if (this.headerBytes === 0 && length - at >= 8) {
        this.begin(bytes, at)
        at += 8
      } else {
        this.header[this.headerBytes++] = bytes[at++]
        if (this.headerBytes === 8) {
          this.headerBytes = 0
          this.begin(this.header, 0)
        }
      }
      if (this.ended && this.skip === 0) return this.finish(at === length)
    }
    return 0
  }

  begin(bytes, at) {
    const content = (bytes[at + 4] << 8) | bytes[at + 5]
    this.skip = content + bytes[at + 6]
    const type = bytes[at + 1]
    if (type === STDOUT) this.stdout += content
    else if (type === END_REQUEST) this.ended = true
  }

  finish(exact) {
    const right = exact && this.stdout === this.expected
    this.ended = false
    this.stdout = 0
    return right ? 1 : -1
  }
}

/** Counts the bytes of one HTTP reply after the other. */
class HttpScanner {
  received = 0

  constructor(expected) {
    this.expected = expected
  }

  receive(bytes, length) {
    if (this.received === 0 && length > 9 && bytes[9] !== 0x32 /* '2' of 200 */) return -1
    this.received += length
    if (this.received < this.expected) return 0
    const right = this.received === this.expected
    this.received = 0
    return right ? 1 : -1
  }
}

/** One job under way: what was counted, and whether more is to be sent. */
class Run {
  requests = 0
  connections = 0
  errors = 0
  firstError = ''
  sent = 0
  stopped = false
  busy = 0

  constructor(job) {
    this.job = job
    this.variants = requestVariants(job.protocol, job, variantsFor(job.body))
  }

  /** Connections that will be reused are made before anything is measured. */
  open() {
    this.kept = Array.from({ length: this.job.reuse ? this.job.connections : 0 }, () => new Connection(this))
    return Promise.all(this.kept.map(connection => once(connection.socket, 'connect')))
  }

  /** Resolves when nothing is in flight any more. */
  start() {
    const { connections, seconds } = this.job
    return new Promise(resolve => {
      this.finished = resolve
      if (seconds) setTimeout(() => this.stop(), seconds * 1000)
      this.busy = connections
      for (const connection of this.kept) connection.send()
      for (let index = this.kept.length; index < connections; index += 1) this.connect()
    })
  }

  stop() {
    this.stopped = true
  }

  close() {
    for (const connection of this.kept) connection.socket.destroy()
  }

  /** The bytes of the request to send next, or null when there is nothing more to send. */
  next() {
    if (this.stopped || this.sent === this.job.requests) return null
    return this.variants[this.sent++ % this.variants.length]
  }

  connect() {
    if (this.stopped || this.sent === this.job.requests) this.idle()
    else new Connection(this).send()
  }

  idle() {
    if (--this.busy === 0) this.finished()
  }

  failed(what) {
    this.errors += 1
    this.firstError ||= what
    if (this.errors >= MAX_ERRORS) this.stopped = true
  }
}

class Connection {
  waiting = false

  constructor(run) {
    const { job } = run
    this.run = run
    this.reuse = job.reuse
    this.scanner = job.protocol === 'fastcgi' ? new FastCgiScanner(job.expected) : new HttpScanner(job.expected)
    const callback = (length, bytes) => this.receive(bytes, length)
    this.socket = net.connect({ ...job.connect, onread: { buffer: readBuffer, callback } })
    this.socket.on('error', error => run.failed(error.message))
    this.socket.on('close', () => this.closed())
    run.connections += 1
  }

  send() {
    const request = this.run.next()
    this.waiting = request !== null
    if (this.waiting) this.socket.write(request)
    else this.run.idle()
  }

  receive(bytes, length) {
    const outcome = this.scanner.receive(bytes, length)
    if (outcome === 0) return true
    if (outcome < 0) {
      this.run.failed('a reply whose status or length is not that of the first one')
      this.socket.destroy()
      return true
    }
    this.run.requests += 1
    // Without reuse the server closes, and the next connection is made then.
    if (this.reuse) this.send()
    else this.waiting = false
    return true
  }

  closed() {
    if (this.waiting) this.run.failed('the connection ended before the reply')
    if (!this.reuse) this.run.connect()
    else if (this.waiting) this.run.idle()
  }
}

const message = async () => (await once(process, 'message'))[0]

/**
 * A job: `connections` at once until `requests` were sent or `seconds` have passed. The parent sends it, hears 'open',
 * says 'go', and hears the counts; then the connections are closed.
 * @typedef {{ protocol: 'fastcgi' | 'http', connect: object, connections: number, keepAlive: boolean, reuse: boolean,
 *   expected: number, method: string, path: string, body: number, requests?: number, seconds?: number }} Job
 */
for (;;) {
  const run = new Run(await message())
  await run.open()
  process.send('open')
  await message()
  const cpuBefore = process.cpuUsage()
  const started = process.hrtime.bigint()
  await run.start()
  const seconds = Number(process.hrtime.bigint() - started) / 1e9
  const cpu = process.cpuUsage(cpuBefore)
  const { requests, connections, errors, firstError } = run
  process.send({ requests, connections, errors, firstError, seconds, cpuSeconds: (cpu.user + cpu.system) / 1e6 })
  run.close()
}
