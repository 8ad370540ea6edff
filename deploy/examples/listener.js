// What http.createServer takes.  runfcgi serve deploy/examples/listener.js

export default (req, res) => {
  res.setHeader('Content-Type', 'application/json')
  res.end(
    JSON.stringify({
      method: req.method,
      url: req.url,
      client: req.socket.remoteAddress,
      server: req.cgi.SERVER_SOFTWARE,
    }),
  )
}
