// Hashes a body of any size as it arrives.  curl -T big.iso http://127.0.0.1:8080/
import { createHash } from 'node:crypto'

export async function application(environ, startResponse) {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of environ['wsgi.input']) {
    hash.update(chunk)
    size += chunk.length
  }
  startResponse('200 OK', [['Content-Type', 'application/json']])
  return [JSON.stringify({ size, sha256: hash.digest('hex') })]
}
