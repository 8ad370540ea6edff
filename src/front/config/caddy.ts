/** Configurations for Caddy 2: the Caddyfile directives reverse_proxy (transport fastcgi) and file_server. */

import { UsageError } from '../../config/errors.ts'
import { formatTarget, type Target } from '../target.ts'
import {
  FILES,
  type Form,
  header,
  indent,
  isShared,
  PREFIXED,
  paragraphs,
  REST,
  type Site,
  SLASH,
  without,
} from './site.ts'

export const caddyForms: readonly Form[] = [{ name: 'site', help: 'a site block for the Caddyfile', generate: caddy }]

/** Caddy replaces what stands in braces everywhere; in quotes only the quote itself can be escaped. */
function quoted(text: string): string {
  const plain = without(/[{}\\]/, text, 'Caddy')
  return /^[\w./:@[\]-]+$/.test(plain) ? plain : `"${plain.replaceAll('"', '\\"')}"`
}

/** In an address what follows a colon is a port, also behind a path. */
const addressOf = (target: Target): string =>
  target.kind === 'unix' ? `unix/${without(/:/, target.path, 'Caddy')}` : formatTarget(target)

/** Caddy takes no `http://` on this port, and makes itself a certificate for a name. */
function addressOn(port: number, name: string): string {
  if (port !== 443) return `http://${name}:${port}`
  if (name === '') throw new UsageError('Caddy speaks HTTPS on port 443 and needs a name there: say server-name=')
  return `https://${name}`
}

function caddy(site: Site): string {
  const { names, port, mount } = site
  const addresses = (names.length === 0 ? [''] : names).map(name => addressOn(port, name)).join(', ')
  const lines = mount === '' ? [] : PREFIXED
  const about = header(
    site,
    ...lines,
    'Add to /etc/caddy/Caddyfile, then `caddy validate --config /etc/caddy/Caddyfile && systemctl reload caddy`. Without',
    '`http://` and the port Caddy gets itself a certificate and speaks HTTPS.',
  )
  const content = paragraphs(...site.statics.map(path => files(path, site)), mount === '' ? atRoot(site) : below(site))
  return `${about}\n\n${addresses} {\n${indent('\t', content)}\n}\n`
}

const files = (path: string, { root }: Site): string => `# ${FILES}
handle ${path}/* {
\troot * ${quoted(root)}
\tfile_server
}`

const atRoot = (site: Site): string => `# ${REST}\nhandle {\n${indent('\t', proxy(site, 'transport fastcgi'))}\n}`

function below(site: Site): string {
  const { mount, everything, root } = site
  const elsewhere = everything ? `root * ${quoted(root)}\n\tfile_server` : 'respond 404'
  const named = `transport fastcgi {\n\tenv SCRIPT_NAME ${mount}\n}`
  return paragraphs(
    `# ${SLASH}
@asked {
	path ${mount}
	expression {http.request.uri.query} != ""
}
redir @asked ${mount}/?{query} 301
redir ${mount} ${mount}/ 301`,
    `handle_path ${mount}/* {\n${indent('\t', proxy(site, named))}\n}`,
    `handle {\n\t${elsewhere}\n}`,
  )
}

const tooLarge = ({ maxBody }: Site): string =>
  maxBody === undefined
    ? ''
    : `# A larger request body is refused, when so much of it has been read.
request_body {
\tmax_size ${maxBody % 2 ** 20 === 0 ? `${maxBody / 2 ** 20}MiB` : maxBody}
}
`

function proxy(site: Site, transport: string): string {
  const { backends } = site
  const several =
    isShared(site) &&
    `# In turn. An address that cannot be connected to is left out for two seconds, and its request goes to the next.
lb_policy round_robin
lb_try_duration 5s
fail_duration 2s`
  const options = paragraphs(
    transport,
    several,
    '# Pass on what the application writes when it writes it (server-sent events).\nflush_interval -1',
  )
  return `${tooLarge(site)}reverse_proxy ${backends.map(target => quoted(addressOf(target))).join(' ')} {
${indent('\t', options)}
}`
}
