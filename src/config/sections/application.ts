/** Settings: what is served, and how it is called. */

import { bool, type Kind, oneOf, path, reference, text } from '../kinds.ts'
import { setting } from '../setting.ts'

/** `'/app/'` and `'/app'` are `'/app'`; `'/'` and `''` are the root, `''`. */
const mountPoint: Kind<string> = {
  placeholder: 'URLPATH',
  expects: 'a URL path such as /app, or / for the root',
  parse: value => (/^(\/[^?#\s]*)?$/.test(value) ? value.replace(/\/+$/, '') : undefined),
  format: value => (value === '' ? '/' : value),
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
    help: 'URL path that is answered without the application, for health checks: 200, or 503 while the server stops',
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
