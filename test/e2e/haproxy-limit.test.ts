/**
 * A limit of HAProxy 2.6: a reload aborts the requests that are under way to FastCGI servers. Its multiplexer writes
 * FCGI_ABORT_REQUEST for all of them as soon as there is something to read or write on their connection and the proxy has
 * stopped (`fcgi_process` of mux_fcgi.c). That is why deploy/scale-out takes hosts in and out through the admin socket.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFailed, onTestFinished, test } from 'vitest'
import { haproxy } from '../support/haproxy.ts'
import { open } from '../support/http-client.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite } from '../support/site.ts'
import { soon, until } from '../support/until.ts'
import { findProgram, launch, shipped } from '../support/web-server.ts'

/** Goes on with its reply when the file `go` is there, and would end it when the file `end` is: it never is. */
const APPLICATION = `
import { existsSync } from 'node:fs'
export default async (request, response) => {
  response.on('close', () => console.error(response.writableFinished ? 'finished' : 'aborted'))
  const there = async file => {
    while (!existsSync(file) && !response.destroyed) await new Promise(resolve => setTimeout(resolve, 5))
  }
  response.write('first')
  await there('go')
  response.write('second')
  await there('end')
  response.end('third')
}
`

test.skipIf(haproxy.missing !== undefined)('HAProxy cuts a reply off when it is reloaded', async () => {
  const site = createSite('node')
  onTestFinished(site.remove)
  writeFileSync(join(site.folder, 'app.js'), APPLICATION)
  const application = await stand(site)
  onTestFinished(application.stop)
  const file = join(site.folder, 'haproxy.cfg')
  const server = await launch(site, 1, port => {
    const changes = { '/run/mysite/site.sock': site.socket, '/srv/mysite': site.folder, '*:80': `127.0.0.1:${port}` }
    writeFileSync(file, `global\n  log stdout format raw local0\n${shipped('haproxy/haproxy.cfg', changes)}`)
    const args = ['-W', '-db', '-f', file]
    return { command: findProgram('haproxy') as string, args, logFile: join(site.folder, 'none.log') }
  })
  onTestFinished(server.stop)
  onTestFailed(() => console.error(application.output(), server.log()))
  const response = await open(server.ports[0] as number, '/')
  let received = ''
  // Not `once` of node:events: that rejects as well, when the cut comes early, and nobody would be there to see it.
  const ended = new Promise(resolve => response.once('close', resolve))
  response.setEncoding('utf8').on('data', (piece: string) => {
    received += piece
  })
  await until('the reply has begun', () => received === 'first')
  process.kill(server.pid, 'SIGUSR2')
  await until('it has been reloaded', () => /Proxy \S+ stopped/.test(server.log()))
  writeFileSync(join(site.folder, 'go'), '')
  await soon('HAProxy cuts the reply off', ended)
  expect(['first', 'firstsecond'], 'the cut comes at any time after the reload').toContain(received)
  await until('the application is told', () => application.output().includes('aborted'))
})
