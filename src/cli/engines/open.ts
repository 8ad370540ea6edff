/** What runs the application: this process itself (inline.ts), threads (threaded.ts) or worker processes (prefork.ts). */

import type { Plan } from '../run.ts'
import type { Engine, EngineInput, EngineName } from './engine.ts'

/**
 * Which engine a plan asks for: one process, unless a method is named. An application that was handed over cannot be loaded
 * elsewhere.
 */
export const engineFor = ({ exported, resolved: { config } }: Plan): EngineName =>
  exported !== undefined ? 'inline' : (config.method ?? 'inline')

export async function openEngine(name: EngineName, input: EngineInput): Promise<Engine> {
  switch (name) {
    case 'inline':
      return (await import('./inline.ts')).openInline(input)
    case 'threaded':
      return (await import('./threaded.ts')).openThreaded(input)
    case 'prefork':
      return (await import('./prefork.ts')).openPrefork(input)
    default:
      return name satisfies never
  }
}
