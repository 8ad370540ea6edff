import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_RESPONSE_HEAD, ResponseHeadError, ResponseHeadParser } from '../../src/cgi/response.ts'

type Outcome = { status: number; headers: string; reason: string; local: string | null; length: number; body: string }

function outcomeOf(chunks: Iterable<Buffer>, limit?: number): Outcome | null {
  const parser = new ResponseHeadParser(limit)
  let outcome: Outcome | null = null
  for (const chunk of chunks) {
    if (outcome !== null) outcome.body += chunk.toString('latin1')
    else {
      const parsed = parser.receive(chunk)
      if (parsed === null) continue
      const { status, reason, headers, localRedirect, contentLength } = parsed.head
      const text = headers.map(pair => pair.join('=')).join('|')
      const body = parsed.rest.toString('latin1')
      outcome = { status, reason, headers: text, local: localRedirect, length: contentLength, body }
    }
  }
  if (outcome === null) throw parser.ended()
  return outcome
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
const oneByOne = (text: string): Buffer[] => [...text].map(bytes)

function splitAt(text: string, cuts: readonly number[]): Buffer[] {
  const edges = [0, ...cuts.map(cut => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
  return edges.slice(1).map((edge, index) => bytes(text.slice(edges[index], edge)))
}

/** The error's code whole and byte by byte, which must be the same. */
function failure(text: string, limit?: number): string {
  const codes = [[bytes(text)], oneByOne(text)].map(chunks => {
    try {
      return JSON.stringify(outcomeOf(chunks, limit))
    } catch (error) {
      if (error instanceof ResponseHeadError) return error.code
      throw error
    }
  })
  expect(codes[0]).toBe(codes[1])
  return codes[0] as string
}

const accepted: [what: string, text: string, expected: Partial<Outcome>][] = [
  [
    'a status with a reason',
    'Status: 404 Not Here\r\nA: b\r\n\r\nx',
    { status: 404, reason: 'Not Here', headers: 'A=b', body: 'x' },
  ],
  ['a status without a reason', 'Status: 503\r\n\r\n', { status: 503, reason: '', headers: '' }],
  ['no status', 'Content-Type: text/plain\r\n\r\nx', { status: 200, headers: 'Content-Type=text/plain', body: 'x' }],
  ['lines ended by LF alone', 'status: 201\nA: 1\nB: 2\n\n\nx', { status: 201, headers: 'A=1|B=2', body: '\nx' }],
  ['both line ends mixed', 'A: 1\nB: 2\r\n\nbody', { headers: 'A=1|B=2', body: 'body' }],
  ['a head without a header', '\r\nbody', { status: 200, headers: '', body: 'body' }],
  ['repeated headers', 'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n', { headers: 'Set-Cookie=a=1|Set-Cookie=b=2' }],
  ['blanks round a value', 'A: \t b c \t\r\n\r\n', { headers: 'A=b c' }],
  ['an empty value', 'A:\r\n\r\n', { headers: 'A=' }],
  ['bytes above 0x7f', 'A: \xe9\xff\r\n\r\n\x80', { headers: 'A=\xe9\xff', body: '\x80' }],
  ['a declared length', 'Content-Length: 12\r\n\r\n', { length: 12, headers: 'Content-Length=12' }],
  [
    'the same length twice, kept once',
    'Content-Length: 1\r\ncontent-length: 1\r\n\r\n',
    { length: 1, headers: 'Content-Length=1' },
  ],
  ['a local redirect', 'Location: /a?b=c\r\n\r\n', { local: '/a?b=c', status: 302 }],
  ['a redirect to another host', 'Location: //host/a\r\n\r\n', { local: null, status: 302 }],
  ['a redirect to an URL', 'Location: http://host/a\r\n\r\n', { local: null, status: 302 }],
  ['a path redirect with a cookie beside it', 'Location: /a\r\nSet-Cookie: b=c\r\n\r\n', { local: null, status: 302 }],
  ['a path redirect with a status', 'Status: 303\r\nLocation: /a\r\n\r\n', { local: null, status: 303 }],
  ['a 201 with a Location', 'Status: 201 Created\r\nLocation: /new\r\n\r\n', { local: null, status: 201 }],
]

describe('the head of a CGI response', () => {
  it.each(accepted)('reads %s, whole and byte by byte', (_what, text, expected) => {
    expect(outcomeOf([bytes(text)])).toMatchObject(expected)
    expect(outcomeOf(oneByOne(text))).toMatchObject(expected)
  })

  it('gives the same result however the bytes are cut', () => {
    const text = 'Status: 200 OK\r\nContent-Type: text/plain\nSet-Cookie: a=b; Path=/\r\nX-E: \xe9\r\n\r\n\r\nbody\n'
    const whole = outcomeOf([bytes(text)])
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), cuts => {
        expect(outcomeOf(splitAt(text, cuts))).toEqual(whole)
      }),
    )
  })

  it.each([
    ['nothing at all', '', 'empty'],
    ['no empty line', 'Status: 200 OK\r\nA: b\r\n', 'incomplete'],
    ['a page without a head', '<html>hello</html>', 'incomplete'],
    ['a page without a head but with lines', '<html>\n<p>a: b</p>\n\n', 'invalid-line'],
    ['an HTTP status line', 'HTTP/1.1 200 OK\r\n\r\n', 'invalid-line'],
    ['a header continued on the next line', 'A: b\r\n c\r\n\r\n', 'invalid-line'],
    ['a blank before the colon', 'A : b\r\n\r\n', 'invalid-line'],
    ['a header without a name', ': b\r\n\r\n', 'invalid-line'],
    ['a NUL', 'A: b\0c\r\n\r\n', 'invalid-line'],
    ['a lone CR', 'A: b\rSet-Cookie: c\r\n\r\n', 'invalid-line'],
    ['an interim status', 'Status: 100 Continue\r\n\r\n', 'invalid-status'],
    ['a status that is a word', 'Status: OK\r\n\r\n', 'invalid-status'],
    ['a status of four digits', 'Status: 2000\r\n\r\n', 'invalid-status'],
    ['a length that is a word', 'Content-Length: many\r\n\r\n', 'invalid-length'],
    ['a negative length', 'Content-Length: -1\r\n\r\n', 'invalid-length'],
    ['two lengths that differ', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\n', 'invalid-length'],
  ])('refuses %s', (_what, text, code) => {
    expect(failure(text)).toBe(code)
  })

  it('refuses a head that is longer than the limit, and takes one that is just as long', () => {
    const head = 'A: 3456\r\n\r\n'
    expect(failure(head, head.length)).toContain('A=3456')
    expect(failure(head, head.length - 1)).toBe('too-large')
    expect(failure(`A: ${'x'.repeat(MAX_RESPONSE_HEAD)}`)).toBe('too-large')
  })

  it('quotes the offending line, shortened, with control characters escaped', () => {
    expect(() => outcomeOf([bytes(`\x1b[31m${'x'.repeat(100)}\n\n`)])).toThrow(/"\\u001b\[31mx{55}…"$/)
  })

  it('parses any bytes or throws a ResponseHeadError, never anything else', () => {
    const piece = fc.constantFrom(
      'Status: ',
      '200',
      '\r\n',
      '\n',
      '\r',
      ':',
      ' ',
      'Location: /',
      'Content-Length: ',
      '\0',
      'a',
    )
    const text = fc
      .array(fc.oneof(piece, fc.string({ unit: 'binary-ascii' })), { maxLength: 20 })
      .map(all => all.join(''))
    fc.assert(
      fc.property(text, fc.array(fc.nat(), { maxLength: 6 }), (input, cuts) => {
        let whole: unknown
        let cut: unknown
        try {
          whole = outcomeOf([bytes(input)])
        } catch (error) {
          expect(error).toBeInstanceOf(ResponseHeadError)
          whole = (error as ResponseHeadError).code
        }
        try {
          cut = outcomeOf(splitAt(input, cuts))
        } catch (error) {
          expect(error).toBeInstanceOf(ResponseHeadError)
          cut = (error as ResponseHeadError).code
        }
        expect(cut).toEqual(whole)
      }),
    )
  })
})
