/**
 * A server that runfcgi is held against, if it is written in JavaScript:
 * `node serve.js <server> <application> <case> <address>`. Serves until SIGTERM.
 */

import http from 'node:http'
import net from 'node:net'
import { workOf } from './cases.js'
import { fastcgiReply, requestVariants } from './requests.js'

const [serverName, applicationName, caseName, address] = process.argv.slice(2)
const work = workOf(caseName)

/** Each gives what listens. */
const SERVERS = {
  /** Does not look at the request: counts bytes and answers with bytes that were made before. */
  floor: () => {
    const requestLength = requestVariants('fastcgi', work, 1)[0].length
    const reply = fastcgiReply(work)
    return net.createServer(socket => {
      let received = 0
      socket.on('data', chunk => {
        received += chunk.length
        if (received < requestLength) return
        received = 0
        if (work.keepAlive) socket.write(reply)
        else socket.end(reply)
      })
      socket.on('error', () => socket.destroy())
    })
  },
  http: application => http.createServer(application),
  hono: async application => {
    const { createAdaptorServer } = await import('@hono/node-server')
    return createAdaptorServer({ fetch: application.fetch })
  },
  'node-fastcgi': async application => (await import('node-fastcgi')).default.createServer(application),
}

async function loadApplication() {
  if (applicationName === 'none') return null
  const { APPLICATIONS } = await import('./applications.js')
  return APPLICATIONS[applicationName](work)
}

// A web server that runs as another user connects, too.
process.umask(0)
const server = await SERVERS[serverName](await loadApplication())
const tcp = /^(.+):(\d+)$/.exec(address)
if (tcp) server.listen(Number(tcp[2]), tcp[1])
else server.listen(address)

process.on('SIGTERM', () => process.exit(0))
