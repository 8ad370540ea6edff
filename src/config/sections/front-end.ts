/** Settings: the web server that the command `serve` puts in front. */

import { address, path } from '../kinds.ts'
import { setting } from '../setting.ts'

export const frontEndSettings = {
  http: setting({
    kind: address,
    default: '127.0.0.1:8080',
    section: 'Front end',
    help: 'address of the HTTP server that the command serve puts in front',
  }),
  'tls-cert': setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Front end',
    help: 'certificate in PEM: serve speaks HTTPS; needs tls-key',
  }),
  'tls-key': setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Front end',
    help: 'key of the certificate in PEM',
  }),
}
