/** What the demo's pages are made of. */

/** CGI variables hold one byte a character; people send UTF-8. */
export const utf8 = latin1 => Buffer.from(latin1, 'latin1').toString()

const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])

export const escapeHtml = text => text.replace(/[&<>"']/g, character => ENTITIES.get(character))

export function parseCookies(header) {
  const pairs = header.split(';').map(pair => pair.trim().split('='))
  return new Map(pairs.map(([name, ...value]) => [name, value.join('=')]))
}

const GROUPS = [
  ['Request', /^(REQUEST_(?!SCHEME)|SCRIPT_|PATH_|QUERY_|CONTENT_|DOCUMENT_|REDIRECT_)/],
  ['Connection', /^(REMOTE_|SERVER_|HTTPS|REQUEST_SCHEME|GATEWAY_|AUTH_|SSL_|TLS_)/],
  ['Request headers', /^HTTP_/],
  ['Callables and facts', /^(wsgi|runfcgi)\./],
  ['More', /^/],
]

const shown = value => (typeof value === 'string' ? utf8(value) : describe(value))

function describe(value) {
  if (typeof value !== 'object' || value === null) return String(value)
  return Array.isArray(value) ? `[${value.join(', ')}]` : `${value.constructor?.name ?? 'object'}`
}

function row([name, value]) {
  const text = escapeHtml(shown(value))
  const kind = typeof value === 'string' ? '' : ' class="object"'
  return `<tr><th scope="row">${escapeHtml(name)}</th><td${kind}>${text === '' ? '<span class="empty">empty</span>' : text}</td></tr>`
}

/** All of `environ`, in groups. */
export function environTable(environ) {
  const left = new Map(Object.entries(environ))
  return GROUPS.map(([title, pattern]) => {
    const entries = [...left].filter(([name]) => pattern.test(name))
    for (const [name] of entries) left.delete(name)
    const rows = entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(row)
    return rows.length === 0
      ? ''
      : `<tbody><tr><th colspan="2" scope="rowgroup">${title}</th></tr>${rows.join('\n')}</tbody>`
  }).join('\n')
}
