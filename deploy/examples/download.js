// A file for whoever may have it. With sendfile=x-accel-redirect:/internal/=files (nginx) or sendfile=x-sendfile:files
// (lighttpd, Apache) the web server sends it, and this process does nothing but decide.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'

export default async (req, res) => {
  const name = basename(decodeURIComponent(req.url.split('?')[0]))
  const file = new URL(`files/${encodeURIComponent(name)}`, import.meta.url)
  const found = await stat(file).catch(() => undefined)
  if (!found?.isFile()) return res.writeHead(404).end('Not here\n')
  res.setHeader('Content-Length', found.size)
  createReadStream(file).pipe(res)
}
