/** `start`, called by a program instead of typed: the script that a web server starts (`mysite.fcgi`). */

import { fileURLToPath } from 'node:url'
import { textOf } from '../config/resolve.ts'
import { type ConfigKey, configKey, entries, settingOf } from '../config/settings.ts'
import { report } from './errors.ts'

/** The settings by their names in camel case, with values as in a configuration file (`'64k'`, `'5m'`), and the application. */
export type ServeOptions = Readonly<
  Partial<Record<Exclude<ConfigKey, 'app'>, string | number | boolean | readonly string[]>>
> & {
  /**
   * What a file would export: a function, or an Express, Koa, Fastify or Hono application. It is served by this process.
   * Or the path or `file:` URL of a file, as on the command line, which threads and processes can load as well.
   */
  readonly app: unknown
}

/**
 * Does what `runfcgi` does for these settings, in this process, until a signal ends it: binds and serves; or serves the
 * listening socket on descriptor 0, if a web server started the script; or answers one CGI request. The settings given
 * here are as strong as those of a command line. Never detaches. Ends the process; an error is one line on standard error
 * and the exit code of the command.
 */
export async function serve({ app, ...settings }: ServeOptions): Promise<never> {
  const words: [string, string][] = []
  for (const [name] of entries) {
    const value = (settings as Partial<Record<ConfigKey, unknown>>)[configKey(name)]
    if (value !== undefined) words.push([name, textOf(settingOf(name).kind, value)])
  }
  const file = app instanceof URL ? fileURLToPath(app) : app
  if (typeof file === 'string') words.push(['app', file])
  try {
    const { start } = await import('./commands/start.ts')
    const exported = typeof file === 'string' ? undefined : file
    return process.exit(await start({ command: 'stand', operands: [], words }, exported))
  } catch (error) {
    const { code, text } = report(error)
    process.stderr.write(text)
    return process.exit(code)
  }
}
