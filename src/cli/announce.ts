/** Says that the server is ready: for people on a terminal, and in the log. */

import { relative } from 'node:path'
import type { LoadedApplication } from '../app/load.ts'
import type { SettingName } from '../config/settings.ts'
import type { ServerLog } from '../log.ts'
import { formatAddress } from '../server/address.ts'
import type { Bound } from '../server/listen.ts'
import { nginxHint } from './addresses.ts'
import type { Plan } from './run.ts'

export interface Ready {
  readonly app: LoadedApplication
  readonly bounds: readonly Bound[]
  /** Of the HTTP server in front, if there is one. */
  readonly url: string | undefined
}

/** Accepted, checked, and without effect as long as one process does everything. */
const WITHOUT_EFFECT: readonly SettingName[] = [
  'method',
  'maxchildren',
  'minspare',
  'maxspare',
  'maxrequests',
  'pidfile',
]

export function announce(plan: Plan, ready: Ready, log: ServerLog): void {
  const { config, given } = plan.resolved
  const { app, bounds, url } = ready
  const listen = bounds.map(({ address }) => formatAddress(address))
  process.title = `runfcgi: ${plan.command} ${shortPath(app.source.file, plan.cwd)} on ${url ?? listen.join(' ')}`
  const forPeople = plan.command !== 'start' && process.stderr.isTTY && config.errlog === undefined && !config.json
  if (forPeople) process.stderr.write(greeting(plan, ready))
  else log.info({ app: app.source.file, interface: app.interface, listen, ...(url !== undefined && { url }) }, 'ready')
  if (app.source.notListening !== undefined) {
    log.info({}, `the application does not listen on ${app.source.notListening} itself: runfcgi serves it`)
  }
  const idle = WITHOUT_EFFECT.filter(name => given.has(name))
  if (idle.length > 0) log.warn({}, `one process serves everything in this version: ${idle.join(', ')} without effect`)
}

function greeting(plan: Plan, { app, bounds, url }: Ready): string {
  const lines = [`Serving ${shortPath(app.source.file, plan.cwd)} (${app.source.rule})`]
  if (url !== undefined) lines.push(`  ${url}/`)
  else {
    for (const { address } of bounds) {
      const hint = nginxHint(address)
      lines.push(`  on ${formatAddress(address)}${hint === undefined ? '' : `    nginx: ${hint}`}`)
    }
  }
  return `${lines.join('\n')}\nPress Ctrl-C to stop.\n`
}

/** As a person would write it; an application that a program handed over has no file. */
export function shortPath(file: string, cwd: string): string {
  if (file === '') return 'an application'
  const short = relative(cwd, file)
  return short.startsWith('..') ? file : short
}
