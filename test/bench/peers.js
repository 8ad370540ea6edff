/**
 * Who is measured: each peer is a server (how bytes become requests) with an application (what answers them). A peer
 * written in another language gives its own `command`.
 */

import { fileURLToPath } from 'node:url'

const serveScript = fileURLToPath(new URL('serve.js', import.meta.url))

/**
 * `keepsConnections: false`: closes the connection after each reply, whatever was asked for; the load then connects anew.
 * `packages`: whose versions are printed.
 */
export const PEERS = {
  floor: { title: 'bare net server, canned reply', protocol: 'fastcgi', server: 'floor', application: 'none' },
  http: { title: 'node:http', protocol: 'http', server: 'http', application: 'listener' },
  'node-fastcgi': {
    title: 'node-fastcgi',
    protocol: 'fastcgi',
    server: 'node-fastcgi',
    application: 'listener',
    packages: ['node-fastcgi'],
    keepsConnections: false,
  },
  wsgi: { title: 'runfcgi, WSGI-style', protocol: 'fastcgi', server: 'runfcgi', application: 'wsgi' },
  node: { title: 'runfcgi, Node listener', protocol: 'fastcgi', server: 'runfcgi', application: 'listener' },
  fetch: {
    title: 'runfcgi, fetch (Hono)',
    protocol: 'fastcgi',
    server: 'runfcgi',
    application: 'hono',
    packages: ['hono'],
  },
  'hono-http': {
    title: '@hono/node-server (Hono)',
    protocol: 'http',
    server: 'hono',
    application: 'hono',
    packages: ['hono', '@hono/node-server'],
  },
  express: framework('Express', 'runfcgi'),
  'express-http': framework('Express', 'http'),
  koa: framework('Koa', 'runfcgi'),
  'koa-http': framework('Koa', 'http'),
  fastify: framework('Fastify', 'runfcgi'),
  'fastify-http': framework('Fastify', 'http'),
}

function framework(title, server) {
  const name = title.toLowerCase()
  return {
    title: server === 'http' ? `${title} on node:http` : `${title} on runfcgi`,
    protocol: server === 'http' ? 'http' : 'fastcgi',
    server,
    application: name,
    packages: [name],
  }
}

/**
 * The command that serves `caseName` at `address` (a socket path or host:port).
 * @returns {[file: string, ...args: string[]]}
 */
export function commandOf(peer, caseName, address, node, nodeOptions = []) {
  if (peer.command) return peer.command(caseName, address)
  return [node, ...nodeOptions, serveScript, peer.server, peer.application, caseName, address]
}
