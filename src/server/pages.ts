/** The few replies that come from runfcgi itself. Plain text: the web server has its own idea of an error page. */

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

export interface Page {
  readonly block: string
  readonly body: string
}

/** A page for `status`, with `details` below its title; 503 asks to be tried again in a second. */
export function page(status: number, details = ''): Page {
  const title = `${status} ${REASONS[status] ?? 'Error'}`
  const body = details === '' ? `${title}\n` : `${title}\n\n${details}\n`
  return {
    block:
      `Status: ${title}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n${status === 503 ? 'Retry-After: 1\r\n' : ''}\r\n`,
    body,
  }
}
