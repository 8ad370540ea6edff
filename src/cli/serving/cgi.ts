/** One request by plain CGI, where a web server starts the program for each. */

import type { Resolved } from '../../config/resolve.ts'
import { createLog } from '../../log.ts'
import { isCgiRequest, serveCgi } from '../../server/cgi.ts'
import { page } from '../../server/pages.ts'
import { EXIT_FAILED, EXIT_OK, report } from '../errors.ts'
import { loadFor } from '../load.ts'

export { isCgiRequest }

/**
 * Answers the request on standard output and ends the process. What the application prints goes to standard error, since
 * anything else on standard output would be part of the reply.
 */
export async function answerCgi(resolved: Resolved, cwd: string, exported?: unknown): Promise<number> {
  const { config } = resolved
  const { stdin, stdout, stderr } = process
  Object.defineProperty(process, 'stdout', { get: () => stderr })
  const log = createLog({ level: config.logLevel, err: config.errlog })
  try {
    const app = await loadFor(resolved, cwd, { runOnce: true, exported })
    const { debug } = config
    const whole = await serveCgi({ app, env: process.env, streams: { stdin, stdout, stderr }, log, debug })
    log.flush()
    return process.exit(whole ? EXIT_OK : EXIT_FAILED)
  } catch (error) {
    const { block, body } = page(500)
    const { code, text } = report(error)
    stderr.write(text)
    await new Promise(resolve => stdout.write(block + body, resolve))
    return process.exit(code)
  }
}
