/**
 * One request, and its reply read in full: that every peer does the same work is checked before it is measured.
 */

import net from 'node:net'
import { requestVariants } from './requests.js'

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

function dechunk(bytes) {
  const parts = []
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.latin1Slice(at, lineEnd), 16)
    if (size === 0) return Buffer.concat(parts)
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}

/** Splits head and body; null while the body is not whole. `delimited`: the bytes end where the reply ends. */
function parseReply(bytes, delimited) {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = bytes.latin1Slice(0, headEnd)
  const status = Number(/^(?:Status:|HTTP\/1\.1) ?(\d+)/i.exec(head)?.[1])
  let body = bytes.subarray(headEnd + 4)
  if (delimited) return { status, head, body }
  const length = /^content-length: *(\d+)/im.exec(head)?.[1]
  if (length !== undefined) return body.length < Number(length) ? null : { status, head, body }
  if (!/^transfer-encoding: *chunked/im.test(head)) throw new Error(`a reply of unknown length:\n${head}`)
  if (!bytes.subarray(-7).equals(Buffer.from('\r\n0\r\n\r\n'))) return null
  body = dechunk(body)
  return { status, head, body }
}

/** The whole reply to one request: status, head, body, and `expected`, the number of bytes the load shall look for. */
function fetchReply(protocol, connect, request) {
  return new Promise((resolve, reject) => {
    const chunks = []
    const socket = net.connect(connect, () => socket.write(request))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the connection ended before the reply')))
    socket.on('data', chunk => {
      chunks.push(chunk)
      const bytes = Buffer.concat(chunks)
      const content = protocol === 'fastcgi' ? stdoutOf(bytes) : bytes
      const reply = content && parseReply(content, protocol === 'fastcgi')
      if (!reply) return
      resolve({ ...reply, expected: content.length })
      socket.destroy()
    })
  })
}

/**
 * Asks once and compares.
 * @returns {Promise<number>} the number of bytes the load shall expect of each reply
 * @throws Error if status or body are not what the case says
 */
export async function verifyPeer(protocol, connect, work, body) {
  const [request] = requestVariants(protocol, work, 1)
  const reply = await fetchReply(protocol, connect, request)
  if (reply.status !== 200) throw new Error(`status ${reply.status} instead of 200:\n${reply.head}\n${reply.body}`)
  if (!reply.body.equals(Buffer.from(body))) {
    throw new Error(`a body of ${reply.body.length} bytes that is not the one of ${body.length} bytes asked for`)
  }
  return reply.expected
}
