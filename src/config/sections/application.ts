/** Settings: what is served, and how it is called. */

import { resolve } from 'node:path'
import { bool, type Kind, list, oneOf, path, reference, text, words } from '../kinds.ts'
import { setting } from '../setting.ts'

/** `'/app/'` and `'/app'` are `'/app'`; `'/'` and `''` are the root, `''`. */
const mountPoint: Kind<string> = {
  placeholder: 'URLPATH',
  expects: 'a URL path such as /app, or / for the root',
  parse: value => (/^(\/[^?#\s]*)?$/.test(value) ? value.replace(/\/+$/, '') : undefined),
  format: value => (value === '' ? '/' : value),
}

/** Files that the web server sends itself: below which folder, and what it is told (SendfileRule of src/app/exchange.ts). */
export interface SendfileRule {
  readonly header: 'X-Sendfile' | 'X-Accel-Redirect'
  /** Absolute, with a slash at its end. */
  readonly folder: string
  /** What stands for the folder in the header, with a slash at its end. */
  readonly prefix: string
}

const withSlash = (path: string): string => (path.endsWith('/') ? path : `${path}/`)

/** `x-sendfile:/srv/files`, `x-accel-redirect:/internal/=/srv/files`. */
const sendfileRule: Kind<SendfileRule> = {
  placeholder: 'RULE',
  expects: 'off, x-sendfile:/srv/files or x-accel-redirect:/internal/=/srv/files',
  parse: (value, base) => {
    const [, header, prefix, path] = /^(x-sendfile|x-accel-redirect):(?:(\/[^=?#\s]*)=)?(.+)$/i.exec(value) ?? []
    if (header === undefined || path === undefined) return undefined
    const folder = withSlash(resolve(base, path))
    if (header.toLowerCase() === 'x-sendfile')
      return prefix === undefined ? { header: 'X-Sendfile', folder, prefix: folder } : undefined
    return prefix === undefined ? undefined : { header: 'X-Accel-Redirect', folder, prefix: withSlash(prefix) }
  },
  format: ({ header, folder, prefix }) =>
    `${header.toLowerCase()}:${header === 'X-Sendfile' ? '' : `${prefix}=`}${folder}`,
}

const sendfileRules = list(sendfileRule)

const sendfile: Kind<readonly SendfileRule[]> = {
  ...sendfileRules,
  parse: (value, base) => (value === 'off' ? [] : sendfileRules.parse(value, base)),
  format: rules => (rules.length === 0 ? 'off' : sendfileRules.format(rules)),
}

export const applicationSettings = {
  app: setting({
    kind: reference,
    default: undefined,
    defaultText: 'looked for: application, app, server, index, package.json main',
    section: 'Application',
    help: 'the application: a file, one of its exports, or a package',
    aliases: ['application'],
    reloadable: true,
  }),
  args: setting({
    kind: words,
    default: [],
    defaultText: 'none',
    section: 'Application',
    help: 'arguments of the application, in process.argv; on the command line also everything behind --',
    reloadable: true,
  }),
  interface: setting({
    kind: oneOf(['auto', 'wsgi', 'node', 'fetch']),
    default: 'auto',
    section: 'Application',
    help: 'how the application is called: application(environ, startResponse), listener(req, res) or fetch(request)',
    reloadable: true,
  }),
  mount: setting({
    kind: mountPoint,
    default: undefined,
    defaultText: 'found from each request',
    section: 'Application',
    help: 'the URL path below which the application lives',
    reloadable: true,
  }),
  ping: setting({
    kind: text('URLPATH', 'a URL path such as /ping', /^\/[^?#\s]*$/),
    default: undefined,
    defaultText: 'none',
    section: 'Application',
    help: 'URL path that is answered without the application, for health checks: 200, or 503 once the server is told to stop',
  }),
  sendfile: setting({
    kind: sendfile,
    default: [],
    section: 'Application',
    help: 'let the web server send the files below these folders that the application answers with: a header names the file',
    reloadable: true,
  }),
  config: setting({
    kind: path(),
    default: undefined,
    defaultText: 'runfcgi.config.json, .js, .mjs or .cjs',
    section: 'Application',
    help: 'the configuration file',
    notInFile: true,
  }),
  debug: setting({
    kind: bool,
    default: false,
    section: 'Application',
    help: 'show the stack of an application error in the browser',
    reloadable: true,
  }),
}
