import { Readable } from 'node:stream'
import compression from 'compression'
import express, { Router } from 'express'
import multer from 'multer'

const files = new URL('public/', import.meta.url).pathname
const app = express()
const upload = multer({ storage: multer.memoryStorage() })

app.get('/hello', (_req, res) => res.send('hello'))
app.get('/who', (req, res) => res.json({ ip: req.ip, secure: req.secure, host: req.host, path: req.path }))
app.post('/json', express.json(), (req, res) => res.json({ received: req.body }))
app.post('/form', express.urlencoded(), (req, res) => res.json(req.body))
app.post('/upload', upload.single('file'), (req, res) => {
  res.json({ note: req.body.note, name: req.file.originalname, size: req.file.size })
})
app.get('/cookies', (req, res) => {
  res.cookie('a', '1').cookie('b', 'two words', { httpOnly: true, path: '/' }).clearCookie('c')
  res.json({ sent: req.get('cookie') ?? '' })
})
app.get('/redirect', (req, res) => res.redirect(`${req.baseUrl}/hello?a=1`))
app.get('/stream', (_req, res) => Readable.from(['one ', 'two ', 'three']).pipe(res.type('text')))
app.get('/download', (_req, res) => res.download(`${files}letters.txt`, 'lettres é.txt'))
app.get('/letters', (_req, res) => res.sendFile('letters.txt', { root: files }))
app.use('/static', express.static(files))
app.get('/compressed', compression({ threshold: 0 }), (_req, res) => res.send('text '.repeat(1000)))
app.get('/throws', () => {
  throw new Error('thrown')
})
app.get('/rejects', async () => {
  throw new Error('rejected')
})
app.get('/cached', (_req, res) => res.set('ETag', '"same"').send('cached'))
app.get('/empty', (_req, res) => res.status(204).end())
const nested = new Router()
nested.get('/deep', (req, res) => res.json({ url: req.url, base: req.baseUrl, original: req.originalUrl }))
app.use('/nested', nested)
app.use((error, _req, res, _next) => {
  res.status(error.status ?? 500).json({ error: error.message })
})

export default app
