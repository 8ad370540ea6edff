/**
 * Requests as bytes, encoded before anything is measured: the same request once as nginx sends it over FastCGI (its
 * stock fastcgi_params and six HTTP headers: 24 params), once as HTTP/1.1 with the same six headers.
 *
 * Nothing of src is used here: the bench must not feed the encoder under test to itself.
 */

const BEGIN_REQUEST = 1
const PARAMS = 4
const STDIN = 5
const STDOUT = 6
const END_REQUEST = 3
const RESPONDER = 1
const KEEP_CONN = 1

/** nginx sends a request body in records of this size. */
const STDIN_CONTENT = 32_768

/** Content of the canned reply's records. */
const STDOUT_CONTENT = 65_528

function record(type, content, id = 1) {
  const padding = -content.length & 7
  const header = Buffer.from([1, type, id >> 8, id & 0xff, content.length >> 8, content.length & 0xff, padding, 0])
  return Buffer.concat([header, content, Buffer.alloc(padding)])
}

function lengthBytes(length) {
  if (length < 0x80) return Buffer.from([length])
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE((length | 0x8000_0000) >>> 0)
  return bytes
}

function pairs(entries) {
  const parts = []
  for (const [name, value] of entries) {
    const [nameBytes, valueBytes] = [Buffer.from(name), Buffer.from(value)]
    parts.push(lengthBytes(nameBytes.length), lengthBytes(valueBytes.length), nameBytes, valueBytes)
  }
  return Buffer.concat(parts)
}

function requestHeaders(request) {
  return [
    ['Host', 'www.example.org'],
    ['Connection', request.keepAlive ? 'keep-alive' : 'close'],
    ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'],
    ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['Accept-Encoding', 'gzip, deflate, br, zstd'],
    ['Accept-Language', 'en-US,en;q=0.5'],
  ]
}

/** nginx's stock fastcgi_params, in its order, then the request's headers. PHP wants to know the script besides. */
function nginxParams(request, remotePort) {
  const [path, query] = request.url.split('?')
  const hasBody = request.body.length > 0
  return [
    ...(request.scriptFile ? [['SCRIPT_FILENAME', request.scriptFile]] : []),
    ['QUERY_STRING', query],
    ['REQUEST_METHOD', request.method],
    ['CONTENT_TYPE', hasBody ? request.bodyType : ''],
    ['CONTENT_LENGTH', hasBody ? String(request.body.length) : ''],
    ['SCRIPT_NAME', path],
    ['REQUEST_URI', request.url],
    ['DOCUMENT_URI', path],
    ['DOCUMENT_ROOT', '/var/www/html'],
    ['SERVER_PROTOCOL', 'HTTP/1.1'],
    ['REQUEST_SCHEME', 'https'],
    ['GATEWAY_INTERFACE', 'CGI/1.1'],
    ['SERVER_SOFTWARE', 'nginx/1.22.1'],
    ['REMOTE_ADDR', '203.0.113.20'],
    ['REMOTE_PORT', String(remotePort)],
    ['SERVER_ADDR', '198.51.100.7'],
    ['SERVER_PORT', '443'],
    ['SERVER_NAME', 'www.example.org'],
    ['REDIRECT_STATUS', '200'],
    ...requestHeaders(request).map(([name, value]) => [`HTTP_${name.toUpperCase().replaceAll('-', '_')}`, value]),
  ]
}

/**
 * One FastCGI request as nginx writes it: everything in one buffer.
 * @param {{ method: string, url: string, body: Buffer, bodyType?: string, keepAlive: boolean, scriptFile?: string }} request
 */
function fastcgiRequest(request, remotePort, id) {
  const begin = Buffer.from([0, RESPONDER, request.keepAlive ? KEEP_CONN : 0, 0, 0, 0, 0, 0])
  const parts = [record(BEGIN_REQUEST, begin, id), record(PARAMS, pairs(nginxParams(request, remotePort)), id)]
  parts.push(record(PARAMS, Buffer.alloc(0), id))
  for (let at = 0; at < request.body.length; at += STDIN_CONTENT) {
    parts.push(record(STDIN, request.body.subarray(at, at + STDIN_CONTENT), id))
  }
  parts.push(record(STDIN, Buffer.alloc(0), id))
  return Buffer.concat(parts)
}

/** The same request as HTTP/1.1. */
function httpRequest(request) {
  const headers = requestHeaders(request)
  if (request.body.length > 0) {
    headers.push(['Content-Type', request.bodyType], ['Content-Length', String(request.body.length)])
  }
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.concat([Buffer.from(`${request.method} ${request.url} HTTP/1.1\r\n${lines}\r\n`), request.body])
}

/**
 * Several requests that differ as real ones do (query, client port), so that nothing is measured that only works for
 * the request before. All of one length. With `multiplex` each has an id of its own.
 * @param {'fastcgi' | 'http'} protocol
 */
export function requestVariants(protocol, { path, multiplex = 1, ...rest }, count) {
  return Array.from({ length: count }, (_, index) => {
    const request = { ...rest, url: `${path}?page=${1000 + index}` }
    return protocol === 'fastcgi'
      ? fastcgiRequest(request, 40_000 + index, multiplex > 1 ? index + 1 : 1)
      : httpRequest(request)
  })
}

/** The canned reply of the floor: what a FastCGI responder would write, whole. */
export function fastcgiReply({ headers, expectedBody }) {
  const all = Object.entries({ Status: '200 OK', ...headers, 'Content-Length': expectedBody.length })
  const head = `${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  const content = Buffer.concat([Buffer.from(head), expectedBody])
  const parts = []
  for (let at = 0; at < content.length; at += STDOUT_CONTENT) {
    parts.push(record(STDOUT, content.subarray(at, at + STDOUT_CONTENT)))
  }
  parts.push(record(STDOUT, Buffer.alloc(0)), record(END_REQUEST, Buffer.alloc(8)))
  return Buffer.concat(parts)
}
