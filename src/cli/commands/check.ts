/** `check`: everything that `start` does before it serves, undone again, and what came of it. */

import { describeOrigin } from '../../config/layers.ts'
import type { Resolved } from '../../config/resolve.ts'
import type { Account } from '../../process/daemon/account.ts'
import { type Address, formatAddress } from '../../server/sockets/address.ts'
import { bind } from '../../server/sockets/listen.ts'
import { addressesOf, allowedBy } from '../addresses.ts'
import type { Invocation } from '../commands.ts'
import { EXIT_OK, report } from '../errors.ts'
import { loadFor } from '../load.ts'
import { placeOf } from '../serving/announce.ts'
import { checkLogFiles } from '../serving/logs.ts'
import { controlPath } from '../serving/place.ts'
import { accountOf } from '../serving/run.ts'
import { refuseIfTaken } from '../serving/taken-place.ts'
import { enterWorkplace } from '../serving/workplace.ts'
import { settingsFor, soleOperand } from '../settings.ts'

/** One thing that was tried. */
interface Finding {
  readonly what: string
  /** What is there, or what is wrong with it. */
  readonly text: string
  /** The exit code that it would end `start` with. */
  readonly code: number
}

/**
 * Ends the process, since the application may have left timers behind. Exit code 3 if the application does not load, 1 if
 * anything else would fail, else 0.
 */
export async function check(invocation: Invocation): Promise<number> {
  const cwd = process.cwd()
  const resolved = await settingsFor(invocation, soleOperand(invocation, 'application'))
  const { stdout, stderr } = process
  // What the application prints while it loads is not part of the report.
  Object.defineProperty(process, 'stdout', { get: () => stderr })
  const findings = await lookInto(resolved, cwd)
  const worst = Math.max(...findings.map(({ code }) => code))
  stdout.write(resolved.config.json ? asJson(resolved, findings) : asText(resolved, findings))
  return process.exit(worst)
}

type Step = readonly [what: string, action: () => string | Promise<string>]

async function lookInto(resolved: Resolved, cwd: string): Promise<Finding[]> {
  const { config } = resolved
  const addresses = addressesOf(resolved).map((address): Step => ['address', () => tryAddress(address, config.backlog)])
  const place = controlPath(config)
  const nowhere: Step = ['address', () => 'none: descriptor 0, if a web server starts it']
  const steps: readonly Step[] = [
    ...(addresses.length > 0 ? addresses : [nowhere]),
    ...(config.allowedClients.length > 0 ? [['clients', () => tryClients(resolved)] as const] : []),
    ...(place === undefined
      ? []
      : [[config.pidfile === undefined ? 'control' : 'pidfile', () => tryPlace(place, resolved)] as const]),
    ['logs', () => tryLogs(resolved)],
    ...(config.user !== undefined || config.group !== undefined
      ? [['account', () => tryAccount(resolved)] as const]
      : []),
    ['folder', () => tryFolder(resolved)],
    ['application', () => tryApplication(resolved, cwd)],
  ]
  const findings: Finding[] = []
  for (const [what, action] of steps) findings.push(await attempt(what, action))
  return findings
}

async function attempt(what: string, action: Step[1]): Promise<Finding> {
  try {
    return { what, text: await action(), code: EXIT_OK }
  } catch (error) {
    const { code, text } = report(error)
    return { what, text: text.replace(/^runfcgi: /, '').trimEnd(), code }
  }
}

/** Binds and lets go: nothing else finds every obstacle. A dead socket file at the path goes with it, as it would at a start. */
async function tryAddress(address: Address, backlog: number): Promise<string> {
  const bound = await bind(address, { backlog })
  await bound.close({ leaveFile: address.kind === 'fd' })
  return formatAddress(address)
}

function tryClients(resolved: Resolved): string {
  allowedBy({ resolved, inherited: false })
  return resolved.config.allowedClients.join(', ')
}

async function tryPlace(path: string, resolved: Resolved): Promise<string> {
  await refuseIfTaken(path, resolved)
  return resolved.config.pidfile ?? path
}

function tryLogs(resolved: Resolved): string {
  checkLogFiles(resolved)
  return resolved.config.errlog ?? 'standard error'
}

function tryAccount(resolved: Resolved): string {
  const { uid, gid } = accountOf(resolved) as Account
  return `user ${uid}, group ${gid}`
}

function tryFolder(resolved: Resolved): string {
  enterWorkplace(resolved)
  return process.cwd()
}

async function tryApplication(resolved: Resolved, cwd: string): Promise<string> {
  const { source } = await loadFor(resolved, cwd)
  return `${placeOf(source.file, cwd)} (${source.rule})`
}

const givenSettings = ({ given }: Resolved): { name: string; value: string; origin: string }[] =>
  [...given].map(([name, { text, origin }]) => ({ name, value: text, origin: describeOrigin(origin) }))

function asText(resolved: Resolved, findings: readonly Finding[]): string {
  const settings = givenSettings(resolved).map(({ name, value, origin }) => `  ${name}=${value} (${origin})\n`)
  const lines = findings.map(({ what, text, code }) => `${code === EXIT_OK ? 'ok  ' : 'FAIL'}  ${what}: ${text}\n`)
  return `${settings.length > 0 ? `Settings that are not the default:\n${settings.join('')}` : ''}${lines.join('')}`
}

function asJson(resolved: Resolved, findings: readonly Finding[]): string {
  const ok = findings.every(({ code }) => code === EXIT_OK)
  const report = findings.map(({ what, text, code }) => ({ what, ok: code === EXIT_OK, text }))
  return `${JSON.stringify({ ok, findings: report, settings: givenSettings(resolved) }, null, 2)}\n`
}
