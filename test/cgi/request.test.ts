import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { requestFacts } from '../../src/cgi/request.ts'
import { type Capture, captures, posts, type Sent, software } from './captured.ts'

type Variables = Readonly<Record<string, string | undefined>>

function facts(variables: Variables, mount?: string) {
  const entries = Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return requestFacts({ names: entries.map(([name]) => name), values: entries.map(([, value]) => value) }, mount)
}

function paramsOf(entries: readonly (readonly [string, string])[]) {
  return { names: entries.map(([name]) => name), values: entries.map(([, value]) => value) }
}

function variables({ server }: Capture, [, scriptName, pathInfo, requestUri, query, filename]: Sent): Variables {
  const sent = (value: string): string | undefined => (value === '-' ? undefined : value)
  return {
    SERVER_SOFTWARE: software[server],
    SCRIPT_NAME: sent(scriptName),
    PATH_INFO: sent(pathInfo),
    REQUEST_URI: sent(requestUri),
    QUERY_STRING: sent(query),
    SCRIPT_FILENAME: sent(filename),
  }
}

/** scriptName, pathInfo, url and originalUrl, as the tables below have them. */
function paths(sent: Variables, mount?: string): readonly string[] {
  const { scriptName, pathInfo, url, originalUrl } = facts(sent, mount)
  return [scriptName, pathInfo, url, originalUrl]
}

/** What each target is at the root, and what it is if the web server hands the path on as it came. */
const atRoot: Readonly<Record<string, readonly [readonly string[], asItCame?: readonly string[]]>> = {
  '/': [['', '/', '/', '/']],
  '/about': [['', '/about', '/about', '/about']],
  '/a/b?x=1&y=%20': [['', '/a/b', '/a/b?x=1&y=%20', '/a/b?x=1&y=%20']],
  '/a%2Fb': [['', '/a/b', '/a%2Fb', '/a%2Fb']],
  '/%C3%A9%20b': [['', '/\xc3\xa9 b', '/%C3%A9%20b', '/%C3%A9%20b']],
  '//a//b': [
    ['', '/a/b', '/a/b', '/a/b'],
    ['', '//a//b', '//a//b', '//a//b'],
  ],
  '/a/./c/../b': [
    ['', '/a/b', '/a/b', '/a/b'],
    ['', '/a/./c/../b', '/a/./c/../b', '/a/./c/../b'],
  ],
  'http://example.org/a/b?x=1': [['', '/a/b', '/a/b?x=1', '/a/b?x=1']],
}

const belowApp: typeof atRoot = {
  '/app': [['/app', '', '/', '/app']],
  '/app/': [['/app', '/', '/', '/app/']],
  '/app/foo/bar?x=1': [['/app', '/foo/bar', '/foo/bar?x=1', '/app/foo/bar?x=1']],
  '/app/%C3%A9': [['/app', '/\xc3\xa9', '/%C3%A9', '/app/%C3%A9']],
  '/app%2Ffoo': [['/app', '/foo', '/foo', '/app%2Ffoo']],
  '/app//x': [
    ['/app', '/x', '/x', '/app/x'],
    ['/app', '//x', '//x', '/app//x'],
  ],
}

/** `server configuration target` → why the mount point cannot be seen in that request. */
const ambiguous: readonly (readonly [server: string, configuration: RegExp, target: RegExp])[] = [
  // The whole path in one variable, with or without a mount point.
  ['nginx', /^location \/app\/ /, /./],
  ['h2o', /"\/app"/, /./],
  // The first segment looks like a mount point.
  ['lighttpd', /^fastcgi.server = \("\/" => \(\(\.\.\.\)\)\)$/, /./],
  // The mount point alone looks like a whole path.
  ['nginx', /split_path_info/, /^\/app$/],
  ['HAProxy', /\/app/, /^\/app$/],
  // h2o takes the absolute form for a path.
  ['h2o', /"\/"/, /^http:/],
]

function isAmbiguous({ server, configuration }: Capture, target: string): boolean {
  return ambiguous.some(
    ([name, pattern, targets]) => name === server && pattern.test(configuration) && targets.test(target),
  )
}

const title = ({ server, version, configuration }: Capture): string => `${server} ${version} (${configuration})`

/** Those in which the web server sends every path to the application as it is. */
const plain = captures.filter(({ configuration }) => !/rewrite \^|try_files|sub\//.test(configuration))

const capturesOf = (server: string, configuration: RegExp): readonly Capture[] =>
  captures.filter(capture => capture.server === server && configuration.test(capture.configuration))

function expectPaths(capture: Capture, targets: (target: string) => boolean, mount?: string): void {
  const expected = capture.mount === '' ? atRoot : belowApp
  for (const sent of capture.requests.filter(([target]) => targets(target))) {
    const [target] = sent
    expect(expected[target], target).toContainEqual(paths(variables(capture, sent), mount))
  }
}

describe('mount point and path, derived', () => {
  it.each(plain.map(capture => [title(capture), capture] as const))('behind %s', (_, capture) => {
    expectPaths(capture, target => !isAmbiguous(capture, target))
  })

  it('behind a front controller are those that the client asked for', () => {
    const [fcgid] = capturesOf('Apache', /sub\//)
    const [tryFiles] = capturesOf('nginx', /try_files/)
    expect(fcgid?.requests.map(sent => paths(variables(fcgid, sent)))).toEqual([
      ['/sub', '/foo/bar', '/foo/bar?x=1', '/sub/foo/bar?x=1'],
      ['/sub/mysite.fcgi', '', '/', '/sub/mysite.fcgi'],
      ['/sub/mysite.fcgi', '/a/b', '/a/b', '/sub/mysite.fcgi/a/b'],
    ])
    expect(tryFiles?.requests.map(sent => paths(variables(tryFiles, sent)))).toEqual([
      ['', '/about', '/about?q=1', '/about?q=1'],
      ['', '/', '/', '/'],
    ])
  })

  it('of a path that nginx rewrote are those after the rewrite', () => {
    const [rewrite] = capturesOf('nginx', /rewrite \^/)
    expect(rewrite?.requests.map(sent => paths(variables(rewrite, sent)))).toEqual([
      ['', '/new/x', '/new/x?q=1', '/new/x?q=1'],
      ['', '/plain', '/plain', '/plain'],
    ])
  })

  it.each<[string, Variables, readonly string[]]>([
    ['nothing is sent', {}, ['', '', '/', '/']],
    ['everything is empty', { SCRIPT_NAME: '', PATH_INFO: '', REQUEST_URI: '', QUERY_STRING: '' }, ['', '', '/', '/']],
    ['only REQUEST_URI is sent', { REQUEST_URI: '/a%20b?c' }, ['', '/a b', '/a%20b?c', '/a%20b?c']],
    ['REQUEST_URI is not sent', { SCRIPT_NAME: '/s', PATH_INFO: '/a b' }, ['/s', '/a b', '/a%20b', '/s/a%20b']],
    ['REQUEST_URI is *', { SCRIPT_NAME: '', PATH_INFO: '', REQUEST_URI: '*' }, ['', '', '/', '/']],
    ['REQUEST_URI has no path', { REQUEST_URI: 'http://example.org?q' }, ['', '/', '/?q', '/?q']],
    [
      'PATH_INFO repeats SCRIPT_NAME',
      { SCRIPT_NAME: '/a', PATH_INFO: '/a', REQUEST_URI: '/a' },
      ['', '/a', '/a', '/a'],
    ],
    [
      'PATH_INFO is the whole path, as IIS has it',
      { SCRIPT_NAME: '/app', PATH_INFO: '/app/x', REQUEST_URI: '/app/x' },
      ['/app', '/x', '/x', '/app/x'],
    ],
    [
      'SCRIPT_NAME ends with the slash',
      { SCRIPT_NAME: '/app/', PATH_INFO: 'x', REQUEST_URI: '/app/x' },
      ['/app', '/x', '/x', '/app/x'],
    ],
    [
      'nginx takes a prefix off (rewrite ^/app/(.*) /$1 break)',
      { SCRIPT_NAME: '/x', REQUEST_URI: '/app/x' },
      ['/app', '/x', '/x', '/app/x'],
    ],
    [
      'dots would make the mount point longer',
      { SCRIPT_NAME: '/site.fcgi', PATH_INFO: '/x', REQUEST_URI: '/y/../x' },
      ['', '/x', '/x', '/x'],
    ],
    [
      'an escape is broken',
      { SCRIPT_NAME: '', PATH_INFO: '/%zz%', REQUEST_URI: '/%zz%' },
      ['', '/%zz%', '/%zz%', '/%zz%'],
    ],
    [
      'REQUEST_URI holds raw bytes',
      { PATH_INFO: '/\xe9 x', REQUEST_URI: '/\xe9 x?\xe9', QUERY_STRING: '\xe9' },
      ['', '/\xe9 x', '/%E9%20x?%E9', '/%E9%20x?%E9'],
    ],
  ])('when %s', (_, sent, expected) => {
    expect(paths(sent)).toEqual(expected)
  })
})

describe('mount point and path, with the mount point said', () => {
  it.each(plain.map(capture => [title(capture), capture] as const))('behind %s', (_, capture) => {
    const isMistaken = (target: string): boolean => capture.server === 'h2o' && target.startsWith('http:')
    expectPaths(capture, target => !isMistaken(target), capture.mount)
  })

  it('may end with a slash', () => {
    expect(paths({ SCRIPT_NAME: '/app/x', REQUEST_URI: '/app/x' }, '/app/')).toEqual(['/app', '/x', '/x', '/app/x'])
    expect(paths({ SCRIPT_NAME: '/x', REQUEST_URI: '/x' }, '/')).toEqual(['', '/x', '/x', '/x'])
  })

  it('does not take off half a segment', () => {
    expect(paths({ SCRIPT_NAME: '/apple', REQUEST_URI: '/apple' }, '/app')).toEqual(['', '/apple', '/apple', '/apple'])
  })

  it('is the one that the web server took off', () => {
    const sent = { SCRIPT_NAME: '/x/y', REQUEST_URI: '/app/x/y' }
    expect(paths(sent, '/app')).toEqual(['/app', '/x/y', '/x/y', '/app/x/y'])
  })

  it('is also that of a path that the web server took off and rewrote', () => {
    const sent = { SCRIPT_NAME: '/new', REQUEST_URI: '/app/old' }
    expect(paths(sent, '/app')).toEqual(['/app', '/new', '/new', '/app/new'])
  })

  it('holds for a path that was rewritten below it', () => {
    const sent = { SCRIPT_NAME: '/app/new', REQUEST_URI: '/app/old?a=1', QUERY_STRING: 'a=1' }
    expect(paths(sent, '/app')).toEqual(['/app', '/new', '/new?a=1', '/app/new?a=1'])
  })
})

describe('the other facts', () => {
  it.each(Object.entries(posts))('of a POST behind %s', (server, sent) => {
    const request = requestFacts(paramsOf(sent))
    const { method, protocol, query, https, serverName, remoteAddress, contentLength, pathInfo } = request
    expect([method, protocol, query, https, contentLength, pathInfo]).toEqual([
      'POST',
      'HTTP/1.1',
      'x=1',
      false,
      5,
      '/a/b',
    ])
    expect(serverName).toBe(server === 'h2o' ? 'a.test' : 'example.org')
    expect(remoteAddress).toBe('127.0.0.1')
    expect(request.remotePort).toBeGreaterThan(1024)
    // Debian's nginx sends $host, which is without the port.
    expect(request.host).toBe(server === 'nginx' ? 'example.org' : 'example.org:8080')
  })

  it('have defaults where nothing was sent', () => {
    const { method, protocol, query, https, host, serverName, serverPort, remoteAddress, remotePort, contentLength } =
      facts({})
    expect([method, protocol, query, https]).toEqual(['GET', 'HTTP/1.1', '', false])
    expect([host, serverName, serverPort, remoteAddress, remotePort]).toEqual(['localhost', 'localhost', 80, '', 0])
    expect(contentLength).toBe(-1)
  })

  it.each([
    [{ HTTPS: 'on' }, true],
    [{ HTTPS: '1' }, true],
    [{ HTTPS: 'off' }, false],
    [{ HTTPS: '' }, false],
    [{ HTTPS: '', REQUEST_SCHEME: 'https' }, true],
    [{ REQUEST_SCHEME: 'http' }, false],
    [{ HTTP_X_FORWARDED_PROTO: 'https' }, false],
  ])('%j means https: %s', (sent, https) => {
    expect(facts(sent).https).toBe(https)
  })

  it.each([
    [{ SERVER_NAME: 'a.test', SERVER_PORT: '8080' }, 'a.test:8080'],
    [{ SERVER_NAME: 'a.test', SERVER_PORT: '443', HTTPS: 'on' }, 'a.test'],
    [{ SERVER_NAME: 'a.test:8080', SERVER_PORT: '80' }, 'a.test'],
    [{ SERVER_NAME: '::1', SERVER_PORT: '80' }, '[::1]'],
    [{ SERVER_NAME: '[::1]', SERVER_PORT: '81' }, '[::1]:81'],
    [{ SERVER_NAME: 'a.test', HTTP_HOST: 'b.test:1' }, 'b.test:1'],
  ])('%j make the host %s', (sent, host) => {
    expect(facts(sent).host).toBe(host)
  })

  it('take the Host that the configuration adds behind the one of fastcgi_params, which is without the port', () => {
    const names = ['HTTP_HOST', 'REQUEST_URI', 'SCRIPT_NAME', 'HTTP_HOST']
    const request = requestFacts({ names, values: ['a.test', '/', '/', 'a.test:8080'] })
    expect([request.host, request.environ().HTTP_HOST]).toEqual(['a.test:8080', 'a.test:8080'])
  })

  it.each([
    [{ REQUEST_URI: '/a?', SCRIPT_NAME: '/a', QUERY_STRING: '' }, '/a?'],
    [{ REQUEST_URI: '/a?', SCRIPT_NAME: '/a' }, '/a?'],
    [{ REQUEST_URI: '/a??', SCRIPT_NAME: '/a', QUERY_STRING: '?' }, '/a??'],
    [{ REQUEST_URI: '/a', SCRIPT_NAME: '/a', QUERY_STRING: '' }, '/a'],
  ])('%j: the URL is %s', (sent, url) => {
    expect(facts(sent).url).toBe(url)
  })

  it.each(['', '-1', 'x', '5, 5', '0x10', '1e3', '99999999999999999999'])('CONTENT_LENGTH %j is no length', text => {
    expect(facts({ CONTENT_LENGTH: text }).contentLength).toBe(-1)
  })

  it('are the same for the environ', () => {
    const environ = facts({ SCRIPT_NAME: '/app/x', HTTP_HOST: 'a.test:81', CONTENT_LENGTH: '-1' }, '/app').environ()
    expect(environ).toMatchObject({ SCRIPT_NAME: '/app', PATH_INFO: '/x', QUERY_STRING: '', CONTENT_LENGTH: '' })
    expect(environ).toMatchObject({ SERVER_NAME: 'a.test', SERVER_PORT: '80', GATEWAY_INTERFACE: 'CGI/1.1' })
    expect(facts({ REQUEST_URI: '/x?a=1' }).environ()).toMatchObject({ QUERY_STRING: 'a=1', PATH_INFO: '/x' })
    expect(facts({ SERVER_NAME: 'a.test:81' }).environ()).toMatchObject({ SERVER_NAME: 'a.test' })
  })
})

describe('any variables at all', () => {
  const piece = fc.constantFrom('/', '//', 'a', 'b', '.', '..', '%', '%2F', '%2e', '?', '#', ' ', '\0', '\r\n', '\xff')
  const byteString = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code)) })
  const text = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join('')),
    byteString,
    fc.constantFrom('*', 'http://a/b', 'proxy:fcgi://localhost/a', '/site.fcgi', 'Apache', 'lighttpd', '-1', '80'),
  )
  const name = fc.oneof(
    fc.constantFrom(
      'REQUEST_METHOD',
      'SCRIPT_NAME',
      'PATH_INFO',
      'REQUEST_URI',
      'QUERY_STRING',
      'SCRIPT_FILENAME',
      'SERVER_SOFTWARE',
      'SERVER_NAME',
      'SERVER_PORT',
      'HTTP_HOST',
      'HTTPS',
    ),
    byteString,
  )
  const entries = fc.array(fc.tuple(name, text), { maxLength: 12 })
  const mounts = fc.option(fc.constantFrom('', '/', '/a', '/a/', '/a/b'), { nil: undefined })

  it('give a URL of printable ASCII that starts with a slash, and never an error', () => {
    fc.assert(
      fc.property(entries, mounts, (sent, mount) => {
        const request = requestFacts(paramsOf(sent), mount)
        expect(request.url).toMatch(/^\/[\x21-\x7e]*$/)
        expect(request.originalUrl).toMatch(/^\/[\x21-\x7e]*$/)
        expect(request.scriptName).toMatch(/^(?:|\/.*[^/])$/s)
        expect(request.pathInfo).toMatch(/^(?:|\/.*)$/s)
        expect(request.contentLength).toBeGreaterThanOrEqual(-1)
        expect(request.serverPort).toBeLessThanOrEqual(65_535)
        expect(request.environ().SCRIPT_NAME).toBe(request.scriptName)
        for (const fact of [request.method, request.protocol, request.host, request.serverName]) {
          expect(fact).not.toBe('')
        }
        expect(typeof request.https).toBe('boolean')
      }),
      { numRuns: 2_000 },
    )
  })

  it('keep the path: the URL decodes to pathInfo', () => {
    fc.assert(
      fc.property(byteString, mounts, (path, mount) => {
        const sent = { SCRIPT_NAME: '', PATH_INFO: `/${path}`, QUERY_STRING: '' }
        const { url, pathInfo, scriptName } = facts(sent, mount)
        expect(`${scriptName}${Buffer.from(unescape(url), 'latin1').toString('latin1')}`).toBe(
          pathInfo === '' ? `${scriptName}/` : `${scriptName}${pathInfo}`,
        )
      }),
    )
  })
})
