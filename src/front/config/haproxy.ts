/** Configurations for HAProxy 2.4 and later: fcgi-app, and a frontend and a backend that use it. */

import type { Target } from '../connection.ts'
import {
  type Form,
  header,
  hostAndPort,
  idOf,
  indent,
  isShared,
  literal,
  PREFIXED,
  paragraphs,
  type Site,
  SLASH,
  without,
} from './site.ts'

export const haproxyForms: readonly Form[] = [
  { name: 'site', help: 'connections kept, one request at a time on each', generate: site => haproxy(site, KEPT) },
  {
    name: 'multiplexed',
    help: 'several requests at a time share a connection',
    generate: site => haproxy(site, SHARED),
  },
]

/** Outside of quotes nothing is replaced, and a backslash protects what would end the word or begin a comment. */
const word = (text: string): string => text.replace(/[\s"'#\\]/g, found => `\\${found}`)

const addressOf = (target: Target): string =>
  target.kind === 'unix' ? `unix@${word(without(/\$\{|,/, target.path, 'HAProxy'))}` : hostAndPort(target)

/** How connections to the application are used. */
interface Connections {
  /** Of the application. */
  readonly options: string
  /** Of the backend. */
  readonly reuse?: string
}

const KEPT: Connections = { options: '# Connections are kept, and carry one request at a time.\noption keep-conn' }

const SHARED: Connections = {
  options: `# Connections are kept, and several requests share one: as many as runfcgi says (max-inflight) when it is asked.
option keep-conn
option get-values
option mpxs-conns`,
  reuse: `# Share connections among all clients. For short replies: FastCGI cannot hold back one request of a connection, so that a
# client that reads slowly holds up all that share it.
http-reuse always`,
}

function haproxy(site: Site, connections: Connections): string {
  const id = idOf(site)
  const about = header(
    site,
    'HAProxy serves no files: the application, or another web server, does.',
    ...(site.mount === ''
      ? []
      : [...PREFIXED, 'Whatever is not below it belongs to another backend; here it is answered 404.']),
    `Save as /etc/haproxy/${id}.cfg, name it with a further -f (Debian: EXTRAOPTS in /etc/default/haproxy), then`,
    '`haproxy -c -f /etc/haproxy/haproxy.cfg -f …` and `systemctl reload haproxy`.',
  )
  return `${paragraphs(about, application(site, id, connections), frontend(site, id), backend(site, id, connections))}\n`
}

const section = (name: string, content: string): string => `${name}\n${indent(4, content)}`

function application({ mount, root }: Site, id: string, { options }: Connections): string {
  const cut =
    mount === ''
      ? `# The application is at the root: SCRIPT_NAME is empty, PATH_INFO the whole path.\npath-info ^()(/.*)$`
      : `# Cuts the path in two: SCRIPT_NAME and PATH_INFO.\npath-info ^(${word(literal(mount))})(/.*)$`
  return section(
    `fcgi-app ${id}`,
    paragraphs(
      `# Demanded, and used for nothing but SCRIPT_FILENAME.\ndocroot ${word(root)}`,
      cut,
      options,
      '# What the application writes to its error stream goes to the log.\nlog-stderr global',
      '# HAProxy keeps this header from applications unless told otherwise.\npass-header authorization',
    ),
  )
}

function frontend({ names, port, mount, maxBody }: Site, id: string): string {
  const refuse = `# A larger request body is refused before the application sees it.
http-request deny deny_status 413 if { req.hdr_val(content-length) gt ${maxBody} }`
  const host = names.length === 0 ? '' : ` { req.hdr(host),field(1,:) -i ${names.join(' ')} }`
  const use =
    mount === ''
      ? host === ''
        ? `default_backend ${id}`
        : `use_backend ${id} if${host}`
      : `# ${SLASH}
http-request redirect code 301 location ${mount}/ if { path ${mount} }${host}
use_backend ${id} if { path_beg ${mount}/ }${host}
http-request deny deny_status 404 unless { path_beg ${mount}/ }`
  return section(`frontend http-${id}`, paragraphs(`mode http\nbind *:${port}\ntimeout client 60s`, refuse, use))
}

function backend(site: Site, id: string, { reuse }: Connections): string {
  const { backends } = site
  const servers = backends.map(
    (target, index) => `server runfcgi${isShared(site) ? index + 1 : ''} ${addressOf(target)} proto fcgi`,
  )
  return section(
    `backend ${id}`,
    paragraphs(
      `mode http\nuse-fcgi-app ${id}\ntimeout connect ${isShared(site) ? 1 : 5}s`,
      reuse,
      '# The longest silence between two pieces of a reply.\ntimeout server 10m',
      ...(isShared(site) ? ['balance roundrobin', health(site), RETRIES] : []),
      servers.join('\n'),
    ),
  )
}

const health = ({
  ping,
}: Site): string => `# Every second each address is asked ${ping === undefined ? 'FCGI_GET_VALUES, which any FastCGI server answers (ping=/path asks more)' : 'for ping=, which the process answers, not the application'}. Two
# failures end the traffic to it, and at once the requests that wait for it; one success brings it back.
${ping === undefined ? ASKED : `option httpchk\nhttp-check send meth GET uri ${ping}\nhttp-check expect status 200`}
default-server check inter 1s fastinter 200ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions`

const ASKED = `option tcp-check
tcp-check connect
tcp-check send-binary 0109000000000000
tcp-check expect binary 010a`

const RETRIES = `# What could not be sent is sent to another address; so is a GET of whose reply nothing came.
retries 3
option redispatch 1
retry-on conn-failure empty-response
http-request disable-l7-retry unless METH_GET or { method HEAD }`
