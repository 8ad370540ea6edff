/** What each signal means to a server. The README has this table; what is done is in life.ts. */

import { constants } from 'node:os'

export type SignalAction = 'stop' | 'quit' | 'hang-up' | 'reopen' | 'upgrade' | 'more' | 'fewer'

export interface SignalMeaning {
  readonly signals: readonly NodeJS.Signals[]
  readonly action: SignalAction
  /** In the words of the README. */
  readonly does: string
}

export const SIGNALS: readonly SignalMeaning[] = [
  {
    signals: ['SIGTERM', 'SIGINT'],
    action: 'stop',
    does: 'stop: serve on for lame-duck, then finish running requests within graceful-timeout; each further signal: the next step at once',
  },
  { signals: ['SIGQUIT'], action: 'quit', does: 'stop at once' },
  {
    signals: ['SIGHUP'],
    action: 'hang-up',
    does: 'stop if the terminal has gone; else reload: new children, then the old ones end',
  },
  // Node would open its debugger on a port; a listener prevents it.
  { signals: ['SIGUSR1'], action: 'reopen', does: 'open the log files again' },
  {
    signals: ['SIGUSR2'],
    action: 'upgrade',
    does: 'upgrade: the program that is now on disk takes over, on the same sockets',
  },
  { signals: ['SIGTTIN'], action: 'more', does: 'one child more' },
  { signals: ['SIGTTOU'], action: 'fewer', does: 'one child fewer' },
]

/** What a shell reports for a program that a signal ended: also if one ends it before it serves. */
export const exitCodeOf = (signal: string): number =>
  128 + (Object.entries(constants.signals).find(([name]) => name === signal)?.[1] ?? 15)
