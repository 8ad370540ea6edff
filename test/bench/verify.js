/**
 * One request, and its reply read in full: that every peer does the same work is checked before it is measured.
 */

import net from 'node:net'

const STDOUT = 6
const END_REQUEST = 3

/** The STDOUT content of a whole FastCGI reply, null while END_REQUEST has not come. */
function stdoutOf(bytes) {
  const parts = []
  for (let at = 0; at + 8 <= bytes.length; ) {
    const content = bytes.readUInt16BE(at + 4)
    const next = at + 8 + content + bytes[at + 6]
    if (next > bytes.length) return null
    if (bytes[at + 1] === STDOUT) parts.push(bytes.subarray(at + 8, at + 8 + content))
    if (bytes[at + 1] === END_REQUEST) return Buffer.concat(parts)
    at = next
  }
  return null
}

/** Splits head and body; null while the body is not whole. `delimited`: the bytes end where the reply ends. */
function parseReply(bytes, delimited) {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = bytes.latin1Slice(0, headEnd)
  const status = Number(/^(?:Status:|HTTP\/1\.1) ?(\d+)/im.exec(head)?.[1] ?? (delimited ? 200 : 0))
  const length = /^content-length: *(\d+)/im.exec(head)?.[1]
  if (length === undefined) throw new Error(`a reply without Content-Length, which the load cannot count:\n${head}`)
  const body = bytes.subarray(headEnd + 4)
  return !delimited && body.length < Number(length) ? null : { status, head, body }
}

/** The socket's address as net.connect wants it: a path, or host:port. */
export function connectOptions(address) {
  const tcp = /^(.+):(\d+)$/.exec(address)
  return tcp ? { host: tcp[1], port: Number(tcp[2]) } : { path: address }
}

/** The whole reply to one request: status, head, body, and `expected`, the number of bytes the load shall look for. */
function fetchReply(protocol, address, request) {
  return new Promise((resolve, reject) => {
    const chunks = []
    const socket = net.connect(connectOptions(address), () => socket.write(request))
    socket.on('error', reject)
    const ended = 'the connection ended before the reply'
    socket.on('close', () => reject(Object.assign(new Error(ended), { code: 'ECONNRESET' })))
    socket.on('data', chunk => {
      chunks.push(chunk)
      try {
        const bytes = Buffer.concat(chunks)
        const content = protocol === 'fastcgi' ? stdoutOf(bytes) : bytes
        const reply = content && parseReply(content, protocol === 'fastcgi')
        if (!reply) return
        resolve({ ...reply, expected: content.length })
      } catch (error) {
        reject(error)
      }
      socket.destroy()
    })
  })
}

/** Headers by lower-case name, with the liberties that servers take in a value (case, space after `;`) taken out. */
function headersOf(head) {
  const lines = head.split('\r\n').map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)])
  return new Map(lines.map(([name, value]) => [name.toLowerCase(), plain(value)]))
}
const plain = value => value.toLowerCase().replaceAll(' ', '')

/**
 * Asks once and compares: status, the headers of the case, and every byte of the body.
 * @returns {Promise<number>} the number of bytes the load shall expect of each reply
 * @throws Error if the reply is not what the case says, or the server cannot be reached
 */
export async function verifyReply(protocol, address, request, work) {
  const { status, head, body, expected } = await fetchReply(protocol, address, request)
  if (status !== 200) throw new Error(`status ${status} instead of 200:\n${head}\n${body.subarray(0, 1000)}`)
  if (!body.equals(work.expectedBody)) {
    throw new Error(`a body of ${body.length} bytes that is not the one of ${work.expectedBody.length} bytes asked for`)
  }
  const headers = headersOf(head)
  for (const [name, value] of Object.entries({ ...work.headers, 'Content-Length': String(body.length) })) {
    if (headers.get(name.toLowerCase()) !== plain(value)) throw new Error(`no header ${name}: ${value} in\n${head}`)
  }
  return expected
}
