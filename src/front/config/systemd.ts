/** A unit for systemd 247 and later: systemd.service(5), systemd.exec(5). */

import { dirname } from 'node:path'
import { UsageError } from '../../config/errors.ts'
import { type Form, header, idOf, paragraphs, type Service, type Site, without } from './site.ts'

export const systemdForms: readonly Form[] = [{ name: 'service', help: 'a unit of type notify', generate: systemd }]

/** systemd replaces specifiers (`%n`) everywhere. */
const plain = (text: string): string => text.replaceAll('%', '%%')

/** A word of a list of paths. */
const quoted = (text: string): string =>
  /^[\w./:=,@+~%-]+$/.test(text) ? plain(text) : `"${plain(text).replace(/["\\]/g, found => `\\${found}`)}"`

/** A name of a user or group: systemd knows no quotes there, and takes a list apart at blanks. */
const account = (name: string): string => without(/^-|[^\w.-]/, name, 'systemd')

/** The rest of a line: blanks at its ends are not part of it, and a backslash would join the next one to it. */
const line = (text: string): string => plain(without(/^\s|\s$|\\$/, text, 'systemd'))

/** A word of a command line, where variables are replaced as well. */
const word = (text: string): string => quoted(text).replaceAll('$', '$$$$')

function systemd(site: Site): string {
  const { service } = site
  const id = idOf(site)
  const about = header(
    site,
    `Save as /etc/systemd/system/${id}.service, then \`systemctl daemon-reload && systemctl enable --now ${id}\`.`,
  )
  return `${paragraphs(
    about,
    `[Unit]\nDescription=${site.names[0] ?? 'A Node.js application'} (runfcgi)\nAfter=network.target`,
    `[Service]\n${life(service)}`,
    accounts(service),
    files(site),
    HARDENED,
    '[Install]\nWantedBy=multi-user.target',
  )}\n`
}

const life = (
  service: Service,
): string => `# It says when it serves, reloads and stops, and that it is alive: another process, systemd-notify, says so for it. With
# systemd 253 or newer, \`OpenFile=/run/systemd/notify:notify\` lets it speak for itself.
Type=notify
NotifyAccess=all
WatchdogSec=30

WorkingDirectory=${line(service.folder)}
ExecStart=${[...service.program, 'start', ...service.words].map(word).join(' ')}
${reload(service)}
Restart=on-failure

# TERM goes to the main process alone, which lets requests finish (graceful-timeout) and ends its children.
KillMode=mixed
TimeoutStopSec=${Math.ceil(service.ending / 1000) + 15}
# What ends a process that the watchdog has given up: no core dump.
WatchdogSignal=SIGKILL
# Node.js raises the limit on open files to this; each connection is one.
LimitNOFILE=65536`

/** With a pidfile the command waits for the outcome, and fails if the new code does not load. */
function reload({ program, place }: Service): string {
  if (place === undefined) return 'ExecReload=/bin/kill -HUP $MAINPID'
  return `# New children, then the old ones end. Fails, and shows why, if the application does not load: the old ones go on.
ExecReload=${[...program, 'reload', place].map(word).join(' ')}`
}

function accounts({ user, group, socketGroup }: Service): string {
  const own =
    user === undefined
      ? '# An account that exists while this runs. user=NAME takes one of yours.\nDynamicUser=yes'
      : [`User=${account(user)}`, ...(group === undefined ? [] : [`Group=${account(group)}`])].join('\n')
  if (socketGroup === undefined) return own
  return `${own}\n\n# Only a member of a group may give it the socket.\nSupplementaryGroups=${account(socketGroup)}`
}

/** Folders below /run are made at the start; others must be there. */
function files({ backends, service }: Site): string {
  const sockets = backends.flatMap(target => (target.kind === 'unix' ? [target.path] : []))
  const folders = [...new Set([...sockets, ...service.files].map(path => dirname(path)))]
  const homely = /^\/(home|root)\//.test(`${service.folder}/`)
  const bare = folders.find(folder => folder === '/run' || folder === '/')
  if (bare !== undefined) {
    throw new UsageError(`systemd gives a service no right to make files in ${bare}: take a folder such as /run/mysite`)
  }
  const run = folders.filter(folder => /^\/run\/[^/]+$/.test(folder)).map(folder => folder.slice('/run/'.length))
  const others = folders.filter(folder => !/^\/run\/[^/]+$/.test(folder))
  return paragraphs(
    run.length > 0 &&
      `# The folder of the socket, made at the start.\nRuntimeDirectory=${run.map(name => quoted(without(/\s/, name, 'systemd'))).join(' ')}`,
    `# Nothing else can be written to${others.length === 0 ? '. ReadWritePaths= names folders that the application writes to' : ''}.
ProtectSystem=strict
ProtectHome=${homely ? 'read-only' : 'yes'}${others.map(folder => `\nReadWritePaths=${quoted(folder)}`).join('')}${
      folders.some(folder => /^\/(var\/)?tmp(\/|$)/.test(folder)) ? '' : '\nPrivateTmp=yes'
    }`,
  )
}

const HARDENED = `# What a server of web pages does not need.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0007
# Not MemoryDenyWriteExecute=yes: V8 writes the code that it compiles at run time, and would end at once.`
