/** `help` and `version`. */

import { UsageError } from '../../config/errors.ts'
import { columns, settingHelp, settingsHelp, wrap } from '../../config/help.ts'
import { nearest } from '../../config/nearest.ts'
import { entries, findSetting } from '../../config/settings.ts'
import { type Command, commands, findCommand, type Invocation } from '../commands.ts'
import { soleOperand } from '../settings.ts'
import { versionNumber } from '../version.ts'

const EXAMPLES = [
  ['runfcgi stand socket=/tmp/site.sock', 'serve ./app.js, log on the terminal'],
  ['runfcgi serve', 'the same behind an HTTP server'],
  ['runfcgi probe socket=/tmp/site.sock /', 'ask it for its front page'],
  ['runfcgi config nginx socket=/tmp/site.sock', 'print what nginx needs for it'],
  ['runfcgi socket=/tmp/site.sock pidfile=/tmp/site.pid', 'serve in the background'],
  ['runfcgi reload pidfile=/tmp/site.pid', 'run new code there'],
] as const

const overview = (): string => `Usage: runfcgi [command] [application] [key=value ...] [-- argument ...]

Serves a Node.js application to a web server over FastCGI. The application is a
file (./app.js), one of its exports (./app.js:name) or a package. What stands
behind -- is for it, in process.argv.

Commands
${columns(
  commands.map(({ name, operands, help }) => [`${name} ${operands}`, help] as const),
  26,
)}

Examples
${columns(EXAMPLES, 43)}

Settings are written key=value, --key value or RUNFCGI_KEY=value (environment),
or stand in runfcgi.config.json or below "runfcgi" in package.json. Defaults are
in brackets. 'runfcgi help NAME' says more about a setting or a command.

${settingsHelp()}

Exit codes: 0 done, 1 failed, 2 bad usage, 3 the application did not load.
`

/** The commands without settings. */
const PLAIN: ReadonlySet<string> = new Set(['help', 'version'])

function commandHelp({ name, operands, help, details, takesArguments }: Command): string {
  const settings = PLAIN.has(name) ? '' : '[key=value ...]'
  const usage = ['runfcgi', name, operands, settings, takesArguments === true ? '[-- argument ...]' : '']
  const paragraphs = [
    `Usage: ${usage.filter(part => part !== '').join(' ')}`,
    help,
    ...(details === undefined ? [] : [details]),
  ]
  return `${paragraphs.map(text => wrap(text, 80).join('\n')).join('\n\n')}\n`
}

export async function help(invocation: Invocation): Promise<number> {
  const subject = soleOperand(invocation, 'setting or command')
  process.stdout.write(subject === undefined ? overview() : helpFor(subject))
  return 0
}

/** A word that names a command and a setting (`config`, `check`) is explained as both. */
function helpFor(subject: string): string {
  const command = findCommand(subject)
  const setting = findSetting(subject.replace(/^--/, '').replace(/=.*/, ''))
  const texts = [command && commandHelp(command), setting && `${settingHelp(setting)}\n`].filter(
    text => text !== undefined,
  )
  if (texts.length > 0) return texts.join('\n')
  const meant = nearest(
    subject,
    [...commands, ...entries.map(([name]) => ({ name }))].map(({ name }) => name),
  )
  throw new UsageError(`no setting or command '${subject}'${meant === undefined ? '' : `; did you mean '${meant}'?`}`)
}

export async function version(): Promise<number> {
  process.stdout.write(`${versionNumber()}\n`)
  return 0
}
