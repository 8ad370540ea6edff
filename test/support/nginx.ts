/** Starts nginx for one site: the shipped configurations inside a main configuration that keeps everything in the site. */

import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from './site.ts'
import { unprivileged } from './unprivileged.ts'
import { EVERYTHING, findProgram, launchBoth, SECOND, shipped, type WebServerKind } from './web-server.ts'

const program = findProgram('nginx')
const PARAMS = '/etc/nginx/fastcgi_params'

export const nginx = {
  name: 'nginx',
  missing: program !== undefined && existsSync(PARAMS) ? undefined : 'nginx',
  spawns: false,
  start: (site: Site) => start(site, ['nginx/simple.conf', 'nginx/simple-mount.conf']),
  limits: {
    ...EVERYTHING,
    streamingEcho: 32_768,
    keepsConnections: false,
    buffersUnlessAsked: true,
    streamsUploads: false,
    responseHeader: 3_000,
  },
  reasons: {
    streamingEcho:
      'nginx stops sending the request body as soon as the head of the reply has come: 32 KiB here (test/e2e/nginx-limit.test.ts)',
    keepsConnections:
      'not asked to; [fastcgi_keep_conn](https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_keep_conn)',
    buffersUnlessAsked:
      'the reply says `X-Accel-Buffering: no`; [fastcgi_buffering](https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_buffering)',
    streamsUploads:
      'not asked to; [fastcgi_request_buffering](https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_request_buffering)',
    responseHeader:
      'all headers together must fit one page, 3,000 bytes here; [fastcgi_buffer_size](https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_buffer_size)',
  },
} satisfies WebServerKind

const KEPT = ['nginx/keepalive.conf', 'nginx/mount.conf'] as const

export const nginxKeepAlive = {
  ...nginx,
  name: 'nginx with fastcgi_keep_conn and upstream keepalive',
  start: (site: Site) => start(site, KEPT),
  limits: {
    ...nginx.limits,
    keepsConnections: true,
    buffersUnlessAsked: false,
    responseHeader: EVERYTHING.responseHeader,
  },
} satisfies WebServerKind

/** What the comment in keepalive.conf tells how to get: the application reads an upload while it comes. */
export const nginxStreamingUploads = {
  ...nginxKeepAlive,
  name: 'nginx with fastcgi_request_buffering off',
  limits: { ...nginxKeepAlive.limits, streamsUploads: true },
  start: (site: Site) => start(site, KEPT, { 'fastcgi_request_buffering on;': 'fastcgi_request_buffering off;' }),
} satisfies WebServerKind

export const nginxOverTcp = { ...nginx, name: 'nginx over TCP', overTcp: true } satisfies WebServerKind

/** The application at two addresses: the site's socket and this port. */
export const startBalanced = (site: Site, second: number) =>
  start(site, ['nginx/balance.conf', 'nginx/mount.conf'], { [SECOND]: `127.0.0.1:${second}` })

function start(site: Site, [file, mounted]: readonly [string, string], changes: Record<string, string> = {}) {
  const { folder, socket, port: application } = site
  const logFile = join(folder, 'nginx-error.log')
  // `include fastcgi_params` is relative to the configuration: take the distribution's own, as it is.
  cpSync(PARAMS, join(folder, 'fastcgi_params'))
  return launchBoth(site, (port, mountPort) => {
    const address = application === undefined ? `unix:${socket}` : `127.0.0.1:${application}`
    const own = { 'unix:/run/mysite/site.sock': address, '/srv/mysite': folder }
    const main = shipped(file, { ...own, ...changes, 'listen 80;': `listen 127.0.0.1:${port};` })
    writeFileSync(join(folder, 'site.conf'), main)
    const mount = shipped(mounted, { ...own, 'listen 80;': `listen 127.0.0.1:${mountPort};` })
    writeFileSync(join(folder, 'mount.conf'), mount)
    writeFileSync(
      join(folder, 'nginx.conf'),
      mainConfiguration(folder, logFile, 'include site.conf; include mount.conf;'),
    )
    return {
      command: program as string,
      args: ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', logFile],
      logFile,
    }
  })
}

/** A main configuration that keeps everything in `folder`, around what belongs into `http { … }`. */
export function mainConfiguration(folder: string, log: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
    daemon off;
    ${unprivileged === undefined ? '' : `user ${unprivileged.name};`}
    pid ${folder}/nginx.pid;
    error_log ${log} info;
    worker_processes 2;
    events { worker_connections 512; }
    http {
      access_log off;
      types { text/plain txt; }
      ${temporary.map(name => `${name}_temp_path ${folder}/nginx-${name};`).join('\n')}
      ${http}
    }`
}
