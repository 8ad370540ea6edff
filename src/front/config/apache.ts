/** Configurations for Apache httpd 2.4: mod_proxy_fcgi, mod_fcgid, mod_fastcgi, and a .htaccess for shared hosting. */

import { formatTarget, type Target } from '../target.ts'
import {
  FILES,
  type Form,
  HUGE,
  header,
  idOf,
  indent,
  isShared,
  literal,
  NO_LIMIT,
  PREFIXED,
  paragraphs,
  REST,
  type Site,
  SLASH,
  soleBackend,
  without,
} from './site.ts'

export const apacheForms: readonly Form[] = [
  { name: 'proxy-fcgi', help: 'mod_proxy_fcgi, connections kept open', generate: proxyFcgi },
  { name: 'fcgid', help: 'mod_fcgid: Apache starts the program itself', generate: fcgid },
  { name: 'fastcgi', help: 'mod_fastcgi: FastCgiExternalServer', generate: fastcgi },
  { name: 'htaccess', help: 'a .htaccess, where the configuration cannot be touched', generate: htaccess },
]

/** Apache replaces `${NAME}` everywhere, and knows no escape for it. */
const quoted = (text: string): string => `"${without(/\$\{/, text, 'Apache').replace(/["\\]/g, found => `\\${found}`)}"`

/** The path of a socket is a part of a URL. */
const socketPath = (path: string): string => without(/[|?#%]/, path, 'Apache')

const about = (site: Site, modules: string, ...lines: readonly string[]): string =>
  header(
    site,
    ...lines,
    ...(site.mount === '' ? [] : PREFIXED),
    `Save as /etc/apache2/sites-available/${idOf(site)}.conf, then`,
    `\`a2enmod ${modules} && a2ensite ${idOf(site)} && apachectl configtest && systemctl reload apache2\`.`,
  )

function virtualHost(site: Site, ...parts: readonly (string | false)[]): string {
  const [name, ...others] = site.names
  const named = [name && `ServerName ${name}`, others.length > 0 && `ServerAlias ${others.join(' ')}`]
  const root = site.everything && `DocumentRoot ${quoted(site.root)}`
  const content = paragraphs(
    [...named, root].filter(Boolean).join('\n'),
    site.everything && allow(site.root),
    ...site.statics.map(path => files(path, site)),
    ...parts,
  )
  const listen = site.port === 80 ? '' : `Listen ${site.port}\n\n`
  return `${listen}<VirtualHost *:${site.port}>\n${indent(4, content)}\n</VirtualHost>`
}

/** The name of a section is a pattern where it looks like one. */
const literally = (path: string): string => quoted(without(/[*?[\]]/, path, 'Apache'))

const allow = (folder: string): string => `<Directory ${literally(folder)}>\n    Require all granted\n</Directory>`

const files = (path: string, { root }: Site): string => `# ${FILES}
Alias "${path}/" ${quoted(`${root}${path}/`)}
${allow(root + path)}`

const redirect = ({ mount }: Site): string | false =>
  mount !== '' && `# ${SLASH}\nRedirectMatch 301 "^${literal(mount)}$" "${mount}/"`

const SLASHES = `# %2F in a path stays as it is, instead of being answered 404 before the application is asked.
AllowEncodedSlashes NoDecode`

const AUTHORIZATION = '# Apache keeps the Authorization header from applications unless told otherwise.'

const LENGTH = `# Pass the application's Content-Length on, as before Apache 2.4.59: downloads show their progress, and one that breaks
# off is seen to. runfcgi lets no header through that could split a response.
SetEnv ap_trust_cgilike_cl`

/** @param about what is written before it, if there is a limit */
const tooLarge = ({ maxBody }: Site, about = ''): string =>
  maxBody === undefined
    ? ''
    : `${about}\n<If "req_novary('Content-Length') -gt ${maxBody}">
    Redirect 413 "/"
</If>`

function proxyFcgi(site: Site): string {
  const several = isShared(site)
  const modules = several ? 'proxy_fcgi proxy_balancer proxy_hcheck lbmethod_byrequests' : 'proxy_fcgi'
  const host = virtualHost(
    site,
    site.statics.length > 0 && site.statics.map(path => `ProxyPass "${path}/" "!"`).join('\n'),
    redirect(site),
    several ? balanced(site) : passed(site),
    SLASHES,
    site.mount !== '' && cutInTwo(site),
    `${AUTHORIZATION}\n<Location "${site.mount}/">\n    CGIPassAuth On\n</Location>`,
    handedOver(site),
    LENGTH,
    tooLarge(
      site,
      `# A larger request body is refused with 413. (LimitRequestBody does not apply to what is passed on. A chunked body
# tells no length beforehand.)`,
    ),
  )
  return `${paragraphs(about(site, modules, 'Apache 2.4.26 or later.'), host)}\n`
}

function handedOver({ mount, handedOver: rules }: Site): string | false {
  const folders = rules.filter(({ header }) => header === 'X-Sendfile').map(({ folder }) => folder)
  if (folders.length === 0) return false
  const paths = folders.map(folder => `    XSendFilePath ${quoted(folder)}`).join('\n')
  return `# For what the application leaves to Apache (sendfile): a2enmod xsendfile.
<Location "${mount}/">
    XSendFile on
${paths}
</Location>`
}

const OPTIONS = 'enablereuse=on ttl=30 flushpackets=on timeout=600'

const EXPLAINED = `#   enablereuse   keeps connections: at most one for each thread of each Apache process. A new connection for each
#                 request costs the application several times the CPU of the request itself.
#   ttl           closes one that was idle for so many seconds, when the next request comes.
#   flushpackets  passes on what the application writes when it writes it (server-sent events).
#   timeout       the longest silence between two pieces of a reply, in seconds.`

/** `name` is what Apache tells several sockets apart by. */
const workerOf = (target: Target, name: string, end: string): string =>
  quoted(
    target.kind === 'unix'
      ? `unix:${socketPath(target.path)}|fcgi://${name}${end}`
      : `fcgi://${formatTarget(target)}${end}`,
  )

function passed(site: Site): string {
  const target = soleBackend(site, 'Apache')
  const name = target.kind === 'unix' ? ' `localhost` is a name only.' : ''
  return `# ${REST}${name}\n${EXPLAINED}\nProxyPass "${site.mount}/" ${workerOf(target, 'localhost', '/')} ${OPTIONS}`
}

const MEMBER = 'connectiontimeout=1 retry=10 flushpackets=on timeout=600'

/** mod_proxy_hcheck knows no check of a Unix socket. */
const memberOptions = (target: Target): string =>
  target.kind === 'unix' ? MEMBER : `${MEMBER} hcmethod=TCP hcinterval=1`

function balanced(site: Site): string {
  const id = idOf(site)
  const members = site.backends.map(
    (target, index) =>
      `BalancerMember ${workerOf(target, `${id.replaceAll('_', '-')}-${index + 1}`, '')} ${memberOptions(target)}`,
  )
  return `# ${REST} Requests go to the addresses in turn. One that cannot be connected to within a second is left out for ten; the
# request that found out is answered 503. Connections are not kept (enablereuse): one that a host closes just when Apache
# sends a POST on it would be an error.
#   hcmethod      a port is tried every second: most of the time that is what finds out that nobody is there.
#   maxattempts   no request goes to a second address. Apache would send one there that the first had begun, a POST too,
#                 and without its body, which it has not got any more.
#   flushpackets  passes on what the application writes when it writes it (server-sent events).
#   timeout       the longest silence between two pieces of a reply, in seconds.
<Proxy "balancer://${id}">
    ProxySet lbmethod=byrequests maxattempts=0
${indent(4, members.join('\n'))}
</Proxy>
ProxyPass "${site.mount}/" "balancer://${id}/"`
}

const cutInTwo = ({
  mount,
}: Site): string => `# Apache sends the whole path as SCRIPT_NAME. This cuts it in two, as CGI means it.
ProxyFCGISetEnvIf "reqenv('SCRIPT_NAME') =~ m#^${literal(mount)}(/.*)$#" PATH_INFO "$1"
ProxyFCGISetEnvIf "true" SCRIPT_NAME "${mount}"`

/** The script answers for every URL: what follows its name is PATH_INFO. */
const aliased = ({ mount, script }: Site): string => `# ${REST}\nAlias "${mount}/" ${quoted(`${script}/`)}`

function scriptFile({ script }: Site, lines: string): string {
  const slash = script.lastIndexOf('/')
  return `<Directory ${literally(script.slice(0, slash) || '/')}>
    <Files ${literally(script.slice(slash + 1))}>
${indent(8, lines)}
    </Files>
</Directory>`
}

function fcgid(site: Site): string {
  const host = virtualHost(
    site,
    redirect(site),
    aliased(site),
    scriptFile(
      site,
      `Require all granted\nOptions +ExecCGI\nSetHandler fcgid-script\n\n${AUTHORIZATION}\nCGIPassAuth On`,
    ),
    SLASHES,
    `# So many processes at most, each with its own memory; further requests wait for one to be free.
FcgidMaxProcessesPerClass 8`,
    `# ${site.maxBody === undefined ? HUGE : 'A larger request body is refused, with 413 if it tells its length.'} In bytes;
# mod_fcgid's own default is 128 KiB.
FcgidMaxRequestLen ${site.maxBody ?? NO_LIMIT}${tooLarge(site)}`,
    LENGTH,
    `# Pass on what the application writes when it writes it (server-sent events), instead of 64 KiB at a time.
FcgidOutputBufferSize 0`,
    `# The longest silence between two pieces of a reply, and the longest a request may take, in seconds.
FcgidIOTimeout 600\nFcgidBusyTimeout 600`,
  )
  const what = [
    'Apache starts the application itself, through mod_fcgid: as many processes as there are requests at one time. Each',
    'handles one request, then the next. The script mysite.fcgi (deploy/apache in the package) lies beside the application',
    'and is executable.',
  ]
  return `${paragraphs(about(site, 'fcgid', ...what), host)}\n`
}

function fastcgi(site: Site): string {
  const target = soleBackend(site, 'mod_fastcgi')
  const where = target.kind === 'unix' ? `-socket ${quoted(target.path)}` : `-host ${formatTarget(target)}`
  const host = virtualHost(
    site,
    redirect(site),
    `# Where the application is. The path is a name only: there need not be such a file.
#   idle-timeout  the longest silence between two pieces of a reply, in seconds; mod_fastcgi's own default is 30.
#   flush         passes on what the application writes when it writes it (server-sent events).
#   pass-header   Apache keeps the Authorization header from applications unless told otherwise.
FastCgiExternalServer ${quoted(site.script)} ${where} -idle-timeout 600 -flush -pass-header Authorization`,
    aliased(site),
    scriptFile(site, 'Require all granted\nSetHandler fastcgi-script'),
    SLASHES,
    tooLarge(site, '# A larger request body is refused with 413.'),
  )
  const what = [
    'For mod_fastcgi (2.4.7), which makes a new connection for each request. Where mod_proxy_fcgi is to be had, use that.',
  ]
  return `${paragraphs(about(site, 'fastcgi', ...what), host)}\n`
}

function htaccess(site: Site): string {
  const name = without(/[^\w.-]/, site.script.slice(site.script.lastIndexOf('/') + 1), 'a RewriteRule')
  const lines = [
    'The .htaccess of a folder on shared hosting: every URL that names no file goes to the application, through',
    `${name} (deploy/apache in the package), which lies beside this file and is executable.`,
    '',
    'Save as .htaccess. Keep the application itself, and everything private, outside of the folder that the web server serves,',
    `and let ${name} \`cd\` there.`,
  ]
  return `${paragraphs(
    header(site, ...lines),
    `# Hosts that use suexec, cPanel and the like have this already.\nAddHandler fcgid-script .fcgi\nOptions +ExecCGI`,
    `RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)$ ${name}/$1 [QSA,L]`,
    `${AUTHORIZATION}\nCGIPassAuth On`,
  )}\n`
}
