/** Configurations for HAProxy 2.4 and later: fcgi-app, and a frontend and a backend that use it. */

import { formatTarget, type Target } from '../target.ts'
import {
  type Form,
  header,
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
  {
    name: 'site',
    help: 'connections kept, one request at a time on each',
    generate: site => haproxy(site, isShared(site) ? CLOSED : KEPT),
  },
  {
    name: 'multiplexed',
    help: 'several requests at a time share a connection',
    generate: site => haproxy(site, SHARED),
  },
]

/** Outside of quotes nothing is replaced, and a backslash protects what would end the word or begin a comment. */
const word = (text: string): string => text.replace(/[ "'#\\]/g, found => `\\${found}`)

/** In an address `$NAME` is replaced even where it is not in words, and a comma ends it. */
const addressOf = (target: Target): string =>
  target.kind === 'unix' ? `unix@${word(without(/[$,]/, target.path, 'HAProxy'))}` : formatTarget(target)

/** How connections to the application are used. */
interface Connections {
  /** Of the application. */
  readonly options: string
  /** Of the backend. */
  readonly reuse?: string
}

const KEPT: Connections = { options: '# Connections are kept, and carry one request at a time.\noption keep-conn' }

const CLOSED: Connections = {
  options: `# A connection for each request: a POST that HAProxy sends on a kept one (option keep-conn) just when a host closes it would
# be lost. Not with lame-duck= and ping=, which keep HAProxy away by then.`,
}

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
  const refuse =
    maxBody !== undefined &&
    `# A larger request body is refused before the application sees it.
http-request deny deny_status 413 if { req.hdr_val(content-length) gt ${maxBody} }`
  const host = names.length === 0 ? '' : ` { req.hdr(host),field(1,:) -i ${names.join(' ')} }`
  const use =
    mount === ''
      ? host === ''
        ? `default_backend ${id}`
        : `use_backend ${id} if${host}`
      : `# ${SLASH}
http-request redirect code 301 location ${mount}/?%[query] if { path ${mount} } { query -m len gt 0 }${host}
http-request redirect code 301 location ${mount}/ if { path ${mount} }${host}
http-request deny deny_status 404 unless { path_beg ${mount}/ }
use_backend ${id} if { path_beg ${mount}/ }${host}`
  return section(
    `frontend http-${id}`,
    paragraphs(`mode http\nbind *:${port}\ntimeout client 60s`, NO_DELAY, refuse, use),
  )
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

const NO_DELAY = `# Pass on what the application writes when it writes it: else HAProxy holds each piece of a reply back for up to 200 ms.
option http-no-delay`

const health = ({ ping }: Site): string => `${ping === undefined ? ASKED : pinged(ping)}

# Two failures end the traffic to an address, one success brings it back. Requests that it has go on (no \`on-marked-down
# shutdown-sessions\`): one that is about to stop answers them.
default-server check inter 1s fastinter 200ms downinter 500ms fall 2 rise 1`

const pinged = (
  path: string,
): string => `# Every second each address is asked for ping=, over FastCGI: the process answers it, not the application. One that was told to
# stop says 503, and with lame-duck=5 it serves on until HAProxy has found out.
option httpchk
http-check send meth GET uri ${path}
http-check expect status 200`

const ASKED = `# Every second each address is asked FCGI_GET_VALUES, which any FastCGI server answers. With ping=/path HAProxy would ask for
# that, and find out beforehand that one will stop (lame-duck=).
option tcp-check
tcp-check connect
tcp-check send-binary 0109000000000000
tcp-check expect binary 010a`

const RETRIES = `# What could not be sent is sent to another address; so is a GET of whose reply nothing came.
retries 3
option redispatch 1
retry-on conn-failure empty-response
http-request disable-l7-retry unless METH_GET or { method HEAD }`
