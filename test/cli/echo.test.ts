import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { withoutEcho } from '../../src/cli/serving/front.ts'
import type { ServerLog } from '../../src/log.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function ends() {
  const written: string[] = []
  const log = {
    error: (_: object, message: string) => written.push(`log: ${message}`),
    print: (_: string, text: string) => written.push(text),
    ...{ debug() {}, info() {}, warn() {} },
  } as unknown as ServerLog
  const { log: ours, onStderr } = withoutEcho(log)
  const fails = (err: Error) => ours.error({ err }, err.message)
  return { written, fails, onStderr }
}

const echoOf = (error: Error): string => `${error.stack}\n`

describe('serve, which sees the log and what goes to FCGI_STDERR', () => {
  it.each(['log', 'echo'])('writes an error once when the %s is first', async first => {
    const { written, fails, onStderr } = ends()
    const [one, two] = [new Error('one'), new Error('two')]
    const steps = [() => [one, two].map(fails), () => [two, one].map(error => onStderr(echoOf(error)))]
    for (const step of first === 'log' ? steps : steps.toReversed()) step()
    await vi.runAllTimersAsync()
    expect(written).toEqual(['log: one', 'log: two'])
  })

  it('writes what the application says at once, and a stack that is in no log a moment later', async () => {
    const { written, onStderr } = ends()
    const error = new Error('caught, and told')
    onStderr('a word\n')
    expect(written).toEqual(['a word\n'])
    onStderr(echoOf(error))
    expect(written).toHaveLength(1)
    await vi.runAllTimersAsync()
    expect(written).toEqual(['a word\n', echoOf(error)])
  })

  it('keeps no more of the log than it needs', async () => {
    const { written, fails, onStderr } = ends()
    const errors = Array.from({ length: 100 }, (_, nth) => new Error(`error ${nth}`))
    errors.forEach(fails)
    onStderr(echoOf(errors[99] as Error))
    onStderr(echoOf(errors[0] as Error))
    await vi.runAllTimersAsync()
    expect(written.slice(100)).toEqual([echoOf(errors[0] as Error)])
  })
})
