/** Management records (FastCGI 1.0 §4): what a peer asks of the connection itself, and the answer. */

import { ManagementVariable, NULL_REQUEST_ID, RecordType } from './constants.ts'
import type { ConnectionLimits } from './limits.ts'
import { decodePairs, encodePairs } from './pairs.ts'
import { record, unknownType } from './record.ts'

/**
 * The record that answers one of `type` with the content `start` to `end` of `bytes`, one character a byte. Of the variables
 * that FCGI_GET_VALUES asks for only those that are known are in it.
 * @throws ProtocolError `pair-overrun`
 */
export function answerTo(type: number, bytes: Buffer, start: number, end: number, limits: ConnectionLimits): string {
  if (type !== RecordType.getValues) return unknownType(type)
  const answers: [string, string][] = []
  for (const name of new Set(decodePairs(bytes, start, end).names)) {
    const value = variable(name, limits)
    if (value !== undefined) answers.push([name, value])
  }
  return record(RecordType.getValuesResult, NULL_REQUEST_ID, encodePairs(answers))
}

function variable(name: string, { maxConnections, maxInflight }: ConnectionLimits): string | undefined {
  switch (name) {
    case ManagementVariable.maxConns:
      return String(maxConnections)
    case ManagementVariable.maxReqs:
      return String(maxInflight)
    case ManagementVariable.mpxsConns:
      return '1'
    default:
      return undefined
  }
}
