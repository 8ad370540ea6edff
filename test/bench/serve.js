/**
 * One server under test: `node serve.js <server> <application> <case> <address>`. Serves until SIGTERM.
 */

import http from 'node:http'
import net from 'node:net'
import { CASES, replyOf } from './cases.js'
import { fastcgiReply, requestVariants } from './requests.js'

const [serverName, applicationName, caseName, address] = process.argv.slice(2)
const work = { ...CASES[caseName], reply: replyOf(CASES[caseName]) }

/** Each gives what listens. */
const SERVERS = {
  /** Does not look at the request: counts bytes and answers with bytes that were made before. */
  floor: () => {
    const requestLength = requestVariants('fastcgi', work, 1)[0].length
    const reply = fastcgiReply(work.reply)
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
  runfcgi: async application => {
    const { createServer, installLightGlobals } = await import('../../dist/index.js')
    const kind = { wsgi: 'wsgi', hono: 'fetch' }[applicationName] ?? 'node'
    // As the command does; @hono/node-server does it by itself.
    if (kind === 'fetch') installLightGlobals()
    if (kind === 'fetch') {
      // As the command does (and as @hono/node-server does for itself): src/app/light-globals.ts.
      const { installLightGlobals } = await import('../../dist/app/light-globals.js')
      installLightGlobals()
    }
    return createServer(application, { interface: kind })
  },
}

async function loadApplication() {
  if (applicationName === 'none') return null
  const { APPLICATIONS } = await import('./applications.js')
  return APPLICATIONS[applicationName](work)
}

const server = await SERVERS[serverName](await loadApplication())
const tcp = /^(.+):(\d+)$/.exec(address)
if (tcp) server.listen(Number(tcp[2]), tcp[1])
else server.listen(address)

process.on('SIGTERM', () => process.exit(0))
