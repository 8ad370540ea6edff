/**
 * The web servers in front: one process group for all peers of a case, with a port for each. Towards an HTTP server they
 * keep connections over TCP, towards a FastCGI server over its Unix socket, as far as they can; nothing is logged or
 * cached, and they are alike in everything else.
 */

import { chmodSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { launch, stop } from './children.js'
import { findProgram, isRoot } from './programs.js'

const APACHE_MODULES = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules'].find(existsSync)
const FASTCGI_PARAMS = '/etc/nginx/fastcgi_params'

/** A site: `{ protocol, address, port, scriptFile? }`; `address` is that of the application, `port` that of the front. */
const FRONTS = {
  nginx: {
    program: findProgram('nginx'),
    configure(folder, sites) {
      cpSync(FASTCGI_PARAMS, join(folder, 'fastcgi_params'))
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      writeFileSync(
        join(folder, 'nginx.conf'),
        `daemon off;
        ${isRoot ? 'user nobody nogroup;' : ''}
        pid ${folder}/pid;
        worker_processes 1;
        events { worker_connections 1024; }
        http {
          access_log off;
          keepalive_requests 100000000;
          ${temporary.map(name => `${name}_temp_path ${folder}/${name};`).join('\n')}
          ${sites.map(nginxSite).join('\n')}
        }`,
      )
      return ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'log')]
    },
  },
  apache: {
    program: findProgram('apache2', 'httpd'),
    configure(folder, sites) {
      const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'proxy_fcgi', 'env', 'unixd']
      const available = modules.filter(name => existsSync(`${APACHE_MODULES}/mod_${name}.so`))
      writeFileSync(
        join(folder, 'apache.conf'),
        `ServerRoot "${folder}"
        DefaultRuntimeDir "${folder}"
        PidFile "${folder}/pid"
        ServerName localhost
        ErrorLog "${folder}/log"
        ${available.map(name => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`).join('\n')}
        ${isRoot ? 'User nobody\nGroup nogroup' : ''}
        StartServers 1
        ServerLimit 1
        ThreadsPerChild 64
        MaxRequestWorkers 64
        MaxKeepAliveRequests 0
        KeepAliveTimeout 60
        ${sites.map(apacheSite).join('\n')}`,
      )
      return ['-DFOREGROUND', '-d', folder, '-f', 'apache.conf']
    },
  },
  lighttpd: {
    program: findProgram('lighttpd'),
    configure(folder, sites) {
      writeFileSync(
        join(folder, 'lighttpd.conf'),
        `server.modules = ( "mod_fastcgi", "mod_proxy" )
        server.bind = "127.0.0.1"
        server.port = ${sites[0].port}
        server.document-root = "${folder}"
        server.errorlog = "${folder}/log"
        server.upload-dirs = ( "${folder}" )
        server.max-keep-alive-requests = 100000000
        ${isRoot ? 'server.username = "nobody"' : ''}
        ${sites.map(lighttpdSite).join('\n')}`,
      )
      return ['-D', '-f', join(folder, 'lighttpd.conf')]
    },
  },
}

function nginxSite({ protocol, address, port, scriptFile }) {
  const name = `application${port}`
  const server = protocol === 'http' ? address : `unix:${address}`
  const pass =
    protocol === 'http'
      ? `proxy_pass http://${name}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;`
      : `include fastcgi_params; fastcgi_pass ${name}; fastcgi_keep_conn on;
         ${scriptFile ? `fastcgi_param SCRIPT_FILENAME ${scriptFile};` : ''}`
  return `upstream ${name} { server ${server}; keepalive 16; keepalive_requests 100000000; }
    server { listen 127.0.0.1:${port}; location / { ${pass} } }`
}

function apacheSite({ protocol, address, port }) {
  const pass =
    protocol === 'http'
      ? `ProxyPass "/" "http://${address}/" enablereuse=on`
      : `ProxyPass "/" "unix:${address}|fcgi://localhost${port}/" enablereuse=on
         SetEnv ap_trust_cgilike_cl`
  return `Listen 127.0.0.1:${port}\n<VirtualHost 127.0.0.1:${port}>\n${pass}\n</VirtualHost>`
}

function lighttpdSite({ protocol, address, port }, index) {
  const [host, tcpPort] = address.split(':')
  const pass =
    protocol === 'http'
      ? `proxy.server = ( "" => (( "host" => "${host}", "port" => ${tcpPort} )))`
      : `fastcgi.server = ( "/" => (( "socket" => "${address}", "check-local" => "disable", "fix-root-scriptname" => "enable" )))`
  // The first port is that of the main configuration: another socket for it would be the same one twice.
  return index === 0 ? pass : `$SERVER["socket"] == "127.0.0.1:${port}" { ${pass} }`
}

/** What must be installed, if anything. */
export function missingFront(kind) {
  const { program } = FRONTS[kind]
  if (!program || (kind === 'nginx' && !existsSync(FASTCGI_PARAMS))) return kind
  return kind === 'apache' && !existsSync(`${APACHE_MODULES}/mod_proxy_fcgi.so`)
    ? 'Apache with mod_proxy_fcgi'
    : undefined
}

/** Starts a web server in front of `sites`. Whether it works is seen by the first request through it. */
export function startFront(kind, sites, directory) {
  const folder = join(directory, kind)
  mkdirSync(folder, { recursive: true })
  // They write into it when they have given up the rights of root.
  chmodSync(folder, 0o777)
  const { program, configure } = FRONTS[kind]
  const child = launch(program, configure(folder, sites), { stdio: ['ignore', 'inherit', 'inherit'], cwd: folder })
  return { pid: child.pid, stop: () => stop(child) }
}
