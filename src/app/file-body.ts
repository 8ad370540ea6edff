/**
 * A body that is a file, for the callables that have no other way to say so. Read when somebody asks for its first piece,
 * and not at all if the web server sends the file itself (src/app/sendfile.ts).
 */

import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'

/** The same for every copy of this module: an application and what runs it may each have one. */
const FILE = Symbol.for('runfcgi.file')

/**
 * `new Response(fileBody(path))`, or what a WSGI-style application returns. A relative path counts from the working directory
 * of now. The stream fails if the file cannot be read.
 */
export function fileBody(path: string): ReadableStream<Uint8Array> {
  let pieces: AsyncIterator<Buffer> | undefined
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        pieces ??= createReadStream(path)[Symbol.asyncIterator]() as AsyncIterator<Buffer>
        const { done, value } = await pieces.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await pieces?.return?.()
      },
    },
    { highWaterMark: 0 },
  )
  return Object.defineProperty(body, FILE, { value: resolve(path) })
}

/** The file that a body of `fileBody` is; absolute. */
export function fileOf(body: object): string | undefined {
  const path = (body as { readonly [FILE]?: unknown })[FILE]
  return typeof path === 'string' ? path : undefined
}
