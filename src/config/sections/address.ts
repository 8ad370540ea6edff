/** Settings: where connections come from. */

import { address, int, list, mode, oneOf, path, text } from '../kinds.ts'
import { setting } from '../setting.ts'

const user = text('NAME', 'a name or a number')

export const addressSettings = {
  socket: setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Address',
    help: 'the Unix socket to listen on',
  }),
  host: setting({
    kind: text('HOST', 'a host name or an IP address', /^[^\s/]+$/),
    default: undefined,
    defaultText: '127.0.0.1 if there is a port',
    section: 'Address',
    help: 'the host name or IP address to listen on, together with port',
  }),
  port: setting({
    kind: int(0, 65_535),
    default: undefined,
    defaultText: 'none',
    section: 'Address',
    help: 'the TCP port to listen on; 0 lets the system choose',
  }),
  listen: setting({
    kind: list(address),
    default: [],
    defaultText: 'none',
    section: 'Address',
    help: 'several addresses at once, instead of socket, host and port; may be repeated',
    aliases: ['bind'],
  }),
  'socket-mode': setting({
    kind: mode,
    default: 0o666,
    section: 'Address',
    help: 'permission bits of the Unix socket; 660 with socket-group lets only the web server in',
  }),
  'socket-owner': setting({
    kind: user,
    default: undefined,
    defaultText: 'the user that starts it',
    section: 'Address',
    help: 'user who owns the Unix socket',
  }),
  'socket-group': setting({
    kind: user,
    default: undefined,
    defaultText: 'the group that starts it',
    section: 'Address',
    help: 'group of the Unix socket, usually the one of the web server',
  }),
  backlog: setting({
    kind: int(1, 65_535),
    default: 511,
    section: 'Address',
    help: 'connections that may wait to be accepted; the system may allow fewer',
  }),
  'allowed-clients': setting({
    kind: list(text('IP', 'an IP address or a network such as 10.0.0.0/8', /^[^\s]+$/)),
    default: [],
    defaultText: 'everybody who can connect',
    section: 'Address',
    help: 'addresses and networks that may connect over TCP',
    reloadable: true,
  }),
  protocol: setting({
    kind: oneOf(['fcgi'], { fastcgi: 'fcgi' }),
    default: 'fcgi',
    section: 'Address',
    help: 'what is spoken on the socket: FastCGI',
  }),
}
