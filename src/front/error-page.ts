/** The replies that come from the gateway itself: a title, no details. What went wrong is for the log. */

import { STATUS_CODES } from 'node:http'

export interface ErrorPage {
  /** Names and values by turns. */
  readonly headers: readonly string[]
  /** ASCII. */
  readonly body: string
}

/** 503 asks to be tried again in a second. */
export function errorPage(status: number): ErrorPage {
  const title = `${status} ${STATUS_CODES[status] ?? 'Error'}`
  const body = `<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1></html>\n`
  const headers = ['Content-Type', 'text/html; charset=utf-8', 'Content-Length', String(body.length)]
  headers.push('Cache-Control', 'no-store')
  if (status === 503) headers.push('Retry-After', '1')
  return { headers, body }
}
