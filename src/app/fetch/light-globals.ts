/**
 * The light Request and Response in place of the global ones, for a process whose application is a fetch handler.
 *
 * What this gains is measured in test/bench; what it changes for the application is nothing that the tests of this folder
 * could find: `new Response(…)` makes the light one, `new Request(…)` and `fetch(…)` take a light request too, and
 * `instanceof` holds in all directions. The command installs it when it loads a fetch application; a library must not do
 * that to its host, so there nobody does unless asked.
 */

import { LightRequest, NativeRequest } from './light-request.ts'
import { LightResponse } from './light-response.ts'
import { standIn } from './stand-in.ts'

const nativeFetch = globalThis.fetch

type RequestInput = ConstructorParameters<typeof Request>[0]

class ConvertingRequest extends NativeRequest {
  constructor(input: RequestInput, init?: RequestInit) {
    if (LightRequest.isLight(input)) super(input.native(), { signal: input.signal, ...init })
    else super(input, init)
  }
}
standIn(ConvertingRequest, NativeRequest)

function fetch(input: RequestInput, init?: RequestInit): Promise<Response> {
  if (LightRequest.isLight(input)) return nativeFetch(input.native(), { signal: input.signal, ...init })
  return nativeFetch(input, init)
}

const replacements: Readonly<Record<string, unknown>> = { Request: ConvertingRequest, Response: LightResponse, fetch }

let restore: (() => void) | undefined

/** True while light requests may be handed out. */
export function lightGlobalsInstalled(): boolean {
  return restore !== undefined
}

/**
 * Replaces the global Request, Response and fetch. Doing it twice is doing it once.
 * @returns undoes it
 */
export function installLightGlobals(): () => void {
  if (restore !== undefined) return restore
  const before = Object.keys(replacements).map(
    name => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const,
  )
  for (const [name, value] of Object.entries(replacements)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: false })
  }
  restore = () => {
    for (const [name, descriptor] of before)
      if (descriptor !== undefined) Object.defineProperty(globalThis, name, descriptor)
    restore = undefined
  }
  return restore
}
