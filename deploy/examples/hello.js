// A WSGI-style callable.  runfcgi serve deploy/examples/hello.js

export function application(environ, startResponse) {
  startResponse('200 OK', [['Content-Type', 'text/plain; charset=utf-8']])
  return [`Hello, ${environ.PATH_INFO}\n`]
}
