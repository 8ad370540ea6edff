/** Configurations for lighttpd 1.4.46 and later: mod_fastcgi. */

import type { Target } from '../target.ts'
import {
  FILES,
  type Form,
  header,
  idOf,
  indent,
  isShared,
  literal,
  PREFIXED,
  paragraphs,
  REST,
  type Site,
  SLASH,
  without,
} from './site.ts'

export const lighttpdForms: readonly Form[] = [
  {
    name: 'socket',
    help: 'the application runs by itself, at one address or several',
    generate: site => write(site, backendsOf(site)),
  },
  { name: 'spawn', help: 'lighttpd starts the program itself', generate: spawned },
]

/** Only a quote is escaped: a backslash is itself, unless a quote follows. */
const quoted = (text: string): string => `"${without(/\\$/, text, 'lighttpd').replaceAll('"', '\\"')}"`

/** One element of the list of hosts that `fastcgi.server` is. */
type Host = readonly string[]

function backendsOf(site: Site): readonly Host[] {
  return site.backends.map(target => [
    addressOf(target),
    `# The path names no file: do not look for one.\n"check-local" => "disable"`,
    ...(site.mount === '' ? [ROOT_NAME] : []),
    isShared(site) ? LEFT_OUT : RETRIED,
    ...sendFile(site),
  ])
}

function addressOf(target: Target): string {
  if (target.kind === 'unix') return `"socket" => ${quoted(target.path)}`
  return `"host" => ${quoted(without(/^$|\*/, target.host, 'lighttpd'))}, "port" => ${target.port}`
}

const RETRIED = `# After the application was not there, try again with the next request but one second, not sixty.
"disable-time" => 1`

const LEFT_OUT = `# One that cannot be connected to within a second is left out for two, and the request goes to the next.
"disable-time" => 2,
"connect-timeout" => 1`

const ROOT_NAME = `# SCRIPT_NAME is "" and PATH_INFO the whole path, as CGI means it for an application at the root.
"fix-root-scriptname" => "enable"`

/** The folders that lighttpd serves anyway, and those of the setting. */
function sendFile(site: Site): string[] {
  const served = site.everything ? [site.root] : site.statics.map(path => `${site.root}${path}/`)
  const handedOver = site.handedOver.filter(({ header }) => header === 'X-Sendfile').map(({ folder }) => folder)
  const folders = [...served, ...handedOver]
  if (folders.length === 0) return []
  return [
    `# The application may leave a file of these folders to lighttpd, with the header \`X-Sendfile: /path/of/the/file\`.
"x-sendfile" => "enable",
"x-sendfile-docroot" => ( ${folders.map(quoted).join(', ')} )`,
  ]
}

function spawned(site: Site): string {
  const host = [
    `# The program is given its listening socket on descriptor 0. The account of lighttpd must be able to make it.
"bin-path" => ${quoted(without(/\s/, site.script, 'lighttpd'))}`,
    `"socket" => ${quoted(`/run/lighttpd/${idOf(site)}.sock`)}`,
    '"max-procs" => 2',
    '"check-local" => "disable"',
    ...(site.mount === '' ? ['"fix-root-scriptname" => "enable"'] : []),
    ...sendFile(site),
  ]
  return write(
    site,
    [host],
    'lighttpd starts the application itself: nothing else to install, start or supervise. It starts the processes with',
    'itself, starts one again that ends, and shares the requests out among them. The script (deploy/apache/mysite.fcgi of the',
    'package) lies beside the application and is executable.',
  )
}

function write(site: Site, hosts: readonly Host[], ...lines: readonly string[]): string {
  const about = header(
    site,
    ...lines,
    ...(site.mount === '' ? [] : PREFIXED),
    `Save as /etc/lighttpd/conf-available/50-${idOf(site)}.conf, then`,
    `\`lighttpd-enable-mod ${idOf(site)} && lighttpd -tt -f /etc/lighttpd/lighttpd.conf && systemctl reload lighttpd\`.`,
  )
  const modules = `server.modules += ( "mod_fastcgi"${site.mount === '' ? '' : ', "mod_redirect"'} )`
  return `${paragraphs(about, modules, forNames(site, siteLines(site, hosts)))}\n`
}

/** Several sites live side by side, each by its names. */
function forNames({ names, port }: Site, lines: string): string {
  const content = port === 80 ? lines : `$SERVER["socket"] == ":${port}" {\n${indent(4, lines)}\n}`
  if (names.length === 0) return content
  return `$HTTP["host"] =~ "^(${names.map(literal).join('|')})(:[0-9]+)?$" {\n${indent(4, content)}\n}`
}

function siteLines(site: Site, hosts: readonly Host[]): string {
  return paragraphs(
    site.maxBody !== undefined &&
      `# A larger request body is refused with 413 before the application sees it. In KiB; lighttpd's own default is no limit.
server.max-request-size = ${Math.ceil(site.maxBody / 1024)}`,
    `# Pass on what the application writes when it writes it (server-sent events, downloads of any size), instead of
# collecting the whole reply first; 2 keeps the memory of lighttpd bounded when a client is slow.
server.stream-response-body = 2`,
    `# 0: an upload reaches the application when it is complete. 1 or 2 stream it.
server.stream-request-body = 0`,
    site.mount !== '' && `# ${SLASH}\nurl.redirect = ( "^${literal(site.mount)}(?:\\?|$)" => "${site.mount}/\${qsa}" )`,
    site.mount === '' ? atRoot(site, hosts) : below(site, hosts),
  )
}

function atRoot(site: Site, hosts: readonly Host[]): string {
  const { statics } = site
  const application = fastcgiServer('/', hosts)
  if (statics.length === 0) return application
  return `${filesOf(site)}

# ${REST}
else $HTTP["url"] =~ "" {
${indent(4, application)}
}`
}

const filesOf = ({ statics, root }: Site): string => `# ${FILES}
$HTTP["url"] =~ "^(${statics.map(literal).join('|')})/" {
    server.document-root = ${quoted(root)}
}`

function below(site: Site, hosts: readonly Host[]): string {
  const { statics, mount, everything, root } = site
  const rest = everything ? `\nelse $HTTP["url"] =~ "" {\n    server.document-root = ${quoted(root)}\n}` : ''
  const application = `# The key is a prefix of the path and becomes SCRIPT_NAME: no slash at its end.
${statics.length > 0 ? 'else ' : ''}$HTTP["url"] =~ "^${literal(mount)}/" {
${indent(4, fastcgiServer(mount, hosts))}
}`
  return `${statics.length > 0 ? `${filesOf(site)}\n\n` : ''}${application}${rest}`
}

function fastcgiServer(key: string, hosts: readonly Host[]): string {
  const list = hosts.map((host, index) => listed(index === 0 ? host : host.map(uncommented)).join('\n'))
  const balance =
    hosts.length > 1 ? '# The one with the fewest requests is next.\nfastcgi.balance = "least-connection"\n\n' : ''
  return `${balance}fastcgi.server = ( "${key}" => ((\n${indent(4, list.join('\n), (\n'))}\n)))`
}

/** With commas between them, and an empty line above a comment. */
const listed = (host: Host): string[] =>
  host
    .map((entry, index) => (index < host.length - 1 ? `${entry},` : entry))
    .map((entry, index) => (index > 0 && entry.startsWith('#') ? `\n${entry}` : entry))

/** What the first host says the others need not say again. */
const uncommented = (entry: string): string => entry.replaceAll(/^#.*\n/gm, '')
