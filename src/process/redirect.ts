/** Sends what is written to a standard stream elsewhere. What goes past the stream (a child process) is not seen. */

/** Returns what gives the stream back. */
export function redirect(stream: NodeJS.WriteStream, print: (text: string) => void): () => void {
  const { write } = stream
  stream.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    const [encoding] = rest
    const utf8 = typeof chunk === 'string' && (typeof encoding !== 'string' || /^utf-?8$/i.test(encoding))
    print(utf8 ? chunk : Buffer.from(chunk as string, encoding as BufferEncoding).toString())
    const callback = rest.at(-1)
    if (typeof callback === 'function') process.nextTick(callback)
    return true
  }
  return () => {
    stream.write = write
  }
}
