/** Settings: the process and its surroundings. */

import { bool, mode, path, text } from '../kinds.ts'
import { setting } from '../setting.ts'

const account = text('NAME', 'a name or a number')

export const daemonSettings = {
  daemonize: setting({
    kind: bool,
    default: facts => facts.bound && !facts.supervised,
    defaultText: 'true if there is an address to listen on, unless under systemd or as process 1',
    section: 'Daemon',
    help: 'detach from the terminal',
  }),
  pidfile: setting({
    kind: path(),
    default: undefined,
    defaultText: 'none',
    section: 'Daemon',
    help: 'file that holds the process id while the server runs',
  }),
  control: setting({
    kind: path(),
    default: undefined,
    defaultText: 'beside the pidfile: <pidfile>.control',
    section: 'Daemon',
    help: 'Unix socket where the commands stop, reload, status and others reach the server',
  }),
  workdir: setting({
    kind: path(),
    default: undefined,
    defaultText: 'the current one',
    section: 'Daemon',
    help: 'folder to change to before the application is loaded; other paths do not depend on it',
  }),
  user: setting({
    kind: account,
    default: undefined,
    defaultText: 'the one that starts it',
    section: 'Daemon',
    help: 'user, by name or number, that the application runs as, with all groups of that user; needs root',
  }),
  group: setting({
    kind: account,
    default: undefined,
    defaultText: 'the group of user',
    section: 'Daemon',
    help: 'group, by name or number, that the application runs as; needs root',
  }),
  umask: setting({
    kind: mode,
    default: undefined,
    defaultText: 'the inherited one',
    section: 'Daemon',
    help: 'permission bits that new files do not get; those of the socket are socket-mode',
  }),
}
