/** Settings: what the command `config` needs to know about the web server that it writes a configuration for. */

import { bool, int, type Kind, list, path, text } from '../kinds.ts'
import { setting } from '../setting.ts'

/** Characters that no web server's configuration and no regular expression takes for something else. */
const urlPath: Kind<string> = {
  placeholder: 'URLPATH',
  expects: 'a URL path of letters, digits and . _ ~ - such as /static',
  parse: value => (/^(\/[\w.~-]+)+\/?$/.test(value) ? value.replace(/\/$/, '') : undefined),
  format: value => value,
}

export const webServerSettings = {
  'server-name': setting({
    kind: list(text('NAME', 'a host name such as example.org', /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i)),
    default: [],
    defaultText: 'any',
    section: 'Web server',
    help: 'config: host names of the site',
  }),
  'server-port': setting({
    kind: int(1, 65_535),
    default: 80,
    section: 'Web server',
    help: 'config: port of the site',
  }),
  'document-root': setting({
    kind: path(),
    default: undefined,
    defaultText: 'workdir, or the current folder',
    section: 'Web server',
    help: 'config: folder of the files that the web server serves: those of static alone, unless this and mount are both set',
  }),
  static: setting({
    kind: list(urlPath),
    default: ['/static'],
    defaultText: '/static',
    section: 'Web server',
    help: 'config: URL paths that the web server serves itself, from the folders of the same names in document-root',
  }),
  check: setting({
    kind: bool,
    default: false,
    section: 'Web server',
    help: "config: run the web server's own test on the configuration, if it is installed",
    notInFile: true,
  }),
}
