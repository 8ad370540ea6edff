import { describe, expect, it } from 'vitest'
import { isBelow } from '../../src/cgi/mount.ts'
import { type HttpRequest, parseTarget, requestParams } from '../../src/front/params.ts'

function paramsOf(
  init: Partial<Omit<HttpRequest, 'target'>> & { target?: string },
  mount = '',
): Record<string, string> {
  const target = parseTarget(init.target ?? '/')
  if (target === null) throw new Error(`bad target ${init.target}`)
  const request: HttpRequest = {
    method: 'GET',
    redirected: false,
    httpVersion: '1.1',
    rawHeaders: ['Host', 'example.org:8080'],
    secure: false,
    remote: { address: '10.0.0.1', port: 50_000 },
    local: { address: '127.0.0.1', port: 8080 },
    ...init,
    target,
  }
  const entries = requestParams(request, mount, 'test')
  expect(new Set(entries.map(([name]) => name)).size).toBe(entries.length)
  return Object.fromEntries(entries)
}

describe('the target of a request', () => {
  it.each([
    ['/', '/', ''],
    ['/a/b?c=d', '/a/b', 'c=d'],
    ['/a?', '/a', ''],
    ['/a?b?c', '/a', 'b?c'],
    ['/caf%C3%A9%20%2f', '/caf\xc3\xa9 /', ''],
    ['/a/../b', '/b', ''],
    ['/a/./b/..', '/a/', ''],
    ['/a/%2e%2e/b', '/b', ''],
    ['/a/.', '/a/', ''],
    ['/a//b', '/a//b', ''],
    ['/.well-known/x', '/.well-known/x', ''],
    ['/a?x=/../y', '/a', 'x=/../y'],
    ['http://other.example/x?y', '/x', 'y'],
    ['http://other.example', '/', ''],
    ['http://other.example?y', '/', 'y'],
  ])('%s has the path %j and the query %j', (target, path, query) => {
    expect(parseTarget(target)).toMatchObject({ path, query })
  })

  it.each(['', '*', 'example.org:443', '/%', '/%4', '/%zz', '/%00', '/..', '/a/../..', '/%2e%2e/etc', 'ftp://host/x'])(
    'is refused if it is %j',
    target => {
      expect(parseTarget(target)).toBeNull()
    },
  )

  it('is below the mount point only at a segment boundary', () => {
    const mounts = [
      ['', '/x'],
      ['/app', '/app'],
      ['/app', '/app/'],
      ['/app', '/app/x'],
    ] as const
    for (const [mount, path] of mounts) expect(isBelow(path, mount)).toBe(true)
    for (const path of ['/', '/apple', '/x/app']) expect(isBelow(path, '/app')).toBe(false)
  })
})

describe('the CGI variables of an HTTP request', () => {
  it('say what RFC 3875 asks for', () => {
    expect(paramsOf({ target: '/a%20b?c=%20', method: 'PATCH' })).toEqual({
      GATEWAY_INTERFACE: 'CGI/1.1',
      SERVER_SOFTWARE: 'test',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SERVER_NAME: 'example.org',
      SERVER_ADDR: '127.0.0.1',
      SERVER_PORT: '8080',
      REMOTE_ADDR: '10.0.0.1',
      REMOTE_PORT: '50000',
      REQUEST_SCHEME: 'http',
      REQUEST_METHOD: 'PATCH',
      REQUEST_URI: '/a%20b?c=%20',
      SCRIPT_NAME: '',
      PATH_INFO: '/a b',
      QUERY_STRING: 'c=%20',
      HTTP_HOST: 'example.org:8080',
    })
  })

  it('divide the path between SCRIPT_NAME and PATH_INFO at the mount point', () => {
    expect(paramsOf({ target: '/app/x%2Fy?z' }, '/app')).toMatchObject({
      SCRIPT_NAME: '/app',
      PATH_INFO: '/x/y',
      REQUEST_URI: '/app/x%2Fy?z',
    })
    expect(paramsOf({ target: '/app' }, '/app')).toMatchObject({ SCRIPT_NAME: '/app', PATH_INFO: '' })
  })

  it('say HTTPS only behind TLS', () => {
    expect(paramsOf({ secure: true })).toMatchObject({ HTTPS: 'on', REQUEST_SCHEME: 'https' })
    expect(paramsOf({})).not.toHaveProperty('HTTPS')
  })

  it('carry type and length of the body under their own names only', () => {
    const rawHeaders = ['Host', 'h', 'Content-Type', 'text/plain', 'Content-Length', '3']
    const params = paramsOf({ rawHeaders, method: 'POST' })
    expect(params).toMatchObject({ CONTENT_TYPE: 'text/plain', CONTENT_LENGTH: '3' })
    expect(Object.keys(params).filter(name => name.startsWith('HTTP_'))).toEqual(['HTTP_HOST'])
    const redirected = paramsOf({ rawHeaders, redirected: true })
    expect(redirected).not.toHaveProperty('CONTENT_TYPE')
    expect(redirected).not.toHaveProperty('CONTENT_LENGTH')
  })

  it('join repeated headers, cookies as cookies', () => {
    const rawHeaders = ['Host', 'h', 'X-A', '1', 'x-a', '2', 'Cookie', 'a=1', 'cookie', 'b=2']
    expect(paramsOf({ rawHeaders })).toMatchObject({ HTTP_X_A: '1, 2', HTTP_COOKIE: 'a=1; b=2' })
  })

  it('leave out what concerns the connection, and what the client named in Connection', () => {
    const rawHeaders = ['Host', 'h', 'Connection', 'keep-alive, X-Hop', 'Keep-Alive', 'timeout=5', 'X-Hop', '1']
    rawHeaders.push(
      'TE',
      'trailers',
      'Transfer-Encoding',
      'chunked',
      'Upgrade',
      'h2c',
      'Expect',
      '100-continue',
      'X-End',
      '2',
    )
    const names = Object.keys(paramsOf({ rawHeaders })).filter(name => name.startsWith('HTTP_'))
    expect(names).toEqual(['HTTP_HOST', 'HTTP_X_END'])
  })

  it('never let a client pose as the web server', () => {
    const rawHeaders = [
      'Host',
      'h',
      'Proxy',
      'http://evil',
      'X_Forwarded_For',
      '1.2.3.4',
      '__proto__',
      'x',
      'Content_Length',
      '9',
    ]
    const names = Object.keys(paramsOf({ rawHeaders })).filter(name => name.startsWith('HTTP_'))
    expect(names).toEqual(['HTTP_HOST'])
    expect(paramsOf({ rawHeaders: ['Host', 'h', 'Connection', 'Host'] })).toHaveProperty('HTTP_HOST', 'h')
  })

  it('take the host from an absolute target, and the address of the socket if nobody named one', () => {
    expect(paramsOf({ target: 'http://other:81/x' })).toMatchObject({
      SERVER_NAME: 'other',
      HTTP_HOST: 'other:81',
      REQUEST_URI: '/x',
    })
    expect(paramsOf({ rawHeaders: ['Host', '[::1]:8080'] })).toHaveProperty('SERVER_NAME', '[::1]')
    const local = { address: '::1', port: 80 }
    expect(paramsOf({ rawHeaders: [], httpVersion: '1.0', local })).toMatchObject({
      SERVER_NAME: '[::1]',
      SERVER_ADDR: '::1',
    })
  })
})
