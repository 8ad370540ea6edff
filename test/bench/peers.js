/**
 * Who is measured. Each peer is a server (how bytes become requests) with an application (what answers them), started by
 * the bench; those that are not JavaScript are in foreign.js.
 */

import { fileURLToPath } from 'node:url'
import { FOREIGN } from './foreign.js'

const here = name => fileURLToPath(new URL(name, import.meta.url))
const MINIMAL = here('minimal/listener.js')
const EXPRESS = here('minimal/express.js')

const IDLE = 10_000

/** The callable that each application is. */
const INTERFACES = { wsgi: 'wsgi', hono: 'fetch' }

/** A server of serve.js. */
function served(title, protocol, server, application, more = {}) {
  const command = ({ caseName, address, node, nodeOptions }) => ({
    file: node,
    args: [...nodeOptions, here('serve.js'), server, application, caseName, address],
  })
  return { title, protocol, command, ...more }
}

const overHttp = (title, application, more) => served(title, 'http', 'http', application, more)

const addressSettings = address => {
  const tcp = /^(.+):(\d+)$/.exec(address)
  return tcp ? [`host=${tcp[1]}`, `port=${tcp[2]}`] : [`socket=${address}`]
}

/** The command runfcgi, as a person would type it. `application`: one of applications.js, or a file. */
function command(title, application, settings, more = {}) {
  const isFile = application.startsWith('/')
  const callable = isFile ? 'node' : (INTERFACES[application] ?? 'node')
  return {
    title,
    protocol: 'fastcgi',
    command: ({ address, node, nodeOptions }) => ({
      file: node,
      args: [
        ...[...nodeOptions, here('../../bin/runfcgi.js'), 'stand', isFile ? application : here('site.js')],
        ...[...addressSettings(address), `interface=${callable}`, 'log-level=warn', ...settings],
      ],
      env: { BENCH_APPLICATION: application },
    }),
    ...more,
  }
}

const inline = (title, application, more) => command(title, application, ['method=inline'], more)
const children = (method, count) => [
  `method=${method}`,
  `maxchildren=${count}`,
  `minspare=${count}`,
  `maxspare=${count}`,
]
const threaded = (title, application, count, more) => command(title, application, children('threaded', count), more)
const prefork = (title, application, count, more) => command(title, application, children('prefork', count), more)

/** The smallest application by itself, and under the command. */
const alone = (title, application) => ({
  title,
  protocol: 'http',
  command: ({ address, node, nodeOptions }) => ({
    file: node,
    args: [...nodeOptions, here('minimal/http.js'), application, address],
  }),
})

function frameworks(...titles) {
  return titles.flatMap(title => {
    const name = title.toLowerCase()
    const packages = [name]
    return [
      [name, inline(`${title} on runfcgi`, name, { packages })],
      [`${name}-http`, overHttp(`${title} on node:http`, name, { packages })],
    ]
  })
}

const HONO = { packages: ['hono'] }
const MULTIPLEXED = { load: { connections: 1, multiplex: 32 } }

/**
 * `keepsConnections: false`: closes the connection after each reply, whatever was asked for; the load then connects anew.
 * `load`: another load than that of the case. `idle`: so many connections are open besides and do nothing. `packages`:
 * whose versions are printed. `missing`: says what must be installed for it, if anything.
 */
export const PEERS = {
  floor: served('bare net server, canned reply', 'fastcgi', 'floor', 'none'),
  http: overHttp('node:http', 'listener'),
  'hono-http': served('@hono/node-server (Hono)', 'http', 'hono', 'hono', { packages: ['hono', '@hono/node-server'] }),
  'node-fastcgi': served('node-fastcgi', 'fastcgi', 'node-fastcgi', 'listener', {
    packages: ['node-fastcgi'],
    keepsConnections: false,
  }),
  ...FOREIGN,

  wsgi: inline('runfcgi, WSGI-style', 'wsgi'),
  node: inline('runfcgi, Node listener', 'listener'),
  fetch: inline('runfcgi, fetch (Hono)', 'hono', HONO),
  'wsgi-threaded': threaded('runfcgi threaded, WSGI-style', 'wsgi', 1),
  'node-threaded': threaded('runfcgi threaded, Node listener', 'listener', 1),
  'fetch-threaded': threaded('runfcgi threaded, fetch (Hono)', 'hono', 1, HONO),
  'wsgi-prefork': prefork('runfcgi prefork, WSGI-style', 'wsgi', 1),
  'node-prefork': prefork('runfcgi prefork, Node listener', 'listener', 1),
  'fetch-prefork': prefork('runfcgi prefork, fetch (Hono)', 'hono', 1, HONO),
  ...Object.fromEntries(frameworks('Express', 'Koa', 'Fastify')),

  'wsgi-multiplexed': inline('runfcgi, WSGI-style, on one connection', 'wsgi', MULTIPLEXED),
  'node-multiplexed': inline('runfcgi, Node listener, on one connection', 'listener', MULTIPLEXED),
  'floor-idle': served('bare net server, 10,000 idle', 'fastcgi', 'floor', 'none', { idle: IDLE }),
  'wsgi-idle': inline('runfcgi, WSGI-style, 10,000 idle', 'wsgi', { idle: IDLE }),
  'node-idle': inline('runfcgi, Node listener, 10,000 idle', 'listener', { idle: IDLE }),
  'wsgi-threaded-idle': threaded('runfcgi threaded, WSGI-style, 10,000 idle', 'wsgi', 1, { idle: IDLE }),

  'prefork-1': prefork('runfcgi prefork, 1 worker', 'wsgi', 1),
  'prefork-2': prefork('runfcgi prefork, 2 workers', 'wsgi', 2),
  'prefork-2-round-robin': command('runfcgi prefork, 2 workers, balance=round-robin', 'wsgi', [
    ...children('prefork', 2),
    'balance=round-robin',
  ]),
  'threaded-1': threaded('runfcgi threaded, 1 thread', 'wsgi', 1),
  'threaded-2': threaded('runfcgi threaded, 2 threads', 'wsgi', 2),

  alone: alone('node with node:http', MINIMAL),
  'alone-inline': inline('runfcgi inline', MINIMAL),
  'alone-prefork': prefork('runfcgi prefork, 1 worker', MINIMAL, 1),
  'alone-threaded-1': threaded('runfcgi threaded, 1 thread', MINIMAL, 1),
  'alone-threaded-2': threaded('runfcgi threaded, 2 threads', MINIMAL, 2),
  'alone-express': alone('node with node:http, Express', EXPRESS),
  'alone-express-threaded-1': threaded('runfcgi threaded, 1 thread, Express', EXPRESS, 1),
  'alone-express-prefork': prefork('runfcgi prefork, 1 worker, Express', EXPRESS, 1),
}
