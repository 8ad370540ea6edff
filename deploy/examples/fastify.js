// npm install fastify.  runfcgi serve deploy/examples/fastify.js
import Fastify from 'fastify'

const app = Fastify()
const schema = { body: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } } }
app.get('/', async () => ({ framework: 'fastify' }))
app.get('/hello/:name', async request => ({ hello: request.params.name }))
app.post('/greet', { schema }, async (request, reply) =>
  reply.code(201).send({ greeting: `Hello, ${request.body.name}` }),
)

export default app
