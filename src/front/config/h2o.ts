/** Configurations for h2o 2.2: the handlers fastcgi.connect and file.dir. */

import {
  FILES,
  type Form,
  HUGE,
  header,
  indent,
  NO_LIMIT,
  PREFIXED,
  paragraphs,
  REST,
  type Site,
  soleBackend,
} from './site.ts'

export const h2oForms: readonly Form[] = [{ name: 'site', help: 'hosts and paths', generate: h2o }]

/** A double-quoted scalar of YAML takes every string of JSON. */
const quoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : JSON.stringify(text))

function h2o(site: Site): string {
  const { names, port, maxBody, mount } = site
  const about = header(
    site,
    ...(mount === '' ? [] : PREFIXED),
    'Save as /etc/h2o/h2o.conf, then `h2o -t -c /etc/h2o/h2o.conf && systemctl reload h2o`.',
  )
  const hosts = names.length === 0 ? ['default'] : names.map(name => `"${name}:${port}"`)
  return `${paragraphs(
    about,
    `# ${maxBody === undefined ? HUGE : 'A larger request body is refused with 413.'} In bytes; h2o's own default is 1 GiB.
limit-request-body: ${maxBody ?? NO_LIMIT}`,
    `hosts:\n${hosts.map(host => `${indent(2, `${host}:\n${indent(2, hostOf(site))}`)}`).join('\n')}`,
  )}\n`
}

const hostOf = (site: Site): string =>
  `listen:\n  port: ${site.port}\npaths:\n${indent(2, site.mount === '' ? atRoot(site) : below(site))}`

const files = (path: string, { root }: Site): string => `# ${FILES}\n"${path}":\n  file.dir: ${quoted(root + path)}`

const atRoot = (site: Site): string =>
  paragraphs(
    ...site.statics.map(path => files(path, site)),
    `# ${REST} No fastcgi.timeout.keepalive: with kept connections h2o 2.2 aborts as a whole
# when a reply is complete before the body of its request has been sent.
"/":\n${indent(2, connect(site))}`,
  )

function below(site: Site): string {
  const { mount, root, everything } = site
  return paragraphs(
    ...site.statics.map(path => files(path, site)),
    everything && `"/":\n  file.dir: ${quoted(root)}`,
    `# h2o would call the whole path PATH_INFO, and SCRIPT_NAME nothing.
"${mount}":
  setenv:
    "SCRIPT_NAME": "${mount}"
${indent(2, connect(site))}`,
  )
}

function connect(site: Site): string {
  const target = soleBackend(site, 'h2o')
  const where =
    target.kind === 'unix'
      ? `port: ${quoted(target.path)}\n  type: unix`
      : `host: ${quoted(target.host)}\n  port: ${target.port}\n  type: tcp`
  return `fastcgi.connect:\n  ${where}`
}
