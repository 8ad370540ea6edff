/**
 * `sendfile`: a reply whose body is a file is left to the web server, which is told the file in a header and sends it without
 * the application: X-Sendfile (lighttpd, Apache with mod_xsendfile) or X-Accel-Redirect (nginx). As Rack::Sendfile does it:
 * the application does what it always does, `createReadStream(path).pipe(response)` or Express's `response.sendFile(path)`.
 *
 * Only files below the folders that the setting names, by their own path: what is elsewhere, is no ordinary file, is sent in
 * part or has begun to be read is sent by the application as ever. What a symbolic link leads to is the web server's to
 * allow or not.
 */

import { fstatSync, ReadStream, type Stats, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { encodePath } from '../cgi/url.ts'
import type { SendfileRule } from './exchange.ts'
import { fileOf } from './file-body.ts'

/** What cannot be said in X-Sendfile so that every web server understands the same. */
const AMBIGUOUS = /[%\x00-\x1f\x7f]|[ \t]$/

/** Where a stream begins and ends; its own properties, which its `_read` goes by. */
interface Extent {
  readonly start?: number | undefined
  end: number
}

/** What a reply is so far. */
export interface ReplySoFar {
  readonly method: string | undefined
  readonly status: number
  /** Its header of that name. */
  readonly contentRange: unknown
  /** It has a Content-Encoding, which nginx would drop with most other headers (ngx_http_upstream.c, `redirect`). */
  readonly encoded: boolean
}

/** Makes of the head of a reply one, of 200, that names the file instead. */
export type Rewrite = (block: string) => string

/** Finds out whether a body is a file, and what to tell the web server instead. */
export class FileReplies {
  readonly #rules: readonly SendfileRule[]

  constructor(rules: readonly SendfileRule[]) {
    this.#rules = rules
  }

  /**
   * Undefined: the application is to send the body. Of a reply that is a part of the file (206) the web server cuts out the
   * part itself, as the client has asked it to.
   */
  rewriteFor(body: unknown, { method, status, contentRange, encoded }: ReplySoFar): Rewrite | undefined {
    if (encoded || method === 'HEAD' || (status !== 200 && status !== 206)) return undefined
    const range = status === 206 ? String(contentRange) : undefined
    const path = typeof body === 'object' && body !== null ? pathOf(body, range) : undefined
    const line = path === undefined ? undefined : this.#lineFor(resolve(path))
    return line === undefined ? undefined : block => headWith(line, block)
  }

  /** Lets a stream end as if it had been read, so that whoever waits for its end hears of it. */
  exhaust(stream: unknown): void {
    if (stream instanceof ReadStream) (stream as unknown as Extent).end = -1
  }

  #lineFor(path: string): string | undefined {
    const rule = this.#rules.find(({ folder }) => path.startsWith(folder))
    if (rule === undefined) return undefined
    const bytes = Buffer.from(rule.prefix + path.slice(rule.folder.length)).toString('latin1')
    if (rule.header === 'X-Accel-Redirect') return `X-Accel-Redirect: ${encodePath(bytes)}\r\n`
    // lighttpd decodes escapes, mod_xsendfile takes them as they are.
    return AMBIGUOUS.test(bytes) ? undefined : `X-Sendfile: ${bytes}\r\n`
  }
}

function pathOf(body: object, range: string | undefined): string | undefined {
  const path = body instanceof ReadStream ? body.path : fileOf(body)
  if (typeof path !== 'string') return undefined
  const stats = statsOf(path)
  if (stats?.isFile() !== true) return undefined
  if (!(body instanceof ReadStream)) return range === undefined ? path : undefined
  return isUntouched(body, stats) && isExtent(body as unknown as Extent, stats.size, range) ? path : undefined
}

/** Why there are none the application hears from its stream. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

/** A stream of a descriptor may name any path. */
function isUntouched(stream: ReadStream, { dev, ino }: Stats): boolean {
  if (stream.destroyed || stream.readableEnded || stream.bytesRead > 0) return false
  const { fd } = stream as unknown as { fd: number | null }
  if (fd === null) return true
  const own = fstatSync(fd)
  return own.dev === dev && own.ino === ino
}

function isExtent({ start = 0, end }: Extent, size: number, range: string | undefined): boolean {
  const last = Math.min(end, size - 1)
  if (range === undefined) return start === 0 && last === size - 1
  return range === `bytes ${start}-${last}/${size}`
}

/** The length is that of the file, and the range is the web server's. */
function headWith(line: string, block: string): string {
  const lines = block.slice(0, -2).split(/(?<=\r\n)/)
  const kept = lines.filter(one => !/^content-(length|range):/i.test(one))
  return `${kept.map(one => one.replace(/^Status: 206.*/, 'Status: 200 OK')).join('')}${line}\r\n`
}
