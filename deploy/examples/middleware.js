// Middleware is a callable round a callable.  runfcgi serve deploy/examples/middleware.js
import { application as hello } from './hello.js'

const timed = wrapped => (environ, startResponse) => {
  const start = performance.now()
  return wrapped(environ, (status, headers, excInfo) => {
    const took = (performance.now() - start).toFixed(2)
    return startResponse(status, [...headers, ['Server-Timing', `app;dur=${took}`]], excInfo)
  })
}

export const application = timed(hello)
