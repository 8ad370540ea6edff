/** Both ends of a channel in one thread: neither ever waits for the other, so neither can tell. */

import { once } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { channelMemory, ThreadChannel } from '../../../src/process/threads/channel.ts'
import type { Received } from '../../../src/process/threads/record.ts'
import { until } from '../../support/until.ts'

interface Heard {
  readonly kind: number
  readonly id: number
  readonly code: number
  readonly amount: number
  readonly text: string
  readonly content: string
}

const hear = (record: Received): Heard => {
  const content = record.content()
  return {
    ...{ kind: record.kind, id: record.id, code: record.code, amount: record.amount, text: record.text() },
    content: typeof content === 'string' ? content : content.toString('latin1'),
  }
}

const open: MessagePort[] = []

function channel(receive: { main?: (record: Received) => void; thread?: (record: Received) => void } = {}) {
  const memory = channelMemory()
  const { port1, port2 } = new MessageChannel()
  open.push(port1, port2)
  const heard: { main: Heard[]; thread: Heard[] } = { main: [], thread: [] }
  const main = new ThreadChannel(memory, port1, 'main', receive.main ?? (record => heard.main.push(hear(record))))
  const thread = new ThreadChannel(
    memory,
    port2,
    'thread',
    receive.thread ?? (record => heard.thread.push(hear(record))),
  )
  return { main, thread, heard, ports: { main: port1, thread: port2 } }
}

afterEach(() => {
  for (const port of open.splice(0)) port.close()
})

const latin1 = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map(bytes => Buffer.from(bytes).toString('latin1'))

/** Short ones, and some that are too long for a ring. */
const sized = (): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 4, arbitrary: latin1(40) },
    { weight: 2, arbitrary: fc.tuple(latin1(10), fc.nat(6_000)).map(([text, times]) => text.repeat(times)) },
  )

const record = fc.record({
  kind: fc.integer({ min: 1, max: 255 }),
  id: fc.nat(),
  code: fc.integer(),
  amount: fc.double({ noNaN: true }),
  text: sized(),
  content: sized(),
})

describe('a channel between two threads', () => {
  it('carries records of any size, each way, in order and whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), record), { maxLength: 40 }), async records => {
        const { main, thread, heard } = channel()
        const sent: { main: Heard[]; thread: Heard[] } = { main: [], thread: [] }
        for (const [toThread, said] of records) {
          const { kind, id, code, amount, text, content } = said
          const asBytes = id % 2 === 0 ? Buffer.from(content, 'latin1') : content
          const length = (toThread ? main : thread).send(kind, id, code, amount, text, asBytes)
          expect(length).toBe(text.length + content.length)
          sent[toThread ? 'thread' : 'main'].push(said)
        }
        await until('all of it is there', () => {
          return heard.main.length + heard.thread.length === records.length
        })
        expect(heard).toEqual(sent)
      }),
      { numRuns: 40 },
    )
  })

  it('sends content that is not latin1 as UTF-8, and counts its bytes', async () => {
    const { main, heard } = channel()
    expect(main.send(1, 1, 0, 0, 'head', 'żółć', false)).toBe(4 + 8)
    await until('it is there', () => heard.thread.length === 1)
    expect(heard.thread[0]).toMatchObject({ text: 'head', content: Buffer.from('żółć').toString('latin1') })
  })

  it('keeps what the ring has no room for, and sends it as soon as there is', async () => {
    const { main, heard } = channel()
    for (let id = 0; id < 1_000; id++) main.send(1, id, 0, 0, 'x'.repeat(1_000))
    await until('all of it is there', () => heard.thread.length === 1_000)
    expect(heard.thread.map(({ id }) => id)).toEqual(Array.from({ length: 1_000 }, (_, id) => id))
  })

  it('wakes the other side once for everything that is sent before that has looked', async () => {
    const { main, thread, heard, ports } = channel()
    let messages = 0
    ports.thread.on('message', () => messages++)
    for (let id = 0; id < 20; id++) main.send(1, id)
    await until('all of it is there', () => heard.thread.length === 20)
    expect(messages).toBe(1)
    for (let id = 0; id < 20; id++) thread.send(1, id)
    await until('the other way too', () => heard.main.length === 20)
    expect(messages).toBe(1)
  })

  it('can be asked for what has arrived without being woken', () => {
    const { main, thread, heard } = channel()
    main.send(1, 7, 0, 0, '', Buffer.alloc(100_000))
    main.flush()
    expect(thread.receive()).toBe(true)
    expect(thread.receive()).toBe(false)
    expect(heard.thread.map(({ id, content }) => [id, content.length])).toEqual([[7, 100_000]])
  })

  it('waits with what is behind a long payload until that is posted', async () => {
    const { main, thread, heard } = channel()
    main.send(1, 1)
    main.send(1, 2, 0, 0, '', Buffer.alloc(100_000))
    main.send(1, 3)
    expect(thread.receive()).toBe(true)
    expect(thread.receive()).toBe(false)
    expect(heard.thread.map(({ id }) => id)).toEqual([1])
    await until('it is posted', () => heard.thread.length === 3)
    expect(heard.thread.map(({ id, content }) => [id, content.length])).toEqual([
      [1, 0],
      [2, 100_000],
      [3, 0],
    ])
  })

  it('gives out bytes that are nobody else’s', () => {
    const chunks: Buffer[] = []
    const { main, thread } = channel({ thread: received => chunks.push(received.chunk()) })
    for (const fill of [1, 2, 3]) main.send(1, 1, 0, 0, '', Buffer.alloc(10_000, fill))
    thread.receive()
    for (let times = 0; times < 20; times++) {
      main.send(1, 1, 0, 0, '', Buffer.alloc(10_000, 9))
      thread.receive()
    }
    expect(chunks.slice(0, 3)).toEqual([1, 2, 3].map(fill => Buffer.alloc(10_000, fill)))
  })

  it('goes on behind a record whose receiver throws', async () => {
    const ids: number[] = []
    const { main, thread } = channel({
      thread({ id }) {
        ids.push(id)
        if (id === 1) throw new Error('not this one')
      },
    })
    for (const id of [0, 1, 2, 3]) main.send(1, id)
    expect(() => thread.receive()).toThrow('not this one')
    expect(ids).toEqual([0, 1])
    await until('the others are there', () => ids.length === 4)
    expect(ids).toEqual([0, 1, 2, 3])
  })

  it('tells what was sent before the other side ended, and drops what is sent after', async () => {
    const { main, thread, heard, ports } = channel()
    thread.send(1, 1, 0, 0, 'last words')
    thread.send(1, 2, 0, 0, '', Buffer.alloc(50_000))
    thread.flush()
    const closed = once(ports.main, 'close')
    thread.close()
    main.receive()
    await closed
    main.send(1, 3)
    expect(heard.main.map(({ id }) => id)).toEqual([1, 2])
  })
})
