/**
 * The head of an HTTP/1.1 response, as ServerResponse writes it, turned into that of a CGI reply (RFC 3875 §6.2). The header
 * fields are left as they are: what must not be sent has been taken out before (src/app/node-response.ts).
 */

/** The length of `HTTP/1.1 `, with which ServerResponse begins every head. */
const VERSION_LENGTH = 9

const digit = (text: string, position: number): number => text.charCodeAt(position) - 0x30

/** Where the head of `text` ends and the body begins. */
export function headLength(text: string): number {
  return text.indexOf('\r\n\r\n') + 4
}

export function headStatus(text: string): number {
  return digit(text, VERSION_LENGTH) * 100 + digit(text, VERSION_LENGTH + 1) * 10 + digit(text, VERSION_LENGTH + 2)
}

/**
 * The CGI head. `dispositions`: the values of Content-Disposition as the application gave them. node:http decodes them as
 * UTF-8 when it knows the length of the body, because it then sends the head as UTF-8. Ours is sent as latin1.
 */
export function cgiHead(text: string, length: number, dispositions: readonly string[] | undefined): string {
  let block = `Status: ${text.substring(VERSION_LENGTH, length)}`
  for (const value of dispositions ?? []) {
    block = block.replace(`: ${Buffer.from(value, 'latin1')}\r\n`, () => `: ${value}\r\n`)
  }
  return block
}
