/** Says that the server is ready: for people on a terminal, and in the log. */

import { shortPath } from '../../app/load/load-error.ts'
import { entries, type SettingName, settingOf } from '../../config/settings.ts'
import type { ServerLog } from '../../log.ts'
import { starter } from '../../process/daemon/starter.ts'
import type { Loaded } from '../../process/pool/child.ts'
import { type Address, formatAddress } from '../../server/sockets/address.ts'
import { nginxHint } from '../addresses.ts'
import type { EngineName } from '../engines/engine.ts'
import type { Plan } from './run.ts'

export interface Ready {
  readonly app: Loaded
  readonly engine: EngineName
  readonly addresses: readonly Address[]
  /** Of the HTTP server in front, if there is one. */
  readonly url: string | undefined
}

const HOW: Readonly<Record<EngineName, string>> = {
  inline: 'one process serves everything',
  threaded: 'one process with threads serves everything',
  prefork: 'processes serve',
}

/** Settings that are accepted, checked, and without effect here. */
function withoutEffect(engine: EngineName, { inherited, exported }: Plan): SettingName[] {
  const names = entries.map(([name]) => name)
  const ofPools = names.filter(name => settingOf(name).section === 'Children' && name !== 'method')
  // What is touched then ends the one process, and the web server starts another.
  const idle = inherited && engine === 'inline' ? ofPools.filter(name => name !== 'touch-reload') : ofPools
  const ofDaemons = inherited ? (['pidfile', 'control'] as const) : []
  const ofFiles = exported === undefined ? [] : (['args'] as const)
  return [
    ...ofDaemons,
    ...ofFiles,
    ...(engine === 'inline' ? idle : engine === 'threaded' ? (['balance'] as const) : []),
  ]
}

export function announce(plan: Plan, ready: Ready, log: ServerLog): void {
  const { config, given } = plan.resolved
  const { app, engine, addresses, url } = ready
  const listen = addresses.map(formatAddress)
  process.title = `runfcgi: ${plan.command} ${placeOf(app.source.file, plan.cwd)} on ${url ?? listen.join(' ')}`
  starter.tellReady(summary(plan, ready))
  log.settle(true)
  const forPeople = plan.command !== 'start' && process.stderr.isTTY && config.errlog === undefined && !config.json
  if (forPeople) process.stderr.write(greeting(plan, ready))
  else
    log.info(
      { app: app.source.file, method: engine, interface: app.interface, listen, ...(url !== undefined && { url }) },
      'ready',
    )
  if (app.source.notListening !== undefined) {
    log.info({}, `the application does not listen on ${app.source.notListening} itself: runfcgi serves it`)
  }
  const idle = withoutEffect(engine, plan).filter(name => given.has(name))
  if (idle.length > 0) log.warn({}, `${HOW[engine]}: ${idle.join(', ')} without effect`)
}

/** For the one who started a daemon. */
function summary({ cwd, resolved }: Plan, { app, addresses }: Ready): string {
  const where = addresses.map(formatAddress).join(' ')
  const unheard = resolved.config.errlog === undefined ? '; its log goes nowhere: errlog=FILE keeps it' : ''
  return `runfcgi: process ${process.pid} serves ${placeOf(app.source.file, cwd)} on ${where}${unheard}`
}

function greeting(plan: Plan, { app, addresses, url }: Ready): string {
  const lines = [`Serving ${placeOf(app.source.file, plan.cwd)} (${app.source.rule})`]
  if (url !== undefined) lines.push(`  ${url}/`)
  else {
    for (const address of addresses) {
      const hint = nginxHint(address)
      lines.push(`  on ${formatAddress(address)}${hint === undefined ? '' : `    nginx: ${hint}`}`)
    }
  }
  return `${lines.join('\n')}\nPress Ctrl-C to stop.\n`
}

/** As a person would write it; an application that a program handed over has no file. */
export function placeOf(file: string, cwd: string): string {
  return file === '' ? 'an application' : shortPath(file, cwd)
}
