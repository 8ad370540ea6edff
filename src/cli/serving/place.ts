/**
 * The place that a daemon takes: its control socket, which nobody else can have while it lives, and its pidfile. Taken
 * before anything is bound or loaded, so that a second daemon fails at once and touches nothing of the first. What it
 * takes to do so (taken-place.ts) is loaded only where there is a place to take.
 */

import type { Resolved } from '../../config/resolve.ts'
import type { ServerLog } from '../../log.ts'
import type { Engine, EngineName } from '../engines/engine.ts'
import type { Life } from './life.ts'
import type { Plan } from './run.ts'

export interface Place {
  /** Writes the pidfile now, because the rights to do so are about to go. @throws DaemonError */
  claim(): void
  /** This process serves: pidfile and control socket are its own, those of a predecessor as well. @throws DaemonError */
  arrive(name: EngineName, engine: Engine): Promise<void>
}

const NOWHERE: Place = { claim() {}, arrive: async () => {} }

/** Where the commands reach the daemon of these settings, if anywhere. */
export const controlPath = ({ control, pidfile }: Resolved['config']): string | undefined =>
  control ?? (pidfile === undefined ? undefined : `${pidfile}.control`)

/**
 * Nothing if the settings name neither. A process that a web server started has no place either: there may be many of it.
 * @throws CommandError, DaemonError
 */
export async function takePlace(plan: Plan, life: Life, log: ServerLog): Promise<Place> {
  const path = controlPath(plan.resolved.config)
  if (path === undefined || plan.inherited) return NOWHERE
  return (await import('./taken-place.ts')).takeAt(path, plan, life, log)
}
