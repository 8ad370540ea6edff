/** Configurations for nginx: ngx_http_fastcgi_module, ngx_http_upstream_module. */

import type { SendfileRule } from '../../config/sections/application.ts'
import { formatTarget, type Target } from '../target.ts'
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
  soleBackend,
  without,
} from './site.ts'

export const nginxForms: readonly Form[] = [
  { name: 'keepalive', help: 'connections kept open, replies passed on as they are written', generate: keepAlive },
  {
    name: 'simple',
    help: 'the shortest that is right: a connection for each request, replies collected',
    generate: simple,
  },
]

/** In quotes; there a backslash and a quote are escaped, and nothing else. */
const quoted = (text: string): string =>
  /^[\w./:@-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, found => `\\${found}`)}"`

/** nginx takes `$` for a variable in these places, and knows no escape. */
const plain = (text: string): string => quoted(without(/\$/, text, 'nginx'))

const addressOf = (target: Target): string => (target.kind === 'unix' ? `unix:${target.path}` : formatTarget(target))

const about = (site: Site, ...lines: readonly string[]): string =>
  header(
    site,
    ...lines,
    ...(site.mount === '' ? [] : PREFIXED),
    `Save as /etc/nginx/conf.d/${idOf(site)}.conf, then \`nginx -t && systemctl reload nginx\`.`,
  )

function keepAlive(site: Site): string {
  return `${paragraphs(about(site), upstream(site), server(site, kept(site)))}\n`
}

function simple(site: Site): string {
  const lines = [
    'nginx keeps an upload until it is complete, and a reply until the client has taken it: a slow client never',
    'occupies the application. A reply that must arrive bit by bit (server-sent events) says so with the header',
    '`X-Accel-Buffering: no`.',
  ]
  const parts = isShared(site)
    ? [upstream(site), server(site, `fastcgi_pass ${idOf(site)};\n\n${NEXT}`)]
    : [server(site, `fastcgi_pass ${plain(addressOf(soleBackend(site, 'nginx')))};`)]
  return `${paragraphs(about(site, ...lines), ...parts)}\n`
}

function upstream(site: Site): string {
  const servers = (options: string): string =>
    site.backends.map(target => `server ${quoted(addressOf(target))}${options};`).join('\n')
  const content = isShared(site)
    ? `# Shared by all workers of nginx: what one of them finds out, all know.
zone ${idOf(site)} 64k;

# In turn. After one failure an address is left out for two seconds, and then tried with one request.
${servers(' max_fails=1 fail_timeout=2s')}`
    : `${servers('')}\n\n${KEEP}`
  return `upstream ${idOf(site)} {\n${indent(4, content)}\n}`
}

const KEEP = `# So many idle connections does each nginx worker keep. A new connection for each request costs the application
# several times the CPU of the request itself. Both this and fastcgi_keep_conn are needed.
keepalive 16;`

function server(site: Site, pass: string): string {
  const names = site.names.length === 0 ? '' : `\nserver_name ${site.names.join(' ')};`
  const content = paragraphs(
    `listen ${site.port};${names}`,
    maxBody(site),
    ...site.statics.map(path => files(path, site)),
    ...site.handedOver.filter(({ header }) => header === 'X-Accel-Redirect').map(internal),
    site.mount === '' ? atRoot(site, pass) : below(site, pass),
  )
  return `server {\n${indent(4, content)}\n}`
}

const maxBody = ({ maxBody }: Site): string =>
  maxBody === undefined
    ? '# A request body may be of any size. The default of nginx is 1m.\nclient_max_body_size 0;'
    : `# nginx refuses a larger request body with 413 before the application sees it. Its own default is 1m.
client_max_body_size ${size(maxBody)};`

const size = (bytes: number): string => (bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20}m` : String(bytes))

const files = (path: string, { root }: Site): string => `# ${FILES}
location ^~ ${path}/ {
    root ${plain(root)};
    expires 1h;
}`

const internal = ({
  folder,
  prefix,
}: SendfileRule): string => `# Only for what the application leaves to nginx (sendfile, X-Accel-Redirect): from outside it is 404.
location ^~ ${without(/[^\w./~-]/, prefix, 'nginx')} {
    internal;
    alias ${plain(folder)};
}`

/** The Host in Debian's fastcgi_params is without the port. Of two, runfcgi takes the last. */
function params({ port }: Site): string {
  const host = `

# The Host with the port that the client uses: without it an application takes forms from this very site for foreign ones.
fastcgi_param HTTP_HOST $host:${port};`
  return `include fastcgi_params;${port === 80 || port === 443 ? '' : host}`
}

const atRoot = (site: Site, pass: string): string => `# ${REST}
location / {
${indent(4, `${params(site)}\n${pass}`)}
}`

function below(site: Site, pass: string): string {
  const { mount, root, everything } = site
  const elsewhere = everything ? `root ${plain(root)};` : 'return 404;'
  const path = `${params(site)}

# Cuts the path in two: the first part becomes SCRIPT_NAME (in fastcgi_params), the second $fastcgi_path_info.
fastcgi_split_path_info ^(${literal(mount)})(/.*)$;
fastcgi_param PATH_INFO $fastcgi_path_info;`
  return paragraphs(
    `location / {\n    ${elsewhere}\n}`,
    `# ${SLASH}\nlocation = ${mount} {\n    return 301 ${mount}/$is_args$args;\n}`,
    `# \`^~\`: no location with a regular expression elsewhere in the file may take what belongs to the application.
location ^~ ${mount}/ {\n${indent(4, `${path}\n\n${pass}`)}\n}`,
  )
}

const NEXT = `# An address that cannot be reached, breaks off or is stopping (503) is not the client's concern: the next one is asked. A
# POST that has been sent is never sent twice. Connections are not kept (fastcgi_keep_conn), for that reason: one that a host
# closes just when nginx sends a POST on it would be a 502.
fastcgi_next_upstream error timeout http_503;
fastcgi_connect_timeout 1s;
fastcgi_socket_keepalive on;`

function kept(site: Site): string {
  const streamed = `# Pass on what the application writes when it writes it (server-sent events, progress). A slow client then slows
# the one reply, which costs a Node application memory for that reply and nothing else.
fastcgi_buffering off;`
  const collected = `# Collect replies: concurrency=1, and a child is free as soon as it has written, however slow the client. A reply that
# must arrive bit by bit (server-sent events) says so with the header \`X-Accel-Buffering: no\`.
fastcgi_buffering on;`
  return paragraphs(
    `fastcgi_pass ${idOf(site)};${isShared(site) ? `\n\n${NEXT}` : '\nfastcgi_keep_conn on;'}`,
    `# The headers of a reply must fit in here. nginx's own one page (4 KiB) is little for cookies and security headers.
fastcgi_buffer_size 16k;
fastcgi_buffers 8 16k;`,
    site.oneAtATime ? collected : streamed,
    `# The longest silence between two pieces of a reply. An event stream that is quiet for longer is cut.
fastcgi_read_timeout 10m;`,
    `# An upload reaches the application when it is complete. \`off\` streams it, but nginx stops sending it as soon as the
# application has begun to answer, and it leaves CONTENT_LENGTH empty for a chunked one.
fastcgi_request_buffering on;`,
  )
}
