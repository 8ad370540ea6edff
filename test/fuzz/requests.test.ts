/**
 * Valid requests, interleaved at random with each other and with what applications do, against a model: each is announced
 * with its own params and body, and each is ended exactly once, whatever comes in whatever order.
 */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Connection } from '../../src/fcgi/connection.ts'
import type { ConnectionEvent } from '../../src/fcgi/events.ts'
import type { Request } from '../../src/fcgi/request.ts'
import { abort, begin, END, PARAMS, pairs, readRecords, rec, STDERR, STDIN, STDOUT, stdinEnd } from '../support/wire.ts'
import { byName, cutter, effort } from './arbitraries.ts'

const LIMITS = { maxParamsSize: 300, maxInflight: 5, maxIncomplete: 64, maxConnections: 9, authorizer: true }

const bytes = (maxLength: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength }).map(one => Buffer.from(one))

/** What an application does, one at a time, when it is its turn. */
type Action = { do: 'stdout' | 'stderr'; content: Buffer } | { do: 'end'; appStatus: number }

interface Play {
  readonly role: number
  readonly keep: boolean
  readonly entries: readonly (readonly [string, string])[]
  readonly body: readonly Buffer[]
  /** After how many of its records the peer aborts it, and again. */
  readonly abortAfter: number
  readonly paramsPerRecord: number
  readonly actions: readonly Action[]
}

const text = bytes(40).map(one => one.toString('latin1'))

const play: fc.Arbitrary<Play> = fc.record({
  role: fc.constantFrom(1, 1, 1, 1, 1, 2, 2, 3),
  keep: fc.constant(true),
  entries: fc.array(fc.tuple(text, text), { maxLength: 8 }),
  body: fc.array(
    bytes(50).filter(one => one.length > 0),
    { maxLength: 4 },
  ),
  abortAfter: fc.oneof({ weight: 3, arbitrary: fc.constant(1_000) }, { weight: 1, arbitrary: fc.nat(8) }),
  paramsPerRecord: fc.integer({ min: 1, max: 100 }),
  actions: fc.array(
    fc.oneof(
      fc.record({ do: fc.constantFrom('stdout' as const, 'stderr' as const), content: bytes(100) }),
      fc.record({ do: fc.constant('end' as const), appStatus: fc.nat() }),
    ),
    { maxLength: 6 },
  ),
})

function recordsOf(id: number, { role, keep, entries, body, abortAfter, paramsPerRecord }: Play): Buffer[] {
  const content = pairs(entries)
  const records = [begin(id, { role, keep })]
  for (let at = 0; at < content.length; at += paramsPerRecord)
    records.push(rec(PARAMS, id, content.subarray(at, at + paramsPerRecord), { padding: at % 9 }))
  records.push(rec(PARAMS, id), ...body.map(one => rec(STDIN, id, one, { padding: one.length % 8 })), stdinEnd(id))
  if (abortAfter < records.length) records.splice(abortAfter + 1, 0, abort(id), abort(id))
  return records
}

/** What happened to one request. */
interface Course {
  request: Request | undefined
  params: [string, string][] | undefined
  body: Buffer
  stdinEnded: boolean
  aborted: boolean
  refused: string | undefined
  stdout: Buffer
  stderr: Buffer
}

class Stage {
  readonly connection = new Connection(LIMITS)
  readonly courses: Course[]
  readonly written: Buffer[] = []
  readonly #plays: readonly Play[]
  readonly #actions: Action[][]

  constructor(plays: readonly Play[]) {
    this.#plays = plays
    this.#actions = plays.map(one => [...one.actions])
    this.courses = plays.map(() => ({
      request: undefined,
      params: undefined,
      body: Buffer.alloc(0),
      stdinEnded: false,
      aborted: false,
      refused: undefined,
      stdout: Buffer.alloc(0),
      stderr: Buffer.alloc(0),
    }))
  }

  receive(piece: Buffer): void {
    for (const event of this.connection.receive(piece)) this.#note(event)
    this.#take()
  }

  /** The application of request `n` does its next thing, if it has been started. */
  act(n: number): void {
    const course = this.courses[n] as Course
    const { request } = course
    if (request === undefined) return
    const action = this.#actions[n]?.shift() ?? { do: 'end', appStatus: 0 }
    if (action.do === 'end') this.connection.end(request, action.appStatus)
    else {
      if (!request.ended) course[action.do] = Buffer.concat([course[action.do], action.content])
      this.connection[action.do](request, action.content)
    }
    this.#take()
  }

  get unfinished(): boolean {
    return this.courses.some(({ request }) => request !== undefined && !request.ended)
  }

  #take(): void {
    for (const part of this.connection.out.take())
      this.written.push(typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))
  }

  #note(event: ConnectionEvent): void {
    if (event.type === 'violation') throw event.error
    const course = this.courses[event.request.id - 1] as Course
    switch (event.type) {
      case 'request':
        expect(course.params).toBeUndefined()
        course.request = event.request
        course.params = event.params.names.map((name, at) => [name, event.params.values[at] as string])
        if (event.request.bodyless) course.stdinEnded = true
        break
      case 'refused':
        course.refused = event.reason
        this.connection.stdout(event.request, 'Status: 503 Busy\r\n\r\n')
        this.connection.end(event.request)
        break
      case 'stdin':
        expect(course.params).toBeDefined()
        expect(course.stdinEnded).toBe(false)
        course.body = Buffer.concat([course.body, event.chunk])
        break
      case 'stdinEnd':
        course.stdinEnded = true
        break
      case 'abort':
        expect(course.aborted).toBe(false)
        expect(course.params).toBeDefined()
        course.aborted = true
        break
    }
  }

  check(): void {
    const { records, rest } = readRecords(Buffer.concat(this.written))
    expect(rest.length).toBe(0)
    for (const [n, one] of this.#plays.entries())
      this.#checkOne(
        one,
        this.courses[n] as Course,
        records.filter(r => r.id === n + 1),
      )
    expect(this.connection.inflight).toBe(0)
    expect(this.connection.incomplete).toBe(0)
  }

  #checkOne(one: Play, course: Course, records: ReturnType<typeof readRecords>['records']): void {
    const ends = records.filter(record => record.type === END)
    expect(ends).toHaveLength(1)
    expect(records.at(-1)).toBe(ends[0])
    for (const type of [STDOUT, STDERR]) {
      const lengths = records.filter(record => record.type === type).map(record => record.content.length)
      expect(lengths.indexOf(0)).toBe(lengths.length - 1)
      expect(lengths).not.toEqual([0])
    }
    expect(records.every(record => record.type !== STDERR || record.padding > 0)).toBe(true)
    if (one.role === 3) {
      expect(ends[0]?.content[4]).toBe(3)
      expect(course.request).toBeUndefined()
      return
    }
    expect(ends[0]?.content[4]).toBe(0)
    if (course.refused !== undefined) return
    const join = (type: number) => Buffer.concat(records.filter(r => r.type === type).map(record => record.content))
    expect(join(STDOUT).equals(course.stdout)).toBe(true)
    expect(join(STDERR).equals(course.stderr)).toBe(true)
    if (course.params === undefined) return
    expect(byName(course.params)).toEqual(byName(one.entries))
    const sent = Buffer.concat(one.role === 2 ? [] : one.body)
    expect(sent.subarray(0, course.body.length).equals(course.body)).toBe(true)
    if (course.stdinEnded) expect(course.body.equals(sent)).toBe(true)
  }
}

/** Which queue gives next: the records of a request, or its application. */
const schedule = fc.array(fc.tuple(fc.nat(), fc.boolean()), { minLength: 1, maxLength: 150 })

describe('requests at the same time', () => {
  it('are each ended exactly once and never mixed up, whatever the order of records, replies and aborts', () => {
    const seen = { served: 0, aborted: 0, refused: 0, wholeBodies: 0 }
    fc.assert(
      fc.property(fc.array(play, { minLength: 1, maxLength: 8 }), schedule, cutter, (plays, turns, cut) => {
        const stage = new Stage(plays)
        const queues = plays.map((one, n) => recordsOf(n + 1, one))
        const send = (queue: Buffer[]): void => {
          const next = queue.shift()
          if (next !== undefined) for (const piece of cut(next)) stage.receive(piece)
        }
        for (const [which, peer] of turns) {
          const n = which % plays.length
          if (peer) send(queues[n] as Buffer[])
          else stage.act(n)
        }
        for (const queue of queues) while (queue.length > 0) send(queue)
        while (stage.unfinished) for (const n of plays.keys()) stage.act(n)
        stage.check()
        for (const course of stage.courses) {
          if (course.refused !== undefined) seen.refused++
          else if (course.aborted) seen.aborted++
          else if (course.params !== undefined) seen.served++
          if (course.stdinEnded && course.body.length > 0) seen.wholeBodies++
        }
      }),
      effort(1_500),
    )
    // The model has seen every kind of course, and not only the easy ones.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(50)
  })

  it('are all over when the peer ends in the middle of them', () => {
    fc.assert(
      fc.property(fc.array(play, { minLength: 1, maxLength: 6 }), fc.nat(2_000), (plays, length) => {
        const connection = new Connection(LIMITS)
        const requests = new Set<Request>()
        const note = (events: ConnectionEvent[]): void => {
          for (const event of events) {
            if (event.type === 'violation') throw event.error
            if (event.type === 'refused' || event.type === 'request') requests.add(event.request)
            if (event.type === 'abort') expect(requests.delete(event.request)).toBe(true)
          }
        }
        const queues = plays.map((one, n) => recordsOf(n + 1, one))
        note(connection.receive(Buffer.concat(queues.flat()).subarray(0, length)))
        note(connection.receiveEnd())
        for (const request of requests) if (!request.ended) expect(request.whole).toBe(true)
        for (const request of requests) connection.end(request)
        expect(connection.finished).toBe(true)
      }),
      effort(1_000),
    )
  })
})
