/** Applications of known make as Node listeners. Goes by their shape, so that no framework is imported. */

import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import { Server } from 'node:net'
import type { NodeListener } from '../node/node.ts'
import { LoadError } from './load-error.ts'

/** An application as a listener, and what there is to do when no further request will come. */
export interface Listener {
  readonly listener: NodeListener
  readonly close?: () => Promise<void>
  /** Whose listeners these are. */
  readonly server?: HttpServer
}

interface KoaApplication {
  callback(): NodeListener
}

interface FastifyApplication {
  ready(): PromiseLike<unknown>
  routing(request: IncomingMessage, response: ServerResponse): void
  close(): PromiseLike<unknown>
}

const hasMethods = (value: unknown, ...names: string[]): boolean =>
  value !== null && names.every(name => typeof (value as Record<string, unknown>)[name] === 'function')

/**
 * Whether it serves HTTP or HTTP/2, with TLS or without. To ask for their classes would load node:https and node:http2, which
 * takes longer than all of this.
 */
export const isHttpServer = (value: unknown): value is Server =>
  value instanceof Server && ('maxHeadersCount' in value || 'updateSettings' in value)

/** An HTTP/2 server for something else than requests: gRPC, say. */
export const onlyStreams = (server: Server): boolean =>
  server.listenerCount('request') === 0 && server.listenerCount('stream') > 0

export const isFastify = (value: unknown): value is FastifyApplication =>
  typeof value === 'object' && hasMethods(value, 'ready', 'routing', 'close')

export const isKoa = (value: unknown): value is KoaApplication =>
  typeof value === 'object' && hasMethods(value, 'callback', 'use')

/**
 * The listener of an http.Server, a Fastify or Koa application, or a function (Express, Connect, a plain listener), ready
 * to be called; undefined for anything else. Rejects with what a Fastify plugin threw while it was loaded.
 * @throws LoadError for a server that nobody can call so
 */
export async function toListener(exported: unknown): Promise<Listener | undefined> {
  if (typeof exported === 'function') return { listener: exported as NodeListener }
  if (isHttpServer(exported)) return { listener: listenerOf(exported), server: exported as HttpServer }
  if (isFastify(exported)) return fastifyListener(exported)
  if (isKoa(exported)) return { listener: exported.callback() }
  return undefined
}

async function fastifyListener(app: FastifyApplication): Promise<Listener> {
  await app.ready()
  return {
    listener: (request, response) => app.routing(request, response),
    close: async () => {
      await app.close()
    },
  }
}

/** Asks the server each time, because listeners come and go; calls them one by one, because their promises matter. */
function listenerOf(server: Server): NodeListener {
  if (onlyStreams(server)) throw new LoadError(ONLY_STREAMS)
  return (request, response) => {
    const returned = server.listeners('request').map(listener => Reflect.apply(listener, server, [request, response]))
    return returned.length === 1 ? returned[0] : Promise.all(returned)
  }
}

const ONLY_STREAMS =
  "its server listens for 'stream', which only HTTP/2 has: give it a function (request, response), which node:http2 calls as well"
