import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  declaredLength,
  type Header,
  HeaderError,
  hasNoBody,
  headerBlock,
  statusCode,
  statusFirst,
} from '../../src/cgi/reply.ts'
import { ResponseHeadParser } from '../../src/cgi/response.ts'

function codeOf(attempt: () => unknown): string | undefined {
  try {
    attempt()
  } catch (error) {
    if (error instanceof HeaderError) return error.code
    throw error
  }
  return undefined
}

describe('the head of a reply', () => {
  it('is the status, the headers and an empty line', () => {
    const block = headerBlock('200 OK', [
      ['Content-Type', 'text/plain'],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['Content-Length', 5],
      ['X-Empty', ''],
    ])
    expect(block).toBe(
      'Status: 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\nX-Empty: \r\n\r\n',
    )
  })

  it('has the status behind a Location, before which HAProxy would make it 302', () => {
    const headers: Header[] = [
      ['location', '/new'],
      ['X-Own', '1'],
    ]
    const block = headerBlock('201 Created', headers)
    expect(block).toBe('location: /new\r\nX-Own: 1\r\nStatus: 201 Created\r\n\r\n')
    expect(statusFirst(block)).toBe('Status: 201 Created\r\nlocation: /new\r\nX-Own: 1\r\n\r\n')
    expect(statusFirst('Status: 200 OK\r\nX: 1\r\n\r\n')).toBe('Status: 200 OK\r\nX: 1\r\n\r\n')
  })

  it('takes any iterable of headers', () => {
    expect(headerBlock('204 No Content', new Headers({ a: '1' }))).toBe('Status: 204 No Content\r\na: 1\r\n\r\n')
  })

  it.each([
    ...['Connection', 'keep-alive', 'Transfer-Encoding', 'UPGRADE', 'TE', 'Trailer'],
    ...['Proxy-Connection', 'proxy-authenticate', 'Status'],
  ])('leaves %s out', name => {
    expect(headerBlock('200 OK', [[name, 'x']])).toBe('Status: 200 OK\r\n\r\n')
    expect(headerBlock('200 OK', [[name, 'x']])).toBe('Status: 200 OK\r\n\r\n')
  })

  it.each(['', 'a b', 'a:', 'a\r\nb', 'a\0', '\xe9', 'a\u0100'])('refuses the name %j, again and again', name => {
    for (let time = 0; time < 2; time++) expect(codeOf(() => headerBlock('200 OK', [[name, 'x']]))).toBe('invalid-name')
  })

  it.each(['a\rb', 'a\nb', 'a\r\nSet-Cookie: b', 'a\0', '\x7f', '\x1b', '\u0100', '\u{1f600}'])(
    'refuses the value %j',
    value => {
      expect(codeOf(() => headerBlock('200 OK', [['X', value]]))).toBe('invalid-value')
    },
  )

  it('sends values of latin1 as they are', () => {
    expect(headerBlock('200 OK', [['X', 'a\t\xe9 "']])).toBe('Status: 200 OK\r\nX: a\t\xe9 "\r\n\r\n')
  })

  it.each([undefined, null, {}, ['a'], true])('refuses %j for a value and for a name', value => {
    expect(codeOf(() => headerBlock('200 OK', [['X', value as string]]))).toBe('invalid-value')
    expect(codeOf(() => headerBlock('200 OK', [[value as string, 'x']]))).toBe('invalid-name')
  })

  it.each([
    '',
    '200OK',
    '20 OK',
    '2000',
    '100 Continue',
    '199',
    '1000',
    '200 O\r\nK',
    '200 \0',
    '200 \u0100',
    ' 200 OK',
  ])('refuses the status %j', status => {
    expect(codeOf(() => headerBlock(status, []))).toBe('invalid-status')
    expect(codeOf(() => statusCode(status))).toBe('invalid-status')
  })

  it('has the number of the status', () => {
    expect(['200 OK', '404', '999 Own', '200 '].map(statusCode)).toEqual([200, 404, 999, 200])
  })

  it('never lets CR, LF or NUL through, and is read as it was meant', () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom('\r', '\n', '\0', ':', ' ', 'a'), fc.string({ maxLength: 1 })),
    })
    const status = fc.oneof(fc.constant('200 OK'), text)
    const name = fc.oneof(fc.constantFrom('X', 'Set-Cookie', '__proto__', 'constructor'), text)
    fc.assert(
      fc.property(status, fc.array(fc.tuple(name, text), { maxLength: 4 }), (line, headers) => {
        let block: string
        try {
          block = headerBlock(line, headers)
        } catch (error) {
          expect(error).toBeInstanceOf(HeaderError)
          return
        }
        const lines = block.split('\r\n')
        expect(lines.slice(-2)).toEqual(['', ''])
        expect(lines.slice(0, -2).join('')).not.toMatch(/[\r\n\0\u0100-\uffff]/)
        expect(lines.slice(0, -2).every(one => /^[^:\s]+: /.test(one))).toBe(true)
        expect(lines.length - 3).toBeLessThanOrEqual(headers.length)
      }),
      { numRuns: 1_000 },
    )
  })

  it('is what a web server reads', () => {
    const block = headerBlock('404 Not Found', [['X-A', 'b: c']])
    const parsed = new ResponseHeadParser().receive(Buffer.from(`${block}body`, 'latin1'))
    expect(parsed?.head).toMatchObject({ status: 404, reason: 'Not Found', headers: [['X-A', 'b: c']] })
  })
})

describe('the declared length', () => {
  it('is that of the header, whatever its case', () => {
    expect(declaredLength([['Content-Type', 'a']])).toBe(-1)
    expect(declaredLength([['content-LENGTH', '0']])).toBe(0)
    expect(declaredLength([['Content-Length', 17]])).toBe(17)
    const twice = [['Content-Length', '5'] as const, ['content-length', '5'] as const]
    expect(declaredLength(twice)).toBe(5)
  })

  it.each(['', '-1', '1.5', '5, 5', '0x5', ' 5', Number.NaN, -1])('must not be %j', length => {
    expect(codeOf(() => declaredLength([['Content-Length', length]]))).toBe('invalid-length')
  })

  it('must not be two', () => {
    const headers = [['Content-Length', '5'] as const, ['Content-Length', '6'] as const]
    expect(codeOf(() => declaredLength(headers))).toBe('invalid-length')
  })
})

describe('a reply without body', () => {
  it('is one to HEAD, a 204 or a 304', () => {
    expect([hasNoBody('HEAD', 200), hasNoBody('GET', 204), hasNoBody('GET', 304)]).toEqual([true, true, true])
    expect([hasNoBody('GET', 200), hasNoBody('POST', 205), hasNoBody('head', 200)]).toEqual([false, false, false])
  })
})
