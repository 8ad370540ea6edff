import { describe, expect, it } from 'vitest'
import { ProtocolStatus, RecordType, Role } from '../../src/fcgi/constants.ts'
import { encodePairs } from '../../src/fcgi/pairs.ts'
import * as wire from '../../src/fcgi/record.ts'
import { abort, begin, feeding, get, params, paramsEnd, SPLITS, stdin, stdinEnd, whole } from './feed.ts'

const PARAMS = { REQUEST_METHOD: 'GET' }
const end = (id: number, appStatus = 0, status: ProtocolStatus = ProtocolStatus.requestComplete): string =>
  wire.endRequest(id, appStatus, status)

describe.each(SPLITS)('a connection that receives its bytes %s', (_name, split) => {
  it('announces a request at the end of PARAMS, without waiting for STDIN', () => {
    const peer = feeding(split)
    peer.feed(begin(1) + params(1) + paramsEnd(1))
    expect(peer.seen).toEqual([{ type: 'request', id: 1, keepConn: false, params: PARAMS }])
    peer.feed(stdin(1, 'hello') + stdinEnd(1))
    expect(peer.seen.slice(1)).toEqual([
      { type: 'body', id: 1, text: 'hello' },
      { type: 'stdinEnd', id: 1 },
    ])
  })

  it('decodes a pair that is cut by the end of a record', () => {
    const peer = feeding(split)
    const pairs = encodePairs([
      ['REQUEST_METHOD', 'GET'],
      ['LONG', 'x'.repeat(300)],
    ])
    const [one, two] = [pairs.slice(0, 27), pairs.slice(27)]
    peer.feed(
      begin(1) +
        wire.record(RecordType.params, 1, one) +
        wire.record(RecordType.params, 1, two) +
        paramsEnd(1) +
        stdinEnd(1),
    )
    expect(peer.requests[0]?.params.values[1]).toBe('x'.repeat(300))
  })

  it('ends a request once, with the id of the request, and is finished if the peer does not keep the connection', () => {
    const peer = feeding(split)
    peer.feed(get(5))
    const { request } = peer.requests[0]!
    peer.connection.stdout(request, 'Status: 200 OK\r\n\r\n')
    peer.connection.end(request)
    peer.connection.end(request, 1)
    peer.connection.stdout(request, 'too late')
    expect(peer.written()).toBe(
      wire.record(RecordType.stdout, 5, 'Status: 200 OK\r\n\r\n') + wire.streamEnd(RecordType.stdout, 5) + end(5),
    )
    expect(peer.connection.finished).toBe(true)
  })

  it('goes on after a request with KEEP_CONN', () => {
    const peer = feeding(split)
    peer.feed(get(1, true))
    peer.connection.end(peer.requests[0]!.request)
    expect(peer.connection.finished).toBe(false)
    peer.feed(get(1, true))
    expect(peer.requests).toHaveLength(2)
  })

  it('carries several requests at once, their bodies interleaved', () => {
    const peer = feeding(split)
    peer.feed(begin(1, { keepConn: true }) + begin(3, { keepConn: true }) + params(3) + params(1) + paramsEnd(1))
    peer.feed(paramsEnd(3) + stdin(3, 'three') + stdin(1, 'one') + stdin(3, ' more') + stdinEnd(1) + stdinEnd(3))
    expect(peer.seen.filter(event => event.type === 'body')).toEqual([
      { type: 'body', id: 3, text: 'three' },
      { type: 'body', id: 1, text: 'one' },
      { type: 'body', id: 3, text: ' more' },
    ])
    peer.connection.end(peer.requests[1]!.request)
    peer.connection.end(peer.requests[0]!.request)
    expect(peer.written()).toBe(end(3) + end(1))
  })

  it('finishes with the last request in flight when one of them is without KEEP_CONN', () => {
    const peer = feeding(split)
    peer.feed(get(1, true) + get(2, false))
    peer.connection.end(peer.requests[1]!.request)
    expect(peer.connection.finished).toBe(false)
    peer.connection.end(peer.requests[0]!.request)
    expect(peer.connection.finished).toBe(true)
  })

  it('is not finished before the body of an answered request has arrived', () => {
    const peer = feeding(split)
    peer.feed(begin(1) + params(1) + paramsEnd(1) + stdin(1, 'x'))
    peer.connection.end(peer.requests[0]!.request)
    expect(peer.connection.draining).toBe(1)
    peer.feed(stdin(1, 'dropped') + stdinEnd(1))
    expect(peer.connection.finished).toBe(true)
    expect(peer.seen.filter(event => event.type === 'body')).toEqual([{ type: 'body', id: 1, text: 'x' }])
  })

  it('lets the id of an answered request be used again while its body is still coming', () => {
    const peer = feeding(split)
    peer.feed(begin(1, { keepConn: true }) + params(1) + paramsEnd(1) + stdin(1, 'old'))
    peer.connection.end(peer.requests[0]!.request)
    peer.feed(begin(1, { keepConn: true }) + params(1) + paramsEnd(1) + stdin(1, 'new') + stdinEnd(1))
    expect(peer.seen.at(-2)).toEqual({ type: 'body', id: 1, text: 'new' })
  })

  it('answers FCGI_ABORT_REQUEST at once with END_REQUEST and drops what the application says later', () => {
    const peer = feeding(split)
    peer.feed(begin(1, { keepConn: true }) + params(1) + paramsEnd(1) + abort(1) + abort(1))
    expect(peer.seen.at(-1)).toEqual({ type: 'abort', id: 1 })
    peer.connection.stdout(peer.requests[0]!.request, 'late')
    peer.connection.end(peer.requests[0]!.request)
    expect(peer.written()).toBe(end(1, 1))
  })

  it('never starts the application for a request aborted before the end of its PARAMS', () => {
    const peer = feeding(split)
    peer.feed(begin(1, { keepConn: true }) + params(1) + abort(1) + paramsEnd(1) + stdinEnd(1))
    expect(peer.seen).toEqual([])
    expect(peer.written()).toBe(end(1, 1))
  })

  it('ignores records for ids that are not active and application types it does not know', () => {
    const peer = feeding(split)
    peer.feed(stdin(9, 'x') + params(9) + abort(9) + wire.record(77, 9, 'x') + wire.record(RecordType.data, 9, 'x'))
    expect(peer.seen).toEqual([])
    expect(peer.written()).toBe('')
    peer.feed(get(1))
    expect(peer.seen).toHaveLength(1)
  })

  it('answers a management type it does not know with FCGI_UNKNOWN_TYPE, and goes on', () => {
    const peer = feeding(split)
    peer.feed(wire.record(99, 0, 'whatever') + get(1))
    expect(peer.written()).toBe(wire.unknownType(99))
    expect(peer.seen).toHaveLength(1)
  })

  it('answers FCGI_GET_VALUES with the variables asked for that it knows, in one record', () => {
    const peer = feeding(split)
    const asked = encodePairs([
      ['FCGI_MPXS_CONNS', ''],
      ['FCGI_MAX_REQS', ''],
      ['FCGI_WHAT', ''],
    ])
    peer.feed(wire.record(RecordType.getValues, 0, asked))
    const answer = encodePairs([
      ['FCGI_MPXS_CONNS', '1'],
      ['FCGI_MAX_REQS', '4'],
    ])
    expect(peer.written()).toBe(wire.record(RecordType.getValuesResult, 0, answer))
  })

  it.each([0, Role.filter, 77])('refuses role %i with FCGI_UNKNOWN_ROLE', role => {
    const peer = feeding(split)
    peer.feed(begin(2, { role, keepConn: true }) + params(2) + paramsEnd(2) + stdinEnd(2) + get(3, true))
    expect(peer.written()).toBe(end(2, 0, ProtocolStatus.unknownRole))
    expect(peer.seen.map(event => event.type)).toEqual(['request'])
  })

  it('lets its owner refuse the role Authorizer: to lighttpd a reply without a status is a yes', () => {
    const peer = feeding(split)
    peer.feed(begin(2, { role: Role.authorizer, keepConn: true }) + params(2) + paramsEnd(2) + get(3, true))
    expect(peer.seen).toMatchObject([
      { type: 'refused', id: 2, reason: 'unknown-role' },
      { type: 'request', id: 3 },
    ])
    expect(peer.written()).toBe('')
  })

  it('refuses a request whose PARAMS are too large after reading them, and goes on', () => {
    const peer = feeding(split)
    peer.feed(begin(1, { keepConn: true }) + params(1, { A: 'x'.repeat(3_000) }) + params(1, { B: 'x'.repeat(3_000) }))
    expect(peer.seen).toEqual([])
    peer.feed(paramsEnd(1) + stdinEnd(1))
    expect(peer.seen).toEqual([{ type: 'refused', id: 1, reason: 'params-too-large' }])
  })

  it('refuses requests above the number allowed in flight', () => {
    const peer = feeding(split)
    for (let id = 1; id <= 5; id++) peer.feed(get(id, true))
    expect(peer.seen.at(-1)).toEqual({ type: 'refused', id: 5, reason: 'too-many-requests' })
  })

  it.each([
    ['a version of 2', '\x02\x01\x00\x01\x00\x08\x00\x00', 'version'],
    ['BEGIN_REQUEST without an id', begin(0), 'request-id'],
    ['STDIN without an id', stdin(0, 'x'), 'request-id'],
    ['GET_VALUES with an id', wire.record(RecordType.getValues, 1, ''), 'request-id'],
    ['BEGIN_REQUEST of 7 bytes', wire.record(RecordType.beginRequest, 1, '\0\x01\0\0\0\0\0'), 'body-length'],
    ['BEGIN_REQUEST for an id in use', begin(1) + begin(1), 'id-in-use'],
    [
      'a pair longer than PARAMS',
      begin(1) + wire.record(RecordType.params, 1, '\x7f\x01A') + paramsEnd(1),
      'pair-overrun',
    ],
    [
      'a pair of 2^31 - 1 bytes',
      begin(1) + wire.record(RecordType.params, 1, '\xff\xff\xff\xff\xff\xff\xff\xffA') + paramsEnd(1),
      'pair-overrun',
    ],
    ['requests without end', Array.from({ length: 9 }, (_, at) => begin(at + 1)).join(''), 'too-many-incomplete'],
  ])('gives the connection up for %s', (_what, bytes, code) => {
    const peer = feeding(split)
    peer.feed(bytes)
    expect(peer.seen).toEqual([{ type: 'violation', code }])
    peer.feed(get(8))
    expect(peer.seen).toHaveLength(1)
  })

  it('delivers what came before a violation', () => {
    const peer = feeding(split)
    peer.feed(`${get(1)}\x02`)
    expect(peer.seen.map(event => event.type)).toEqual(['request', 'violation'])
  })
})

describe('a connection', () => {
  it('says that a request has no body when its end came with it', () => {
    const peer = feeding(bytes => [bytes])
    peer.feed(get(1))
    expect(peer.requests[0]?.request.bodyless).toBe(true)
    expect(peer.seen).toHaveLength(1)
  })

  it('aborts requests that were cut off by the end of the connection and keeps those that are whole', () => {
    const peer = feeding(bytes => [bytes])
    peer.feed(get(1, true) + begin(2, { keepConn: true }) + params(2) + paramsEnd(2) + begin(3))
    expect(peer.connection.receiveEnd().map(event => event.type)).toEqual(['abort'])
    expect(peer.connection.inflight).toBe(1)
    peer.connection.end(peer.requests[0]!.request)
    expect(peer.connection.finished).toBe(true)
  })

  it('refuses a request whose PARAMS take too long', () => {
    const peer = feeding(bytes => [bytes])
    peer.connection.receive(Buffer.from(begin(1), 'latin1'), 1_000)
    expect(peer.connection.expire(1_000)).toEqual([])
    expect(peer.connection.expire(1_001)).toMatchObject([{ type: 'refused', reason: 'params-too-slow' }])
  })

  it('cuts a long reply into records of 65,528 bytes and copies nothing of it but a short rest', () => {
    const peer = feeding(bytes => [bytes])
    peer.feed(get(1))
    const body = Buffer.alloc(2 * 65_528 + 3, 'a')
    peer.connection.stdout(peer.requests[0]!.request, body)
    const parts = peer.connection.out.take()
    expect(parts.filter(part => typeof part !== 'string').map(part => (part as Buffer).buffer === body.buffer)).toEqual(
      [true, true],
    )
    expect(parts[0]).toBe(wire.recordHeader(RecordType.stdout, 1, 65_528, 0))
    expect(parts[2]).toBe(wire.recordHeader(RecordType.stdout, 1, 65_528, 0))
    expect(parts[4]).toBe(wire.record(RecordType.stdout, 1, 'aaa', 5))
  })

  it('keeps no array of its own between two requests, which V8 would take for long-lived and those of all others with it', () => {
    const [one, other] = [get(1), get(1)].map(request => {
      const peer = feeding(bytes => [bytes])
      peer.feed(request)
      peer.connection.stdout(peer.requests[0]!.request, Buffer.alloc(65_528))
      peer.connection.end(peer.requests[0]!.request)
      peer.connection.out.take()
      return peer.connection
    })
    expect(one!.receive(Buffer.alloc(0))).toBe(other!.receive(Buffer.alloc(0)))
  })

  it('pads every STDERR record, and ends the stream only if it was used', () => {
    const peer = feeding(bytes => [bytes])
    peer.feed(get(1))
    const { request } = peer.requests[0]!
    peer.connection.stderr(request, '12345678')
    peer.connection.end(request)
    expect(peer.written()).toBe(
      wire.record(RecordType.stderr, 1, '12345678', 8) + wire.record(RecordType.stderr, 1, '', 8) + end(1),
    )
  })
})

describe('what is read at once', () => {
  it('gives the body in its records as one piece for each request', () => {
    const peer = feeding(whole)
    peer.feed(begin(1) + params(1) + paramsEnd(1) + begin(2) + params(2) + paramsEnd(2))
    const bytes = Buffer.from(stdin(1, 'one') + stdin(1, ' two') + stdin(2, 'other') + stdin(1, 'three'), 'latin1')
    const chunks = peer.connection.receive(bytes).flatMap(event => (event.type === 'stdin' ? [`${event.chunk}`] : []))
    expect(chunks).toEqual(['one two', 'other', 'three'])
  })

  it('is as much of a buffer as was said', () => {
    const { connection } = feeding(whole)
    const request = Buffer.from(get(1), 'latin1')
    const events = connection.receive(Buffer.concat([request, Buffer.alloc(100, 0xff)]), 0, request.length)
    expect(events.map(({ type }) => type)).toEqual(['request'])
  })
})
