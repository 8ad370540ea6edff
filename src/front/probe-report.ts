/**
 * A probe's result as text: head and body for standard output, everything about them for standard error, or all of it as
 * JSON. Knows how a result looks; the exit code is 0 when the HTTP status is below 400, else 1.
 */

import { STATUS_CODES } from 'node:http'
import type { ResponseHead } from '../cgi/response.ts'
import { ProbeError, type ProbeOptions, type ProbeResult, probe } from './probe.ts'

export interface ProbeOutput {
  readonly stdout: { write(chunk: string | Uint8Array): unknown }
  readonly stderr: { write(chunk: string): unknown }
  /** Print one JSON object, body and all, instead. */
  readonly json?: boolean | undefined
}

/** Bytes as text for a terminal: UTF-8 if they are, and no control character that could steer the terminal. */
const printable = (latin1: string): string =>
  Buffer.from(latin1, 'latin1')
    .toString()
    .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, control => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`)

/** `200 OK`, the headers, an empty line. */
function renderHead({ status, reason, headers }: Pick<ResponseHead, 'status' | 'reason' | 'headers'>): string {
  const title = `${status} ${reason === '' ? (STATUS_CODES[status] ?? '') : reason}`.trimEnd()
  return `${[title, ...headers.map(([name, value]) => `${name}: ${value}`)].map(printable).join('\n')}\n\n`
}

const ms = (duration: number): string => `${duration.toFixed(duration < 10 ? 1 : 0)} ms`

const indented = (text: string): string => text.trimEnd().replaceAll(/^/gm, '  ')

/** What is to be said about a reply: its STDERR, what is wrong with it, size and timing. */
function renderReport(result: ProbeResult): string {
  const { target, stderr, notes, timing, bodyLength } = result
  const lines: string[] = []
  if (stderr !== '') lines.push('stderr:', indented(printable(Buffer.from(stderr).toString('latin1'))))
  for (const note of notes) lines.push(`note: ${note}`)
  const times = `connected after ${ms(timing.connect)}, head after ${ms(timing.head)}, complete after ${ms(timing.total)}`
  lines.push(`${target}: ${bodyLength} bytes of body; ${times}`)
  return `${lines.join('\n')}\n`
}

/** UTF-8 text as it is, anything else in base64. */
function renderJson(result: ProbeResult): string {
  const { body, headers, ...rest } = result
  const text = body.toString()
  const isText = Buffer.from(text).equals(body)
  const shown = isText ? { body: text } : { bodyBase64: body.toString('base64') }
  const utf8 = headers.map(pair => pair.map(part => Buffer.from(part, 'latin1').toString()))
  return `${JSON.stringify({ ...rest, headers: utf8, ...shown }, null, 2)}\n`
}

const endsLine = (chunk: Uint8Array): boolean => chunk.at(-1) === 0x0a

/** Probes and prints, the body as it arrives. Resolves to the exit code. */
export async function runProbe(options: ProbeOptions, output: ProbeOutput): Promise<number> {
  const { stdout, stderr, json = false } = output
  let atLineStart = true
  const streaming: Pick<ProbeOptions, 'onHead' | 'onBody'> = {
    onHead: head => stdout.write(renderHead(head)),
    onBody: chunk => {
      stdout.write(chunk)
      atLineStart = endsLine(chunk)
    },
  }
  try {
    const result = await probe(json ? options : { ...options, ...streaming })
    if (json) stdout.write(renderJson(result))
    else stderr.write((atLineStart ? '' : '\n') + renderReport(result))
    return result.status < 400 ? 0 : 1
  } catch (error) {
    if (!(error instanceof ProbeError)) throw error
    const said = error.stderr === '' ? '' : `stderr:\n${indented(error.stderr)}\n`
    stderr.write(`${atLineStart ? '' : '\n'}${said}runfcgi: ${error.message}\n`)
    return 1
  }
}
