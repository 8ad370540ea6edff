import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Plan, planFor } from '../../src/cgi/plan.ts'
import { bundled } from '../support/bundled.ts'
import { posts } from './captured.ts'

const planFile = await bundled('src/cgi/plan.ts')

type Entries = readonly (readonly [string, string])[]

const namesOf = (entries: Entries): string[] => entries.map(([name]) => name)
const valuesOf = (entries: Entries): string[] => entries.map(([, value]) => value)

/** Often enough that every layout is compiled. */
const OFTEN = 60

/** What `build` makes of the values before and after its layout was compiled; both must be the same. */
function twice<T>(entries: Entries, build: (plan: Plan, values: readonly string[]) => T): T {
  const plan = planFor(namesOf(entries))
  const first = build(plan, valuesOf(entries))
  for (let use = 0; use < OFTEN; use++) build(plan, valuesOf(entries))
  const last = build(plan, valuesOf(entries))
  expect(last).toEqual(first)
  expect(Object.keys(last as object)).toEqual(Object.keys(first as object))
  return last
}

const environOf = (entries: Entries) => twice(entries, (plan, values) => plan.environ(values))
const headersOf = (entries: Entries) => twice(entries, (plan, values) => plan.headers(values))
const rawHeadersOf = (entries: Entries) => twice(entries, (plan, values) => plan.rawHeaders(values))

describe('the environ', () => {
  it('has every variable, and those that RFC 3875 requires also when they were not sent', () => {
    const environ = environOf([
      ['REQUEST_METHOD', 'POST'],
      ['X', ''],
    ])
    expect(environ).toEqual({
      REQUEST_METHOD: 'POST',
      X: '',
      GATEWAY_INTERFACE: 'CGI/1.1',
      SCRIPT_NAME: '',
      PATH_INFO: '',
      QUERY_STRING: '',
      SERVER_NAME: '',
      SERVER_PORT: '',
      SERVER_PROTOCOL: 'HTTP/1.1',
      REMOTE_ADDR: '',
    })
  })

  it('has a method when an empty one was sent', () => {
    expect(environOf([['REQUEST_METHOD', '']]).REQUEST_METHOD).toBe('GET')
  })

  it('joins repeated headers, cookies with a semicolon, and takes the last of any other variable', () => {
    const environ = environOf([
      ['HTTP_X', 'a'],
      ['HTTP_COOKIE', 'c=1'],
      ['REMOTE_USER', 'first'],
      ['HTTP_X', ''],
      ['HTTP_COOKIE', 'd=2'],
      ['HTTP_X', 'b'],
      ['REMOTE_USER', 'last'],
    ])
    expect(environ).toMatchObject({ HTTP_X: 'a, , b', HTTP_COOKIE: 'c=1; d=2', REMOTE_USER: 'last' })
  })

  it('never has HTTP_PROXY or a variable without a name', () => {
    const environ = environOf([
      ['HTTP_PROXY', 'http://evil.test'],
      ['', 'nameless'],
    ])
    expect(Object.keys(environ)).not.toContain('HTTP_PROXY')
    expect(Object.keys(environ)).not.toContain('')
  })

  it('is a fresh plain object each time', () => {
    const plan = planFor(['A'])
    for (let use = 0; use < OFTEN; use++) {
      const environ = plan.environ(['1'])
      expect(environ.A).toBe('1')
      environ.A = 'changed'
      environ.B = 'added'
      expect(Object.getPrototypeOf(environ)).toBe(Object.prototype)
    }
  })

  it('has the properties of a second object after its own, which they win over', () => {
    const appended = { 'wsgi.input': 'input', 'wsgi.errors': 'errors' }
    const source = { input: {}, errors: 5 }
    const entries: Entries = [
      ['wsgi.input', 'from the peer'],
      ['A', '1'],
    ]
    const environ = twice(entries, (plan, values) => plan.environWith<object>(values, appended, source))
    expect(environ).toMatchObject({ A: '1', 'wsgi.errors': 5, GATEWAY_INTERFACE: 'CGI/1.1' })
    expect((environ as Record<string, unknown>)['wsgi.input']).toBe(source.input)
  })

  it.each(Object.entries(posts))('of a request from %s has its headers once', (_, sent) => {
    const environ = environOf(sent)
    expect(environ.HTTP_X_TWICE).toBe('a, b')
    expect(environ.HTTP_COOKIE).toMatch(/^c=1[;,] ?d=2$/)
    expect(environ.CONTENT_LENGTH).toBe('5')
    expect(Object.keys(environ)).not.toContain('HTTP_PROXY')
  })
})

describe('the headers', () => {
  it('are as http.IncomingMessage has them', () => {
    const entries: Entries = [
      ['HTTP_HOST', 'a.test'],
      ['HTTP_ACCEPT_LANGUAGE', 'de'],
      ['HTTP_HOST', 'b.test'],
      ['HTTP_ACCEPT_LANGUAGE', 'en'],
      ['HTTP_COOKIE', 'c=1'],
      ['HTTP_COOKIE', 'd=2'],
      ['CONTENT_TYPE', 'text/plain'],
      ['CONTENT_LENGTH', '5'],
      ['HTTP_CONTENT_LENGTH', '6'],
      ['REMOTE_ADDR', '127.0.0.1'],
    ]
    expect(headersOf(entries)).toEqual({
      host: 'b.test',
      'accept-language': 'de, en',
      cookie: 'c=1; d=2',
      'content-type': 'text/plain',
      'content-length': '5',
    })
    expect(rawHeadersOf(entries)).toEqual([
      ...['Accept-Language', 'de', 'Host', 'b.test', 'Accept-Language', 'en'],
      ...['Cookie', 'c=1', 'Cookie', 'd=2', 'Content-Type', 'text/plain', 'Content-Length', '5'],
    ])
  })

  it('have no length and no type where the web server sent empty ones', () => {
    for (const length of ['', '-1', 'x', '1 ', '12345678901234567890']) {
      const entries: Entries = [
        ['CONTENT_TYPE', ''],
        ['CONTENT_LENGTH', length],
        ['HTTP_EMPTY', ''],
      ]
      expect(headersOf(entries)).toEqual({ empty: '' })
      expect(rawHeadersOf(entries)).toEqual(['Empty', ''])
    }
  })

  it('have the credentials that only mod_rewrite passes on', () => {
    expect(headersOf([['REDIRECT_HTTP_AUTHORIZATION', 'Basic eA==']])).toEqual({ authorization: 'Basic eA==' })
    const both: Entries = [
      ['REDIRECT_HTTP_AUTHORIZATION', 'old'],
      ['HTTP_AUTHORIZATION', 'new'],
    ]
    expect(headersOf(both)).toEqual({ authorization: 'new' })
    expect(rawHeadersOf(both)).toEqual(['Authorization', 'new'])
  })

  it('have no name that is not a token', () => {
    const entries: Entries = [
      ['HTTP_', 'a'],
      ['HTTP_A B', 'b'],
      ['HTTP_\xe9', 'c'],
      ['HTTP_A:', 'd'],
      ['HTTP_PROXY', 'e'],
      ['HTTP_OK', 'f'],
    ]
    expect(headersOf(entries)).toEqual({ ok: 'f' })
    expect(rawHeadersOf(entries)).toEqual(['Ok', 'f'])
  })
})

describe('a single variable', () => {
  it('is the one that the environ has', () => {
    const entries: Entries = [
      ['A', '1'],
      ['HTTP_COOKIE', 'c=1'],
      ['A', '2'],
      ['HTTP_COOKIE', 'd=2'],
      ['HTTP_PROXY', 'evil'],
      ['__proto__', 'evil'],
    ]
    const plan = planFor(namesOf(entries))
    const values = valuesOf(entries)
    expect(plan.get(values, 'A')).toBe('2')
    expect(plan.get(values, 'HTTP_COOKIE')).toBe('c=1; d=2')
    expect(plan.get(values, 'HTTP_PROXY')).toBe(undefined)
    expect(plan.get(values, '__proto__')).toBe(undefined)
    expect(plan.get(values, 'B')).toBe(undefined)
    expect(plan.get(values, 'toString')).toBe(undefined)
  })
})

describe('plans', () => {
  it('are kept for the very array of names', () => {
    const [names, others] = [['A'], ['A']]
    const plan = planFor(names)
    expect(planFor(others)).not.toBe(plan)
    expect(planFor(names)).toBe(plan)
  })

  it('give the same objects however many there are', () => {
    const many = Array.from({ length: 600 }, (_, index) => planFor([`HTTP_X${index}`, 'B']))
    for (let use = 0; use < OFTEN; use++) many.forEach(plan => void plan.environ(['a', 'b']))
    many.forEach((plan, index) => {
      expect(plan.environ(['a', 'b'])).toMatchObject({ [`HTTP_X${index}`]: 'a', B: 'b' })
    })
  })

  it('stay compiled only as long as there are not too many others', () => {
    const { Function: original } = globalThis
    let compilations = 0
    globalThis.Function = new Proxy(original, {
      construct(target, source) {
        compilations++
        return Reflect.construct(target, source)
      },
    })
    const use = (plan: Plan): number => {
      const before = compilations
      for (let time = 0; time < OFTEN; time++) plan.environ(['a'])
      return compilations - before
    }
    try {
      const plan = new Plan(['FIRST'])
      expect([use(plan), use(plan)]).toEqual([1, 0])
      for (let index = 0; index < 256; index++) expect(use(new Plan([`OTHER${index}`]))).toBe(1)
      expect([use(plan), use(plan)]).toEqual([1, 0])
    } finally {
      globalThis.Function = original
    }
  })

  it('serve more variables than one object literal can hold', () => {
    const names = Array.from({ length: 500 }, (_, index) => `V${index}`)
    const plan = new Plan(names)
    for (let use = 0; use < OFTEN; use++) expect(plan.environ(names).V499).toBe('V499')
  })

  it('work where code generation is forbidden', () => {
    const script = `
      import { planFor } from ${JSON.stringify(planFile)}
      const plan = planFor(['A', 'HTTP_X', 'HTTP_X'])
      let environ
      for (let use = 0; use < 200; use++) environ = plan.environ(['1', 'a', 'b'])
      try { new Function('') } catch (error) { console.log(environ.A, environ.HTTP_X, error.name) }`
    const options = ['--disallow-code-generation-from-strings', '--input-type=module', '--eval', script]
    expect(execFileSync(process.execPath, options, { encoding: 'utf8' })).toBe('1 a, b EvalError\n')
  })
})

describe('names that mean something to JavaScript', () => {
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'prototype',
    'HTTP___PROTO__',
    'HTTP_CONSTRUCTOR',
  ]
  const entries: Entries = names.map(name => [name, 'x'])

  it('are plain properties or left out, and no prototype changes', () => {
    const before = Object.getOwnPropertyNames(Object.prototype).join()
    for (const object of [environOf(entries), headersOf(entries)]) {
      expect(Object.getPrototypeOf(object)).toBe(Object.prototype)
      expect(Object.hasOwn(object, '__proto__')).toBe(false)
      expect(Object.values({ ...object }).every(value => typeof value === 'string')).toBe(true)
    }
    expect(environOf(entries)).toMatchObject({ constructor: 'x', toString: 'x', HTTP___PROTO__: 'x' })
    expect(headersOf(entries)).toEqual({ '--proto--': 'x', constructor: 'x' })
    expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(before)
  })

  it('are harmless whatever they are', () => {
    const byte = fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code))
    const text = fc.string({ unit: byte, maxLength: 8 })
    const name = fc.oneof(
      fc.constantFrom(...names, 'HTTP_A', 'A', '"', '\\', '\u2028'),
      text,
      text.map(end => `HTTP_${end}`),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(name, text), { maxLength: 10 }), sent => {
        const environ = environOf(sent)
        for (const [key, value] of Object.entries(environ)) {
          expect(Object.hasOwn(environ, key) && typeof value === 'string').toBe(true)
        }
        for (const key of namesOf(sent).filter(key => !['', '__proto__', 'HTTP_PROXY'].includes(key))) {
          expect(Object.hasOwn(environ, key)).toBe(true)
        }
        for (const header of Object.keys(headersOf(sent))) expect(header).toMatch(/^[!#-'*+.^`|~a-z0-9-]+$/)
        expect(rawHeadersOf(sent).length % 2).toBe(0)
      }),
      { numRuns: 200 },
    )
  })
})
