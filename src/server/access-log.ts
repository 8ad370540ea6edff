/**
 * A line of the access log: the combined format that every log analyser reads, and behind it the time in seconds.
 *
 *     203.0.113.9 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 2326 "http://referer" "agent" 0.012
 */

import { planFor } from '../cgi/plan.ts'
import { requestFacts } from '../cgi/request.ts'
import type { AccessRecord } from './responder.ts'

/** What would end the quotes or the line, as Apache writes it (CVE-2003-0020). */
const escaped = (text: string): string =>
  /["\\\x00-\x1f\x7f-\xff]/.test(text)
    ? text.replace(/["\\\x00-\x1f\x7f-\xff]/g, char =>
        char === '"' || char === '\\' ? `\\${char}` : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
      )
    : text

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

function stampOf(second: number): string {
  const [year, month, day, time] = new Date(second * 1000).toISOString().split(/[-T.]/) as [
    string,
    string,
    string,
    string,
  ]
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${time} +0000`
}

let lastSecond = -1
let lastStamp = ''

/** `now` in milliseconds since 1970; the stamp is UTC. Status 0 becomes nginx's 499: the client left before there was one. */
export function accessLine(record: AccessRecord, now: number): string {
  const second = Math.floor(now / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    lastStamp = stampOf(second)
  }
  const { names, values } = record.params
  const plan = planFor(names)
  const value = (name: string): string => plan.get(values, name) || '-'
  const quoted = (name: string): string => `"${escaped(value(name))}"`
  const { method, originalUrl, protocol } = requestFacts(record.params)
  const request = `"${escaped(`${method} ${originalUrl} ${protocol}`)}"`
  return (
    `${escaped(value('REMOTE_ADDR'))} - ${escaped(value('REMOTE_USER'))} [${lastStamp}] ${request} ` +
    `${record.status || 499} ${record.bytes || '-'} ${quoted('HTTP_REFERER')} ${quoted('HTTP_USER_AGENT')} ` +
    `${(record.duration / 1000).toFixed(3)}\n`
  )
}
