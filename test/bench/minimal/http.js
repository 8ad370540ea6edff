/** What people run without runfcgi: `node http.js <application> <address>`. */
import http from 'node:http'

const [file, address] = process.argv.slice(2)
const { default: application } = await import(file)
const [host, port] = address.split(':')
http.createServer(application).listen(port ? { host, port } : { path: address })
