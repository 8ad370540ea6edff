/**
 * Loads an application in a process of its own as the command does, and answers one request with
 * it: `load-application.js '{"app": …, "interface": …, "cwd": …}'`. Prints what happened as JSON on the last line.
 */

import { loadApplication } from '../../../src/app/load/load.ts'

const request = JSON.parse(process.argv[2])
const options = { concurrency: { multithread: false, multiprocess: false, runOnce: true } }

const params = { REQUEST_METHOD: 'GET', SCRIPT_NAME: '', PATH_INFO: '/', REQUEST_URI: '/', HTTP_HOST: 'localhost' }

/** The reply to `GET /`, head and body. */
function reply(application) {
  return new Promise((resolve, reject) => {
    let text = ''
    application.handle({
      params: { names: Object.keys(params), values: Object.values(params) },
      role: 'responder',
      bodyless: true,
      aborted: false,
      headSent: false,
      resumeStdin() {},
      pauseStdin() {},
      head(_status, block) {
        text = block
      },
      flush() {},
      write(chunk) {
        text += Buffer.from(chunk)
        return true
      },
      end(chunk = '') {
        resolve(text + Buffer.from(chunk))
      },
      fail: reject,
      stderr() {},
    })
  })
}

async function outcome() {
  try {
    const application = await loadApplication({ interface: 'auto', ...request }, options)
    const { interface: name, source } = application
    return { interface: name, source, reply: await reply(application) }
  } catch (error) {
    return { error: { name: error.name, message: error.message, cause: error.cause?.name } }
  }
}

const result = await outcome()
// What the application still does by itself.
await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
process.stdout.write(`\n${JSON.stringify(result)}\n`, () => process.exit())
