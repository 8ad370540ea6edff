// Reserves the address that it is given (JSON), has a child process listen on it, publishes it, says so on stdout, and
// serves until stdin ends.
import { fork } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { reserve } from '../../../src/server/sockets/reserve.ts'

if (process.send !== undefined) listenForParent()
else await main(JSON.parse(process.argv[2]))

function listenForParent() {
  const server = createServer(socket => socket.on('error', () => socket.destroy()).end(`${process.ppid}\n`))
  server.listen({ fd: 4 }, () => process.send('listening'))
  process.once('disconnect', () => process.exit())
}

/** Many of these start at the same time: each waits until the test ends the connection. */
function opened(path) {
  return new Promise(settle => connect(path).resume().once('end', settle))
}

async function main({ address, release, umask }) {
  if (umask !== undefined) process.umask(umask)
  let reserved
  let child
  try {
    reserved = await reserve(address)
    child = fork(import.meta.filename, { stdio: ['ignore', 'inherit', 'inherit', 'ipc', reserved.fd] })
    await new Promise(settle => child.once('message', settle))
    if (release !== undefined) await opened(release)
    await reserved.publish()
    console.log(JSON.stringify({ pid: process.pid, address: reserved.address }))
    process.stdin.resume().once('end', () => end())
  } catch (error) {
    await end()
    console.log(JSON.stringify({ error: error.name, code: error.code, message: error.message }))
  }

  async function end() {
    await reserved?.close()
    child?.disconnect()
  }
}
