/** The parts of HTTP's grammar (RFC 9110) that are read in more than one place. */

/** The name of a header, or a method (§5.6.2). */
export const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/

/** A Content-Length as a number (§8.6); -1 for text that is none: Caddy sends -1, nginx nothing, where the length is not known. */
export function parseLength(text: string): number {
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
  }
  return text !== '' && text.length < 16 ? Number(text) : -1
}
