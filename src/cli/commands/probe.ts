/** `probe`: operands to one request, sent to the address in the settings. */

import { readFileSync } from 'node:fs'
import { UsageError } from '../../config/errors.ts'
import type { ProbeOptions } from '../../front/probe.ts'
import { runProbe } from '../../front/probe-report.ts'
import type { Target } from '../../front/target.ts'
import { errnoOf } from '../../server/thrown.ts'
import { addressesOf, reachable } from '../addresses.ts'
import type { Invocation } from '../commands.ts'
import { CommandError } from '../errors.ts'
import { settingsFor } from '../settings.ts'

/** What the operands say of the request. */
type Request = Pick<ProbeOptions, 'method' | 'path' | 'headers' | 'body'>

/** `SCRIPT_FILENAME=/srv/x.php`: no setting is written in capitals. */
const isVariable = ([name]: readonly [string, string]): boolean => /^[A-Z][A-Z0-9_]*$/.test(name)

/** Resolves to 0 if the reply's status is below 400, else to 1. */
export async function probe(invocation: Invocation): Promise<number> {
  const words = invocation.words.filter(word => !isVariable(word))
  const resolved = await settingsFor({ ...invocation, words })
  const { config, given } = resolved
  const [address] = addressesOf(resolved)
  if (address === undefined) throw new UsageError('which server? say socket=PATH or port=NUMBER')
  if (address.kind === 'fd') return resolved.refuse('listen', 'a descriptor cannot be connected to')
  const target: Target = reachable(address)
  const options = {
    ...requestOf(invocation.operands),
    target,
    mount: config.mount,
    params: Object.fromEntries(invocation.words.filter(isVariable)),
    timeoutMs: given.has('request-timeout') ? config.requestTimeout : undefined,
  }
  // `probe … | head`: whoever reads has seen enough.
  process.stdout.once('error', () => process.exit(0))
  return runProbe(options, { stdout: process.stdout, stderr: process.stderr, json: config.json })
}

/** `[METHOD] [/path?query] ['Name: value' …] [@file | -]`, told apart by their form. @throws UsageError */
function requestOf(operands: readonly string[]): Request {
  const headers: (readonly [string, string])[] = []
  const request: { method?: string; path?: string; body?: Buffer } = {}
  for (const operand of operands) {
    const header = /^([\w!#$%&'*+.^`|~-]+): ?(.*)$/.exec(operand)
    if (operand.startsWith('/')) request.path = operand
    else if (/^[A-Z]+$/.test(operand)) request.method = operand
    else if (header !== null) headers.push([header[1] as string, header[2] as string])
    else if (operand === '-' || operand.startsWith('@')) request.body = bodyFrom(operand)
    else throw new UsageError(`'${operand}' is no part of a request: write METHOD, /path, 'Name: value', @file or -`)
  }
  return { ...request, headers }
}

function bodyFrom(operand: string): Buffer {
  try {
    return readFileSync(operand === '-' ? 0 : operand.slice(1))
  } catch (error) {
    throw new CommandError(`cannot read the body from ${operand} (${errnoOf(error)})`)
  }
}
