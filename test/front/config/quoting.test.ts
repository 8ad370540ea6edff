/**
 * Paths with everything in them that a configuration could take for something else: the real web server, given what the
 * command prints for them, reaches the application and the files. What it has no way to say is refused (test/cli/config.test.ts).
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inDebian, noDebian } from '../../support/debian.ts'

interface Case {
  /** The folder in /etc. */
  readonly folder: string
  /** The name of the folder with socket and files. */
  readonly odd: string
  /** Where the configuration goes, and what is done before and after. */
  readonly file: string
  readonly before?: string
  readonly after?: string
}

if (noDebian !== undefined) console.warn(`SKIPPED: quoting for real web servers, because there are no ${noDebian} here`)

const CASES: Readonly<Record<string, Case>> = {
  nginx: { folder: 'nginx', odd: `it's "odd" \\ #1; {b} %h [c] *`, file: '/etc/nginx/conf.d/mysite.conf' },
  apache: {
    folder: 'apache2',
    odd: `it's "odd" \\ $1 {b} ;`,
    file: '/etc/apache2/sites-available/mysite.conf',
    after: 'a2enmod proxy_fcgi && a2ensite mysite',
  },
  lighttpd: {
    folder: 'lighttpd',
    odd: `it's "odd" \\ #1; $b {c} %d [e] *`,
    file: '/etc/lighttpd/conf-available/50-mysite.conf',
    after: 'lighttpd-enable-mod mysite',
  },
  caddy: { folder: 'caddy', odd: `it's "odd" #1; $b %h [c] *`, file: '/etc/caddy/Caddyfile' },
  h2o: {
    folder: 'h2o',
    odd: `it's "odd" \\ #1; $b {c} %d [e] *`,
    file: '/etc/h2o/h2o.conf',
    before: "sed --in-place '/^listen:/,$d' /etc/h2o/h2o.conf",
  },
}

const APP = "export default (req, res) => res.end('Hello from ' + req.url + '\\n')"

const shell = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

describe.skipIf(noDebian !== undefined)('paths that have to be quoted', () => {
  it.each(Object.entries(CASES))(
    '%s reaches application and files through them',
    async (server, one) => {
      if (!existsSync(join('/etc', one.folder))) return
      const folder = `/srv/mysite/${one.odd}`
      const settings = [`socket=${folder}/s.sock`, `document-root=${folder}`, 'server-name=localhost']
        .map(shell)
        .join(' ')
      const commands = [
        `mkdir -p ${shell(`${folder}/static`)} && echo a file > ${shell(`${folder}/static/file.txt`)}`,
        `runfcgi ./app.js pidfile=/run/mysite.pid ${shell(`socket=${folder}/s.sock`)}`,
        one.before ?? 'true',
        `runfcgi config ${server} ${settings} >> ${one.file}`,
        `{ ${one.after ?? 'true'}; } > /dev/null`,
        `systemctl reload ${one.folder}`,
      ].map(command => ({ command, shown: '' }))
      const said = await inDebian(one.folder, { 'package.json': '{ "type": "module" }', 'app.js': APP }, [
        ...commands,
        { command: 'curl --silent http://localhost/hello', shown: 'Hello from /hello\n' },
        { command: 'curl --silent http://localhost/static/file.txt', shown: 'a file\n' },
      ])
      expect(said.map(({ output, code }) => [output, code])).toEqual([
        ...commands.map(() => ['', 0]),
        ['Hello from /hello\n', 0],
        ['a file\n', 0],
      ])
    },
    120_000,
  )
})
