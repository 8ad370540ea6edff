// npm install koa.  runfcgi serve deploy/examples/koa.js
import Koa from 'koa'

const app = new Koa()
app.use(async (ctx, next) => {
  const start = performance.now()
  await next()
  ctx.set('X-Response-Time', `${Math.round(performance.now() - start)} ms`)
})
app.use(ctx => {
  ctx.cookies.set('seen', 'yes')
  ctx.body = { framework: 'koa', path: ctx.path, query: ctx.query }
})

export default app
