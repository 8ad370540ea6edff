import { describe, expect, it } from 'vitest'
import { type Authorizer, authorizing, noApplication } from '../../src/app/authorizer.ts'
import type { AdapterOptions, Application } from '../../src/app/exchange.ts'
import { type Exports, findAuthorizer } from '../../src/app/load/detect.ts'
import { type WsgiCallable, type WsgiEnviron, wsgiApplication } from '../../src/app/wsgi/wsgi.ts'
import { type ExchangeInit, type Reply, request } from '../support/exchange.ts'

const options: AdapterOptions = { concurrency: { multithread: false, multiprocess: false, runOnce: false } }

const site = wsgiApplication((environ, startResponse) => {
  startResponse('200 OK', [])
  return [`the site, ${environ.FCGI_ROLE}`]
}, options)

const withGate = (authorizer: Authorizer | WsgiCallable): Application => authorizing(site, authorizer, options)

const ask = (decision: unknown, init: ExchangeInit = {}): Promise<Reply> =>
  request(withGate((() => decision) as Authorizer), { role: 'authorizer', ...init })

const outcome = ({ status, block, text }: Reply) => ({ status, block, text })

describe('an authorizer', () => {
  it('is asked for its role only; everything else is the application’s', async () => {
    const app = withGate(() => true)
    expect(app.authorizes).toBe(true)
    expect((await request(app)).text).toBe('the site, undefined')
    expect((await request(app, { role: 'authorizer' })).text).toBe('')
  })

  it('lets a request pass with true, or with variables for whoever is next', async () => {
    const granted = 'Status: 200 OK\r\n'
    expect(outcome(await ask(true))).toMatchObject({ status: 200, block: `${granted}Content-Length: 0\r\n\r\n` })
    const { status, block } = await ask(Promise.resolve({ variables: { REMOTE_USER: 'ann', LEVEL: 3 } }))
    expect(status).toBe(200)
    expect(block).toContain('Variable-REMOTE_USER: ann\r\nVariable-LEVEL: 3\r\n')
  })

  it('refuses with false, or with a reply of its own', async () => {
    expect(outcome(await ask(false))).toMatchObject({ status: 403, text: '403 Forbidden\n' })
    const own = await ask({ status: 401, headers: [['WWW-Authenticate', 'Basic realm="x"']] })
    expect([own.status, own.headers.get('www-authenticate'), own.text]).toEqual([
      401,
      'Basic realm="x"',
      '401 Unauthorized\n',
    ])
    const page = await ask({ status: '303 See Other', headers: new Map([['Location', '/login']]), body: 'this way' })
    expect([page.status, page.headers.get('location'), page.text]).toEqual([303, '/login', 'this way'])
    expect((await ask(false, { params: { REQUEST_METHOD: 'HEAD' } })).text).toBe('')
  })

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['1', 1],
    ["'yes'", 'yes'],
    ['an empty object', {}],
    ['a refusal without status', { body: 'no' }],
    ['a refusal with 200', { status: 200, body: 'no' }],
    ["a refusal with '200 OK'", { status: '200 OK' }],
    ['a status that is none', { status: 'no' }],
    ['variables and a status', { variables: {}, status: 403 }],
    ['a variable that would split the head', { variables: { A: 'x\r\nVariable-B: y' } }],
    ['a variable without a proper name', { variables: { 'A B': 'x' } }],
  ])('never lets a request pass with %s: that is an error', async (_, decision) => {
    const { failure } = await ask(decision)
    expect(failure).toBeInstanceOf(Error)
  })

  it('refuses when it throws, or when its promise is rejected', async () => {
    const gone = new Error('the database is gone')
    const thrown = () => {
      throw gone
    }
    for (const authorizer of [thrown, async () => thrown()]) {
      expect((await request(withGate(authorizer), { role: 'authorizer' })).failure).toBe(gone)
    }
  })

  it('sees the variables of a WSGI-style application, its role, and no body', async () => {
    let seen: WsgiEnviron | undefined
    const app = withGate((environ: WsgiEnviron) => {
      seen = environ
      return true
    })
    await request(app, { role: 'authorizer', params: { REQUEST_URI: '/a/b?c', HTTP_COOKIE: 'd=e' } })
    expect(seen).toMatchObject({ FCGI_ROLE: 'AUTHORIZER', REQUEST_URI: '/a/b?c', HTTP_COOKIE: 'd=e' })
    expect(seen?.['runfcgi.signal']).toBeInstanceOf(AbortSignal)
  })

  it('with two parameters is WSGI-style: one callable may do both', async () => {
    const both: WsgiCallable = (environ, startResponse) => {
      const asked = environ.FCGI_ROLE === 'AUTHORIZER'
      startResponse('200 OK', asked ? [['Variable-SEEN', 'yes']] : [])
      return asked ? [] : ['the page']
    }
    const app = authorizing(wsgiApplication(both, options), both, options)
    expect((await request(app, { role: 'authorizer' })).headers.get('variable-seen')).toBe('yes')
    expect((await request(app)).text).toBe('the page')
  })

  it('alone has no pages', async () => {
    const app = authorizing(wsgiApplication(noApplication, options), () => true, options)
    expect((await request(app)).status).toBe(501)
  })
})

describe('the export authorizer', () => {
  const gate = () => true

  it.each<[string, Exports]>([
    ['of an ES module', { default: () => {}, authorizer: gate }],
    ['of CommonJS that import does not see', { default: { authorizer: gate } }],
  ])('%s is found', (_, exports) => expect(findAuthorizer(exports)).toBe(gate))

  it.each<[string, Exports]>([
    ['what a framework hangs on its application', { default: Object.assign(() => {}, { authorizer: gate }) }],
    ['what is inherited', { default: Object.create({ authorizer: gate }) }],
    ['what is no function', { authorizer: {} }],
    ['a class', { authorizer: class Authorizer {} }],
  ])('is not %s', (_, exports) => expect(findAuthorizer(exports)).toBeUndefined())
})
