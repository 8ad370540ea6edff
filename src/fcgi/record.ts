/**
 * Records as bytes: the header (FastCGI 1.0 §3.3) and the fixed bodies (§4.2, §5.1, §5.5).
 *
 * Everything is written as a latin1 string, one character a byte: V8 joins short strings for less than a Buffer costs
 * to allocate, and `socket.write(text, 'latin1')` copies it once.
 */

import { ProtocolStatus, RecordType, type Role, VERSION_1 } from './constants.ts'

const byte = (value: number): string => String.fromCharCode(value & 0xff)

const uint16 = (value: number): string => String.fromCharCode((value >> 8) & 0xff, value & 0xff)

/** How many bytes bring `length` to a multiple of eight (§3.3 recommends it). */
export const paddingFor = (length: number): number => -length & 7

const ZEROS = Array.from({ length: 9 }, (_, length) => '\0'.repeat(length))

/** `length` bytes of padding, 0 to 8. */
export const padding = (length: number): string => ZEROS[length] as string

/** The eight bytes in front of `contentLength` bytes of content and `paddingLength` bytes of padding. */
export function recordHeader(type: number, id: number, contentLength: number, paddingLength: number): string {
  return String.fromCharCode(
    VERSION_1,
    type,
    id >> 8,
    id & 0xff,
    contentLength >> 8,
    contentLength & 0xff,
    paddingLength,
    0,
  )
}

/** A whole record from content that is already one character a byte. */
export function record(type: number, id: number, content: string, pad = paddingFor(content.length)): string {
  return recordHeader(type, id, content.length, pad) + content + padding(pad)
}

/** FCGI_BEGIN_REQUEST (§5.1). */
export function beginRequest(id: number, role: Role, flags: number): string {
  return recordHeader(RecordType.beginRequest, id, 8, 0) + uint16(role) + byte(flags) + padding(5)
}

/** FCGI_END_REQUEST (§5.5); appStatus is an unsigned 32-bit number. */
export function endRequest(id: number, appStatus: number, protocolStatus: ProtocolStatus): string {
  return (
    recordHeader(RecordType.endRequest, id, 8, 0) +
    uint16(appStatus >>> 16) +
    uint16(appStatus) +
    byte(protocolStatus) +
    padding(3)
  )
}

let successId = 0
let successText = ''

/**
 * How a request ends that went well: STDOUT and then the request, with appStatus 0. The text for the last id is kept:
 * nginx uses no id but 1.
 */
export function success(id: number): string {
  if (id !== successId) {
    const text = streamEnd(RecordType.stdout, id) + endRequest(id, 0, ProtocolStatus.requestComplete)
    successText = Buffer.from(text, 'latin1').toString('latin1')
    successId = id
  }
  return successText
}

/** FCGI_UNKNOWN_TYPE (§4.2). */
export function unknownType(type: number): string {
  return recordHeader(RecordType.unknownType, 0, 8, 0) + byte(type) + padding(7)
}

/** The end of a stream: a record without content (§3.3). */
export function streamEnd(type: number, id: number): string {
  return recordHeader(type, id, 0, 0)
}

/** The end of FCGI_STDERR, padded: HAProxy 2.6 crashes on an FCGI_STDERR record without padding. */
export function stderrEnd(id: number): string {
  return recordHeader(RecordType.stderr, id, 0, 8) + padding(8)
}
