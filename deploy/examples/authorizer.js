// Who may see the files that a web server serves itself: lighttpd hands over the header, Apache the name and password.
const passwords = new Map([['ann', 'open sesame']])

function credentials({ HTTP_AUTHORIZATION = '', REMOTE_USER = '', REMOTE_PASSWD }) {
  if (REMOTE_PASSWD !== undefined) return [REMOTE_USER, REMOTE_PASSWD]
  const [name, ...password] = Buffer.from(HTTP_AUTHORIZATION.replace(/^Basic /i, ''), 'base64')
    .toString()
    .split(':')
  return [name, password.join(':')]
}

export function authorizer(environ) {
  const [name, password] = credentials(environ)
  if (passwords.has(name) && passwords.get(name) === password) return { variables: { REMOTE_USER: name } }
  return { status: 401, headers: [['WWW-Authenticate', 'Basic realm="Files"']] }
}
