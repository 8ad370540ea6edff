// npm install express.  runfcgi serve deploy/examples/express.js
import express from 'express'

const app = express()
app.use(express.json())
app.get('/', (_req, res) => res.send('<h1>Express over FastCGI</h1>'))
app.get('/hello/:name', (req, res) => res.json({ hello: req.params.name, ip: req.ip }))
app.post('/echo', (req, res) => res.status(201).json(req.body))

export default app
