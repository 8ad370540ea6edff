import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import fastcgi, { type FastCGIRecord } from 'fastcgi-stream'
import { describe, expect, it } from 'vitest'
import { ProtocolStatus, RecordType, Role } from '../../src/fcgi/constants.ts'
import { ProtocolError } from '../../src/fcgi/errors.ts'
import { encodePairs } from '../../src/fcgi/pairs.ts'
import { endRequest, record, recordHeader, streamEnd, unknownType } from '../../src/fcgi/record.ts'
import { Requester, type RequesterEvent, type WireChunk } from '../../src/fcgi/requester.ts'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
const wire = (chunks: readonly WireChunk[]): Buffer =>
  Buffer.concat(chunks.map(chunk => (typeof chunk === 'string' ? bytes(chunk) : Buffer.from(chunk))))

/** Records as the independent codec sees them. */
function decoded(...chunks: WireChunk[]): { id: number; record: FastCGIRecord }[] {
  const stream = Object.assign(new EventEmitter(), { write: () => true })
  const records: { id: number; record: FastCGIRecord }[] = []
  new fastcgi.FastCGIStream(stream).on('record', (id, record) => records.push({ id, record }))
  stream.emit('data', wire(chunks))
  return records
}

/** A record written by the independent codec. */
function encoded(id: number, record: object): Buffer {
  const written: Buffer[] = []
  const stream = Object.assign(new EventEmitter(), { write: (chunk: Buffer) => written.push(chunk) })
  new fastcgi.FastCGIStream(stream).writeRecord(id, record)
  return Buffer.concat(written)
}

/** A requester with requests `ids` in flight, and what it emitted, joined where the cuts of the network would show. */
function requester(ids: readonly number[] = [1]): { requester: Requester; events: () => string[] } {
  const events: string[] = []
  let last = ''
  const emit = (event: RequesterEvent): void => {
    const { type } = event
    const key = 'id' in event ? `${type} ${event.id}` : type
    if ('chunk' in event) {
      expect(event.chunk.length).toBeGreaterThan(0)
      const text = event.chunk.toString('latin1')
      if (last === key) events[events.length - 1] += text
      else events.push(`${key} ${text}`)
      last = key
      return
    }
    last = ''
    if (event.type === 'end') events.push(`${key} app=${event.appStatus} protocol=${event.protocolStatus}`)
    else if (event.type === 'values') events.push(`${key} ${event.names.join()} ${event.values.join()}`)
    else if (event.type === 'unknown-type') events.push(`${key} ${event.recordType}`)
    else events.push(key)
  }
  const side = new Requester(emit)
  for (const id of ids) side.begin(id, { role: Role.responder, keepConn: true, params: [] })
  return { requester: side, events: () => events }
}

function splitAt(input: Buffer, cuts: readonly number[]): Buffer[] {
  const edges = [0, ...cuts.map(cut => cut % (input.length + 1)).sort((a, b) => a - b), input.length]
  return edges.slice(1).map((edge, index) => input.subarray(edges[index], edge))
}

function received(chunks: Iterable<Buffer>, ids?: readonly number[]): string[] {
  const side = requester(ids)
  for (const chunk of chunks) side.requester.receive(chunk)
  return side.events()
}

describe('what a requester sends', () => {
  it('begins with the role, the flag and the params, as an independent codec reads them', () => {
    const params = [
      ['REQUEST_METHOD', 'GET'],
      ['QUERY_STRING', 'a=b'],
      ['HTTP_COOKIE', 'é'.repeat(200)],
    ] as const
    const text = new Requester(() => {}).begin(7, { role: Role.authorizer, keepConn: true, params })
    const [begin, pairs, end, ...more] = decoded(text)
    expect(begin).toMatchObject({ id: 7, record: { TYPE: RecordType.beginRequest, role: 2, flags: 1 } })
    expect(pairs?.id).toBe(7)
    const list = pairs?.record.params as string[][]
    expect(list.slice(0, 2)).toEqual([
      ['REQUEST_METHOD', 'GET'],
      ['QUERY_STRING', 'a=b'],
    ])
    expect(list[2]?.[0]).toBe('HTTP_COOKIE')
    expect(end).toMatchObject({ id: 7, record: { TYPE: RecordType.params, params: [] } })
    expect(more).toEqual([])
  })

  it('leaves KEEP_CONN out when the connection is to be closed', () => {
    const text = new Requester(() => {}).begin(1, { role: Role.responder, keepConn: false, params: [] })
    expect(decoded(text)[0]?.record).toMatchObject({ role: 1, flags: 0 })
  })

  it('spreads params that are too long for one record over several', () => {
    const params = [['A', 'x'.repeat(150_000)]] as const
    const text = new Requester(() => {}).begin(1, { role: Role.responder, keepConn: true, params })
    const lengths: number[] = []
    let content = ''
    for (let at = 16; at < text.length; ) {
      expect(text.charCodeAt(at + 1)).toBe(RecordType.params)
      const length = (text.charCodeAt(at + 4) << 8) | text.charCodeAt(at + 5)
      lengths.push(length)
      content += text.slice(at + 8, at + 8 + length)
      at += 8 + length + text.charCodeAt(at + 6)
    }
    expect(lengths).toEqual([65_528, 65_528, 150_006 - 2 * 65_528, 0])
    expect(content).toBe(encodePairs(params))
  })

  it('cuts a body into records of at most 65,528 bytes without copying it', () => {
    const { requester: side } = requester()
    const body = Buffer.from(Array.from({ length: 200_001 }, (_, index) => index % 251))
    const chunks = side.stdin(1, body)
    for (const chunk of chunks) if (typeof chunk !== 'string') expect(chunk.buffer).toBe(body.buffer)
    const text = wire(chunks).toString('latin1')
    let content = ''
    for (let at = 0; at < text.length; ) {
      const length = (text.charCodeAt(at + 4) << 8) | text.charCodeAt(at + 5)
      expect(length).toBeLessThanOrEqual(65_528)
      expect((length + text.charCodeAt(at + 6)) % 8).toBe(0)
      content += text.slice(at + 8, at + 8 + length)
      at += 8 + length + text.charCodeAt(at + 6)
    }
    expect(content).toBe(body.toString('latin1'))
  })

  it('never ends STDIN by an empty chunk, and ends it once', () => {
    const { requester: side } = requester()
    expect(side.stdin(1, Buffer.alloc(0))).toEqual([])
    expect(side.stdinEnd(1)).toBe(streamEnd(RecordType.stdin, 1))
    expect(side.stdinEnd(1)).toBe('')
    expect(side.stdin(1, bytes('late'))).toEqual([])
  })

  it('sends nothing more for a request that the responder has ended', () => {
    const { requester: side } = requester()
    side.receive(bytes(endRequest(1, 0, ProtocolStatus.requestComplete)))
    expect([side.stdin(1, bytes('x')), side.stdinEnd(1), side.abort(1)]).toEqual([[], '', ''])
  })

  it('aborts, and waits for the END_REQUEST', () => {
    const { requester: side, events } = requester()
    expect(side.abort(1)).toBe(recordHeader(RecordType.abortRequest, 1, 0, 0))
    expect(side.inFlight).toBe(1)
    side.receive(bytes(record(RecordType.stdout, 1, 'late') + endRequest(1, 1, ProtocolStatus.requestComplete)))
    expect(events()).toEqual(['stdout 1 late', 'end 1 app=1 protocol=0'])
    expect(side.idle).toBe(true)
  })

  it('asks for values as the specification shows it', () => {
    const [asked] = decoded(new Requester(() => {}).getValues(['FCGI_MAX_CONNS', 'FCGI_MPXS_CONNS']))
    expect(asked).toMatchObject({ id: 0, record: { TYPE: RecordType.getValues } })
    expect(asked?.record.values).toEqual(['FCGI_MAX_CONNS', 'FCGI_MPXS_CONNS'])
  })

  it('refuses ids that are out of range or in flight', () => {
    const { requester: side } = requester([1])
    for (const id of [0, 1, 65_536, 1.5]) {
      expect(() => side.begin(id, { role: Role.responder, keepConn: true, params: [] })).toThrow(RangeError)
    }
  })
})

const reply =
  record(RecordType.stderr, 1, 'warning\n') +
  record(RecordType.stdout, 1, 'Status: 200 OK\r\n\r\nhel') +
  record(RecordType.stdout, 9, 'other') +
  record(RecordType.stdout, 1, 'lo', 200 % 8) +
  streamEnd(RecordType.stdout, 1) +
  endRequest(9, 0xfffffffe, ProtocolStatus.overloaded) +
  endRequest(1, 3, ProtocolStatus.requestComplete)

const replyEvents = [
  'stderr 1 warning\n',
  'stdout 1 Status: 200 OK\r\n\r\nhel',
  'stdout 9 other',
  'stdout 1 lo',
  'stdout-end 1',
  'end 9 app=4294967294 protocol=2',
  'end 1 app=3 protocol=0',
]

describe('what a requester receives', () => {
  it('turns interleaved replies into events, whole and byte by byte', () => {
    expect(received([bytes(reply)], [1, 9])).toEqual(replyEvents)
    expect(
      received(
        [...bytes(reply)].map(byte => Buffer.of(byte)),
        [1, 9],
      ),
    ).toEqual(replyEvents)
  })

  it('gives the same events however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), cuts => {
        expect(received(splitAt(bytes(reply), cuts), [1, 9])).toEqual(replyEvents)
      }),
    )
  })

  it('reads what an independent codec writes', () => {
    const { records } = fastcgi
    const body = 'x'.repeat(1003)
    const input = [
      encoded(1, new records.StdErr('oops')),
      encoded(1, new records.StdOut(body)),
      encoded(1, new records.StdOut()),
      encoded(1, new records.EndRequest(5, 0)),
    ]
    expect(received(input)).toEqual(['stderr 1 oops', `stdout 1 ${body}`, 'stdout-end 1', 'end 1 app=5 protocol=0'])
    const values = encoded(0, new records.GetValuesResult([['FCGI_MAX_CONNS', '10']]))
    expect(received([values], [])).toEqual(['values FCGI_MAX_CONNS 10'])
  })

  it('reports an unknown type, which is no error', () => {
    expect(received([bytes(unknownType(99))])).toEqual(['unknown-type 99'])
  })

  it('frees the id with END_REQUEST, so that it can be used again', () => {
    const { requester: side, events } = requester()
    side.receive(bytes(endRequest(1, 0, 0)))
    expect(side.idle).toBe(true)
    side.begin(1, { role: Role.responder, keepConn: true, params: [] })
    side.receive(bytes(record(RecordType.stdout, 1, 'x') + endRequest(1, 0, 0)))
    expect(events()).toEqual(['end 1 app=0 protocol=0', 'stdout 1 x', 'end 1 app=0 protocol=0'])
  })

  it('is not idle while padding of the last record is still to come', () => {
    const { requester: side } = requester()
    side.receive(Buffer.concat([bytes(recordHeader(RecordType.endRequest, 1, 8, 5)), Buffer.alloc(8)]))
    expect([side.inFlight, side.idle]).toEqual([0, false])
    side.receive(Buffer.alloc(5))
    expect(side.idle).toBe(true)
  })

  it.each([
    ['an HTTP server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'version'],
    ['one byte that is no version', '\0', 'version'],
    ['a reply for an id that was never begun', record(RecordType.stdout, 2, 'x'), 'unexpected-record'],
    ['a reply for id 0', record(RecordType.stdout, 0, 'x'), 'unexpected-record'],
    ['a second END_REQUEST', endRequest(1, 0, 0) + endRequest(1, 0, 0), 'unexpected-record'],
    ['output after END_REQUEST', endRequest(1, 0, 0) + record(RecordType.stdout, 1, 'x'), 'unexpected-record'],
    ['an END_REQUEST of four bytes', record(RecordType.endRequest, 1, '\0\0\0\0'), 'body-length'],
    ['a web server', record(RecordType.stdin, 1, 'x'), 'unexpected-record'],
    ['another web server', record(RecordType.beginRequest, 1, '\0'.repeat(8)), 'unexpected-record'],
    ['a record type that nobody defined', record(77, 1, 'x'), 'unexpected-record'],
    ['values for a request', record(RecordType.getValuesResult, 1, ''), 'unexpected-record'],
    ['values that overrun', record(RecordType.getValuesResult, 0, '\x7f\x00a'), 'pair-overrun'],
    ['an unknown type of no length', record(RecordType.unknownType, 0, ''), 'body-length'],
  ])('throws a ProtocolError on %s', (_what, input, code) => {
    for (const chunks of [[bytes(input)], [...bytes(input)].map(byte => Buffer.of(byte))]) {
      let caught: unknown
      try {
        received(chunks)
      } catch (error) {
        caught = error
      }
      expect(caught).toBeInstanceOf(ProtocolError)
      expect((caught as ProtocolError).code).toBe(code)
    }
  })

  it('has emitted what came before the error', () => {
    const { requester: side, events } = requester()
    const input = bytes(`${record(RecordType.stdout, 1, 'x')}${endRequest(1, 0, 0)}garbage`)
    expect(() => side.receive(input)).toThrow(ProtocolError)
    expect(events()).toEqual(['stdout 1 x', 'end 1 app=0 protocol=0'])
  })

  it('finds nothing but ProtocolError in any bytes', () => {
    const type = fc.constantFrom(1, 3, 6, 7, 10, 11, 200)
    const header = fc.tuple(type, fc.nat(2), fc.nat(20), fc.nat(9)).map(all => recordHeader(...all))
    const input = fc.array(fc.oneof(header, fc.string({ unit: 'binary-ascii' })), { maxLength: 30 })
    fc.assert(
      fc.property(input, fc.array(fc.nat(), { maxLength: 4 }), (parts, cuts) => {
        try {
          received(splitAt(bytes(parts.join('')), cuts), [1])
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
    )
  })
})
