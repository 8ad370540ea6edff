/** What a setting is. The settings themselves stand in sections/, one file for each section of help. */

import type { Kind } from './kinds.ts'

/** What a default may depend on. */
export interface Facts {
  /** Processors that this process may use. */
  readonly cores: number
  readonly maxchildren: number
  readonly maxspare: number
  /** A socket, port or listen address is set. */
  readonly bound: boolean
  /** Somebody else keeps the process alive: systemd (NOTIFY_SOCKET), a container whose PID 1 it is, or `stand`. */
  readonly supervised: boolean
}

export type Section = 'Application' | 'Address' | 'Children' | 'Limits' | 'Daemon' | 'Log' | 'Front end' | 'Web server'

export interface Setting<T, D extends T | undefined> {
  readonly kind: Kind<T>
  readonly default: D | ((facts: Facts) => D)
  /** Says in words what `default` computes, or what happens when there is none. */
  readonly defaultText?: string
  readonly section: Section
  /** One line; says the unit, and what 0 means if it means something special. */
  readonly help: string
  /** Other names. Spelling does not need one: `max-spool`, `max_spool` and `maxSpool` are the same name. */
  readonly aliases?: readonly string[]
  /** A reload puts a new value into force; the others need a restart. */
  readonly reloadable?: boolean
  /** May not stand in a configuration file. */
  readonly notInFile?: boolean
}

export const setting = <T, const D extends T | undefined>(spec: Setting<T, D>): Setting<T, D> => spec
