/**
 * Connections that the kernel has made when a server stops, and that the server has not accepted yet: their peers have sent
 * a request already. The process is held while they come, after it was told to stop, so that it hears of that first.
 */

import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { Status } from '../../src/process/status.ts'
import { isAlive } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Client, connectClient, request } from '../support/wire.ts'
import { type Home, home } from './daemon.ts'

const COUNT = 40

type Target = { readonly path: string } | { readonly host: string; readonly port: number }

async function started(...settings: string[]): Promise<{ site: Home; tcp: Target; unix: Target }> {
  const site = home()
  const words = [`listen=127.0.0.1:0,${site.socket}`, 'errlog=err.log', ...settings]
  expect((await site.command('start', ...words)).code).toBe(0)
  const [, port] = /^127\.0\.0\.1:(\d+)$/.exec((await statusOf(site)).listen[0] as string) ?? []
  return { site, tcp: { host: '127.0.0.1', port: Number(port) }, unix: { path: site.socket } }
}

/** They have connected and sent a request each, and nobody has accepted them. */
function ask(target: Target): Promise<Client[]> {
  return Promise.all(
    Array.from({ length: COUNT }, async () => {
      const client = await connectClient(target)
      client.send(request({ keep: false }))
      return client
    }),
  )
}

async function expectAnswers(clients: readonly Client[]): Promise<void> {
  for (const client of clients) expect((await client.reply()).status).toBe(200)
}

/** Sends a process to sleep until the function is called that it returns. */
function hold(pid: number): () => void {
  process.kill(pid, 'SIGSTOP')
  return () => void process.kill(pid, 'SIGCONT')
}

const statusOf = async (site: Home): Promise<Status> => JSON.parse((await site.command('status', '--json')).stdout)

describe('a server that stops answers connections that it had not accepted yet', () => {
  it.each(['threaded', 'inline', 'prefork balance=round-robin'])('method=%s', async method => {
    const { site, tcp, unix } = await started(...`method=${method}`.split(' '))
    const pid = site.pid()
    const command = connect(`${site.pidfile}.control`)
    await once(command, 'connect')
    // By then the connection before it is accepted.
    await statusOf(site)
    const release = hold(pid)
    command.write('{"command":"stop","now":false}\n')
    const clients = [...(await ask(unix)), ...(await ask(tcp))]
    release()
    await expectAnswers(clients)
    await until('it has ended', () => !isAlive(pid))
    site.expectNothingLeft()
  })

  it('method=prefork', async () => {
    const { site, tcp } = await started('method=prefork', 'maxchildren=1')
    const pid = site.pid()
    const release = hold((await statusOf(site)).pool?.children[0]?.pid as number)
    process.kill(pid, 'SIGTERM')
    await until('the worker is told', () => site.read('err.log').includes('retired worker 1'))
    const clients = await ask(tcp)
    release()
    await expectAnswers(clients)
    await until('it has ended', () => !isAlive(pid))
    site.expectNothingLeft()
  })
})
