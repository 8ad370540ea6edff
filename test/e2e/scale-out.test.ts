/**
 * Several machines behind one front end: hosts are added, drained, killed and cut off while clients go on asking. Each host
 * is a network namespace with the application under runfcgi; in front of them stands a real web server with the shipped
 * configuration. What is promised:
 *
 *   added            no request fails
 *   drained          no request fails, if the front end was told before or finds out by lame-duck; else the kernel resets what
 *                    is connected in the moment in which the socket is closed, and a GET goes to another host where the front
 *                    end does that
 *   told             a front end that is given one host more or one fewer loses no request
 *   killed           only requests fail that this host had
 *   cut off          only requests fail that this host had, and the others are served meanwhile
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, onTestFailed, test } from 'vitest'
import { startProgram } from '../support/child-process.ts'
import { haproxy } from '../support/haproxy.ts'
import { whyNoHosts } from '../support/hosts.ts'
import { freePorts } from '../support/ports.ts'
import { stand } from '../support/runfcgi.ts'
import { createSite } from '../support/site.ts'
import { until } from '../support/until.ts'
import { findProgram, type Launched, launch, shipped } from '../support/web-server.ts'
import { FRONT_ENDS, type FrontEnd } from './scale-out/front-ends.ts'
import { type Asked, CLIENTS, isPost, Load } from './scale-out/load.ts'
import { type Machine, type Machines, threeMachines } from './scale-out/machine.ts'

const impossible = whyNoHosts()
if (impossible !== undefined) console.warn(`SKIPPED: all tests with several hosts, because ${impossible}`)

const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const one of cleanUp.splice(0).reverse()) await one()
})

interface Running extends Machines {
  readonly server: Launched
  readonly load: Load
  /** Tells the front end to use this host from now on, or not to use it any more. */
  tell(machine: Machine, use: boolean): Promise<void>
}

interface Wanted {
  /** Those that are configured; the first two are started. */
  readonly count?: 2 | 3
  /** Of the clients: a web server that is reloaded closes kept connections, also one on which a client is just asking. */
  readonly keepAlive?: boolean
  /** Of each runfcgi. */
  readonly settings?: readonly string[] | undefined
  /** In the configuration of the front end. */
  readonly changes?: Readonly<Record<string, string>>
}

async function running(frontEnd: FrontEnd, { count = 3, keepAlive, settings, changes }: Wanted = {}): Promise<Running> {
  const machines = threeMachines(settings)
  cleanUp.push(machines.remove)
  const { site, one, two, three } = machines
  await Promise.all([one.start(), two.start()])
  const hosts = new Set([one, two, three].slice(0, count))
  const server = await launch(site, 1, port => frontEnd.configure(site, port, [...hosts], changes))
  cleanUp.push(server.stop)
  const port = server.ports[0] as number
  const load = new Load(port, { keepAlive })
  cleanUp.push(() => load.stop())
  onTestFailed(() => console.error(load.failed.slice(0, 20), server.log().slice(-4_000)))
  const tell = async (machine: Machine, use: boolean): Promise<void> => {
    if (use) hosts.add(machine)
    else hosts.delete(machine)
    await frontEnd.tell?.(site, machine, use)
    if (frontEnd.reload === undefined) return
    frontEnd.configure(site, port, [...hosts], changes)
    process.kill(server.pid, frontEnd.reload)
  }
  return { ...machines, server, load, tell }
}

describe.each(FRONT_ENDS)('three hosts behind $name', frontEnd => {
  const skip = impossible !== undefined || frontEnd.missing !== undefined
  if (frontEnd.missing !== undefined)
    console.warn(`SKIPPED: several hosts behind ${frontEnd.name}: it is not installed`)

  test.skipIf(skip)(
    'are added and drained without a failed request, and killed or cut off cost what they had',
    async () => {
      const { mustBeTold, asksAgain, reload, settings } = frontEnd
      const told = reload !== undefined
      const count = mustBeTold ? 2 : 3
      const { one, two, three, tell, load } = await running(frontEnd, { count, keepAlive: !told, settings })
      await load.goesOn(50, 'one')
      await load.goesOn(50, 'two')

      await three.start()
      if (mustBeTold) await tell(three, true)
      await load.goesOn(50, 'three')
      expect(load.failed, 'added').toEqual([])

      if (told) {
        await tell(two, false)
        await load.avoids('two', 100)
      }
      await two.drain()
      await load.goesOn(100)
      expect(load.failed, 'drained').toEqual([])
      await two.start()
      if (told) await tell(two, true)
      await load.goesOn(50, 'two')
      expect(load.failed, 'added again').toEqual([])

      if (told && !mustBeTold) {
        await two.drain()
        await load.goesOn(100)
        await load.settles()
        expect(load.failed.length, 'drained without a word').toBeLessThanOrEqual(CLIENTS)
        if (asksAgain) expect(load.failed.filter(({ id }) => !isPost(id))).toEqual([])
        await two.start()
        await load.goesOn(50, 'two')
      }

      const before = load.failed.length
      three.kill()
      await load.goesOn(100)
      await load.settles()
      const killed = load.failed.slice(before)
      expectOnlyThoseOf(three, [one, two], killed, mustBeTold)

      one.host.plug(false)
      await load.goesOn(100, 'two')
      await load.settles()
      one.host.plug(true)
      await load.goesOn(50, 'one')
      const lost = load.failed.slice(before + killed.length)
      expectOnlyThoseOf(one, [two], lost, mustBeTold)
      await load.stop()
      const twice = [...one.begun, ...two.begun, ...three.begun].filter((id, at, all) => all.indexOf(id) !== at)
      expect(twice.filter(isPost), 'POST sent to two hosts').toEqual([])
      report(frontEnd.name, load, killed, lost, twice)
    },
    300_000,
  )

  test.skipIf(skip)(
    'are one more when the front end is told, and then one fewer, without a failed request',
    async () => {
      const { three, load, tell } = await running(frontEnd, { count: 2, keepAlive: false })
      await load.goesOn(50, 'one')
      await load.goesOn(50, 'two')
      for (let round = 1; round <= 2; round++) {
        await three.start()
        await tell(three, true)
        await load.goesOn(50, 'three')
        expect(load.failed, `one more, round ${round}`).toEqual([])
        await tell(three, false)
        await load.avoids('three', 100)
        await three.drain()
        await load.goesOn(50)
        expect(load.failed, `one fewer, round ${round}`).toEqual([])
      }
      await load.stop()
      console.log(`${frontEnd.name}: ${load.asked.length} requests, told four times, 0 failed`)
    },
    300_000,
  )
})

const behindHaproxy = FRONT_ENDS.find(({ name }) => name === 'HAProxy') as FrontEnd

/** Rounds of draining hosts; more of them on demand. */
const ROUNDS = Number(process.env.DRAIN_ROUNDS ?? 2)

describe.skipIf(impossible !== undefined || haproxy.missing !== undefined)(
  'a host with lame-duck behind HAProxy',
  () => {
    const KEPT = { '#option keep-conn': 'option keep-conn' }
    const SHARED = {
      ...KEPT,
      '#option get-values': 'option get-values',
      '#option mpxs-conns': 'option mpxs-conns',
      '#http-reuse always': 'http-reuse always',
    }

    test.each([
      ['prefork', 'a connection for each request', {}],
      ['threaded', 'a connection for each request', {}],
      ['prefork', 'kept connections', KEPT],
      ['threaded', 'kept connections', KEPT],
      ['threaded', 'shared connections', SHARED],
    ] as const)(
      'method=%s, %s: is stopped without a word to HAProxy, and no request fails',
      async (method, _how, changes) => {
        const settings = [`method=${method}`, 'lame-duck=5']
        const { one, two, load } = await running(behindHaproxy, { count: 2, settings, changes })
        for (let round = 1; round <= ROUNDS; round++) {
          for (const machine of [one, two]) {
            await load.goesOn(50, machine.name)
            await machine.drain()
            await load.goesOn(50)
            expect(load.failed, `host ${machine.name}, round ${round}`).toEqual([])
            await machine.start()
          }
        }
        await load.stop()
        console.log(`HAProxy, ${method}, ${_how}: ${load.asked.length} requests, ${2 * ROUNDS} hosts drained, 0 failed`)
      },
      120_000 + 30_000 * ROUNDS,
    )
  },
)

describe.skipIf(haproxy.missing !== undefined)('HAProxy', () => {
  test('finds out with FCGI_GET_VALUES, too, whether a host is there', async () => {
    const site = createSite('node')
    const [port, http] = (await freePorts(2)) as [number, number]
    const host = { ...site, port }
    const commented = /#(?= {3}(?:option tcp-check|tcp-check ))/g
    const changes = { '10.0.0.11:9000': `127.0.0.1:${port}`, 'option httpchk\n': '\n' }
    const file = join(site.folder, 'haproxy.cfg')
    const configuration = shipped('scale-out/haproxy.cfg', { ...changes, '*:80': `127.0.0.1:${http}` })
      .replaceAll(commented, '')
      .replaceAll(/^ *(http-check|server (two|three)) .*$/gm, '')
    writeFileSync(file, `global\n  log stdout format raw local0\n${configuration}`)
    const balancer = await startProgram(findProgram('haproxy') as string, ['-db', '-f', file], {
      ready: () => Promise.resolve(true),
    })
    onTestFailed(() => console.error(balancer.output()))
    let heard = 0
    /** After what it has said before. */
    const says = (what: string) =>
      until(
        () => `HAProxy says ${what}: ${balancer.output().slice(heard)}`,
        () => {
          const at = balancer.output().indexOf(what, heard)
          if (at !== -1) heard = at + what.length
          return at !== -1
        },
      )
    try {
      await says('Server mysite/one is DOWN')
      const application = await stand(host)
      await says('Server mysite/one is UP, reason: Layer7 check passed, code: 0, info: "(tcp-check)"')
      await application.stop()
      await says('is DOWN, reason: Layer4 connection problem, info: "Connection refused at step 1 of tcp-check')
    } finally {
      await balancer.stop()
      site.remove()
    }
  })
})

/**
 * Nothing failed that was not with this host, and no more than the clients can have had there; and, if requests find out
 * that it is not there, once more so many.
 */
function expectOnlyThoseOf(host: Machine, others: readonly Machine[], failed: readonly Asked[], findOut = false): void {
  const here = host.begun
  const elsewhere = others.map(other => other.begun)
  const innocent = failed.filter(({ id }) => !here.has(id) && elsewhere.some(begun => begun.has(id)))
  expect(innocent, `requests that host ${host.name} did not have`).toEqual([])
  expect(failed.length).toBeLessThanOrEqual(findOut ? 2 * CLIENTS : CLIENTS)
}

function report(
  name: string,
  { asked }: Load,
  killed: readonly Asked[],
  lost: readonly Asked[],
  twice: readonly string[],
): void {
  const how = (failed: readonly Asked[]) =>
    `${failed.length} failed (${failed.map(({ outcome }) => outcome).join(', ')})`
  const line =
    `${name}: ${asked.length} requests; added and drained: 0 failed; killed: ${how(killed)}; ` +
    `cut off: ${how(lost)}; sent to two hosts: ${twice.length}, of them POST ${twice.filter(isPost).length}; slowest ${Math.round(Math.max(...asked.map(({ began, ended }) => ended - began)))} ms`
  console.log(line)
}
