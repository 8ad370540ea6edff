// A Request in, a Response out.  runfcgi serve deploy/examples/fetch.js

export default {
  async fetch(request, { env }) {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname !== '/') return new Response('Not here\n', { status: 404 })
    const name = searchParams.get('name') ?? env.REMOTE_ADDR
    return Response.json({ hello: name, method: request.method })
  },
}
