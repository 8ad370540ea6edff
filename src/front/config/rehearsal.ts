/**
 * How each program is asked whether it accepts a configuration: the main configuration to put round it, and the command.
 * Pure; who runs it puts the files into `folder`.
 */

export interface Rehearsal {
  /** The program, by the names that it has; the first that is found. */
  readonly programs: readonly string[]
  readonly args: readonly string[]
  /** What to write into the folder, by name. */
  readonly files: Readonly<Record<string, string>>
  /** A module that the test needs and that is not there. */
  readonly missing?: string | undefined
}

/** What a main configuration needs to know of the machine. */
export interface Machine {
  /** A folder that is there for this test alone, without characters that need quotes. */
  readonly folder: string
  /** Apache's folder of modules, and the names of those in it. */
  readonly apache: { readonly folder: string; readonly modules: ReadonlySet<string> }
  /** Where nginx keeps fastcgi_params. */
  readonly nginxParams: string
}

type Rehearse = (text: string, form: string, machine: Machine) => Rehearsal

const rehearsals: Readonly<Record<string, Rehearse>> = {
  nginx: (text, _form, { folder, nginxParams }) => ({
    programs: ['nginx'],
    args: ['-t', '-q', '-p', folder, '-e', 'stderr', '-c', `${folder}/nginx.conf`],
    files: {
      'nginx.conf': `pid ${folder}/pid;\nevents {}\nhttp {\n    include site.conf;\n}\n`,
      fastcgi_params: `include ${nginxParams};\n`,
      'site.conf': text,
    },
  }),
  apache: (text, form, { folder, apache }) => ({
    programs: ['apache2', 'httpd'],
    args: ['-t', '-d', folder, '-f', `${folder}/main.conf`],
    files: {
      'main.conf': `${apacheMain(folder, apache)}${form === 'htaccess' ? `AccessFileName site\n<Directory "${folder}">\n${text}</Directory>\n` : text}`,
    },
    missing: modulesOf(form, text).find(name => !apache.modules.has(name)),
  }),
  lighttpd: (text, _form, { folder }) => ({
    programs: ['lighttpd'],
    args: ['-tt', '-f', `${folder}/main.conf`],
    files: { 'main.conf': `server.document-root = "${folder}"\nserver.port = 80\n${text}` },
  }),
  caddy: (text, _form, { folder }) => ({
    programs: ['caddy'],
    args: ['validate', '--adapter', 'caddyfile', '--config', `${folder}/Caddyfile`],
    files: { Caddyfile: text },
  }),
  haproxy: (text, _form, { folder }) => ({
    programs: ['haproxy'],
    args: ['-c', '-q', '-f', `${folder}/haproxy.cfg`],
    files: { 'haproxy.cfg': `global\n    log stderr format raw local0\n\n${text}` },
  }),
  h2o: (text, _form, { folder }) => ({
    programs: ['h2o'],
    args: ['-t', '-c', `${folder}/h2o.conf`],
    files: { 'h2o.conf': `user: root\n${text}` },
  }),
  systemd: (text, _form, { folder }) => ({
    programs: ['systemd-analyze'],
    args: ['verify', '--recursive-errors=one', '--man=no', `${folder}/site.service`],
    files: { 'site.service': text },
  }),
  logrotate: (text, _form, { folder }) => ({
    programs: ['logrotate'],
    args: ['--debug', '--state', `${folder}/state`, `${folder}/site`],
    files: { site: text },
  }),
}

const MODULES_OF: Readonly<Record<string, readonly string[]>> = {
  'proxy-fcgi': ['proxy_fcgi'],
  fcgid: ['fcgid'],
  htaccess: ['fcgid'],
  fastcgi: ['fastcgi'],
}

const modulesOf = (form: string, text: string): readonly string[] => [
  ...(MODULES_OF[form] ?? []),
  ...(text.includes('XSendFile') ? ['xsendfile'] : []),
  ...(text.includes('hcmethod') ? ['proxy_hcheck'] : []),
]

/** Modules that Debian's apache2 has loaded before the site's configuration is read, and those that the comment asks for. */
const APACHE_MODULES = [
  ...['mpm_event', 'authz_core', 'alias', 'dir', 'mime', 'env', 'setenvif', 'rewrite', 'unixd'],
  ...['proxy', 'proxy_fcgi', 'slotmem_shm', 'proxy_balancer', 'watchdog', 'proxy_hcheck', 'lbmethod_byrequests'],
  ...['fcgid', 'fastcgi', 'xsendfile'],
]

function apacheMain(root: string, { folder, modules }: Machine['apache']): string {
  const load = APACHE_MODULES.filter(name => modules.has(name)).map(
    name => `LoadModule ${name}_module "${folder}/mod_${name}.so"`,
  )
  return `ServerName localhost\nPidFile "${root}/pid"\nErrorLog "${root}/log"\nTypesConfig /dev/null\nListen 80\n${load.join('\n')}\n`
}

/** Undefined: there is no test for this one. */
export const rehearsalOf = (server: string, form: string, text: string, machine: Machine): Rehearsal | undefined =>
  rehearsals[server]?.(text, form, machine)
