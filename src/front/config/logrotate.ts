/** A configuration for logrotate(8): the log files of the settings, and how they are opened again. */

import { UsageError } from '../../config/errors.ts'
import { type Form, header, idOf, indent, paragraphs, type Site, without } from './site.ts'

export const logrotateForms: readonly Form[] = [
  { name: 'files', help: 'errlog, outlog and access-log', generate: logrotate },
]

/** In quotes only the quote has a meaning, and the patterns of glob(7). */
const quoted = (text: string): string => `"${without(/["\\*?[{]/, text, 'logrotate')}"`

/** A word for the shell. */
const word = (text: string): string => (/^[\w./:=,@%+~-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

function logrotate(site: Site): string {
  const { logs, user, group } = site.service
  if (logs.length === 0) throw new UsageError('there are no log files: set errlog, outlog or access-log')
  const about = header(
    site,
    `Save as /etc/logrotate.d/${idOf(site)}, then \`logrotate --debug /etc/logrotate.d/${idOf(site)}\`.`,
  )
  const owner =
    user === undefined
      ? ''
      : `# The folder and the new files belong to the account of the application.\nsu ${user} ${group ?? user}\n\n`
  const content = `daily
rotate 14
missingok
notifempty

# What was just put aside may still be written to for a moment: it is compressed the next time.
compress
delaycompress

${owner}# Lines are written to the new files once this has returned.
sharedscripts
postrotate
    ${reopen(site)}
endscript`
  return `${paragraphs(about, `${logs.map(quoted).join('\n')} {\n${indent(4, content)}\n}`)}\n`
}

function reopen(site: Site): string {
  const { program, place } = site.service
  if (place === undefined) return `systemctl kill --kill-who=main --signal=USR1 ${idOf(site)}.service`
  return [...program, 'reopen', place].map(word).join(' ')
}
