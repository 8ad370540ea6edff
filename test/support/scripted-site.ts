/** A gateway in front of a scripted responder, and what both left behind. */

import { once } from 'node:events'
import net from 'node:net'
import type { ForwardingOutcome } from '../../src/front/forwarding.ts'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/front/gateway.ts'
import type { Target } from '../../src/front/target.ts'
import { silentLog } from '../../src/server/create-server.ts'
import { type ScriptedRequest, type ScriptedResponder, scriptedResponder } from './scripted-responder.ts'
import { soon } from './until.ts'

export interface ScriptedSite {
  readonly port: number
  readonly gateway: Gateway
  readonly responder: ScriptedResponder
  /** How each request has ended. */
  readonly outcomes: ForwardingOutcome[]
  readonly stderr: string[]
  /** What the gateway put in its log. */
  readonly problems: string[]
}

const opened: (() => Promise<unknown>)[] = []

/** What is to be closed by `closeSites`. */
export const closeLater = (close: () => Promise<unknown>): void => void opened.push(close)

/** For `afterEach`. */
export async function closeSites(): Promise<void> {
  for (const close of opened.splice(0).reverse()) await close()
}

/** Opens one; `closeSites` closes it. */
export async function scriptedSite(
  answer: (request: ScriptedRequest) => unknown,
  options: Partial<GatewayOptions> & { target?: Target } = {},
): Promise<ScriptedSite> {
  const responder = await scriptedResponder(answer)
  opened.push(responder.close)
  const outcomes: ForwardingOutcome[] = []
  const stderr: string[] = []
  const problems: string[] = []
  const note = (_details: object, message: string): void => void problems.push(message)
  const gateway = createGateway({
    target: responder.target,
    log: { ...silentLog, error: note, warn: note, info: note },
    onDone: outcome => outcomes.push(outcome),
    onStderr: text => stderr.push(text),
    ...options,
  })
  opened.push(() => gateway.close(0))
  const { port } = await gateway.listen({ port: 0 })
  return { port, gateway, responder, outcomes, stderr, problems }
}

/** Everything the server sends in answer to raw bytes, until it closes. */
export async function raw(port: number, text: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(text, 'latin1')
  let reply = ''
  socket.setEncoding('latin1').on('data', chunk => {
    reply += chunk
  })
  await soon('the end of the connection', once(socket, 'close'))
  return reply
}

/** The simplest of answers. */
export const hello = (request: ScriptedRequest): void => request.reply('Content-Type: text/plain\r\n\r\nhello\n')

/** Promise.withResolvers, which Node 20 has not. */
export function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>(done => {
    resolve = done
  })
  return { promise, resolve }
}
