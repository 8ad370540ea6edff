/**
 * Paths percent-encoded (RFC 3986 §2.1) and as bytes, one character a byte. Broken escapes are no error: they stand for
 * themselves, as they do for web servers that let them through.
 */

/** The path of a request target: origin-form or absolute-form (RFC 9112 §3.2), without query; '' when there is none (`*`). */
export function targetPath(target: string): string {
  const start = target.startsWith('/') ? 0 : absolutePathStart(target)
  if (start < 0) return ''
  const query = target.indexOf('?')
  const path = query < 0 ? target.slice(start) : target.slice(start, query)
  return start > 0 && path === '' ? '/' : path
}

/** Where the path of `http://host/path` begins; -1 when the target is not of that form. */
function absolutePathStart(target: string): number {
  const authority = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/.exec(target)
  return authority === null ? -1 : authority[0].length
}

/** What follows the first `?`. */
export function targetQuery(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? '' : target.slice(query + 1)
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** The byte that `%XX` at `at` stands for, -1 when there is no escape. */
function escapedByte(text: string, at: number): number {
  if (text.charCodeAt(at) !== 0x25 || at + 2 >= text.length) return -1
  const high = hexDigit(text.charCodeAt(at + 1))
  const low = hexDigit(text.charCodeAt(at + 2))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

/** Percent-decodes a path to bytes. */
export function decodePath(path: string): string {
  if (!path.includes('%')) return path
  let decoded = ''
  for (let at = 0; at < path.length; at++) {
    const byte = escapedByte(path, at)
    if (byte < 0) decoded += path[at]
    else {
      decoded += String.fromCharCode(byte)
      at += 2
    }
  }
  return decoded
}

/** How many characters of an encoded path stand for the first `bytes` bytes of the decoded one. */
export function encodedLength(path: string, bytes: number): number {
  if (!path.includes('%')) return bytes
  let at = 0
  for (let count = 0; count < bytes; count++) at += escapedByte(path, at) < 0 ? 1 : 3
  return at
}

const escaped = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`

/** Percent-encodes bytes so that they stand for themselves in the path of a URL. */
export function encodePath(bytes: string): string {
  return bytes.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g, escaped)
}

/** Percent-encodes what may not stand in a request target at all: spaces, control characters, bytes above 0x7e. */
export function toPrintable(target: string): string {
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i)
    if (code < 0x21 || code > 0x7e) return target.replace(/[^\x21-\x7e]/g, escaped)
  }
  return target
}
