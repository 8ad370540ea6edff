/** What runs the application: this process itself (inline.ts), threads (threaded.ts) or worker processes (prefork.ts). */

import type { Plan } from '../serving/run.ts'
import type { Engine, EngineInput, EngineName } from './engine.ts'

/**
 * Which engine a plan asks for. An application that was handed over cannot be loaded elsewhere. A web server that starts
 * programs itself starts as many as it wants, so that one process each is enough unless somebody says otherwise.
 */
export const engineFor = ({ exported, inherited, resolved: { config, given } }: Plan): EngineName =>
  exported !== undefined || (inherited && !given.has('method')) ? 'inline' : config.method

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
