// Binds the address that it is given (JSON), says so on stdout, and serves until stdin ends.
import { connect } from 'node:net'
import { bind } from '../../../src/server/sockets/listen.ts'

const { address, umask, release } = JSON.parse(process.argv[2])
if (umask !== undefined) process.umask(umask)

/** Many of these start at the same time: each waits until the test ends the connection. */
const opened = path => new Promise(settle => connect(path).resume().once('end', settle))

if (release !== undefined) await opened(release)
try {
  const bound = await bind(address)
  bound.server.on('connection', socket => socket.on('error', () => socket.destroy()).end(`${process.pid}\n`))
  console.log(JSON.stringify({ pid: process.pid, address: bound.address }))
  process.stdin.resume().once('end', () => bound.close())
} catch (error) {
  console.log(JSON.stringify({ error: error.name, code: error.code, message: error.message }))
}
