/** `runfcgi config`: what it prints for odd settings, what it refuses, and what --check says. */

import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { programs } from '../../src/front/config/servers.ts'
import { project, run } from './command.ts'

/** Each way in which a path can be misread. */
const ODD: Readonly<Record<string, string>> = {
  'a space': 'a b',
  quotes: `it's "quoted"`,
  'a backslash': 'a\\b',
  'a hash and a semicolon': 'a #b; c',
  'a dollar': 'a$b$c',
  'a brace': 'a{b}',
  'a percent sign': 'a%hb',
  'what a pattern begins with': 'a[b]*',
}

/** What a program has no way to say; the command says so. */
const INEXPRESSIBLE: Readonly<Record<string, readonly string[]>> = {
  nginx: ['a dollar'],
  apache: ['a hash and a semicolon', 'a percent sign', 'what a pattern begins with'],
  caddy: ['a backslash', 'a brace'],
  haproxy: ['a dollar'],
  logrotate: ['quotes', 'a backslash', 'a brace', 'what a pattern begins with'],
}

describe.each([...programs.keys()])('config %s', server => {
  it.each(Object.entries(ODD))('is accepted with %s in its paths, or says that it cannot be', async (what, name) => {
    const { path } = project({})
    const folder = join(path, name)
    mkdirSync(folder)
    const settings = [`socket=${folder}/s.sock`, `document-root=${folder}`, `errlog=${folder}/err.log`]
    const { code, stdout, stderr } = await run(['config', server, ...settings, '--check'], { cwd: path })
    if (INEXPRESSIBLE[server]?.includes(what)) {
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/^runfcgi: .* cannot be told ".*": it has no way to write '.+' there\n$/)
    } else expect([code, stderr]).toEqual([0, expect.stringMatching(/^runfcgi: (not )?checked: .*\n$/)])
  })
})

describe('config', () => {
  const refusal = async (...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(['config', ...words], { cwd: project({}).path })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    return stderr
  }

  it('names what there is, and the nearest', async () => {
    expect(await refusal()).toBe(
      'runfcgi: a configuration for what? say nginx, apache, lighttpd, caddy, haproxy, h2o, systemd or logrotate\n',
    )
    expect(await refusal('ngnix', 'socket=s')).toBe("runfcgi: no configuration for 'ngnix'; did you mean 'nginx'?\n")
    expect(await refusal('iis', 'socket=s')).toBe(
      "runfcgi: no configuration for 'iis': say nginx, apache, lighttpd, caddy, haproxy, h2o, systemd or logrotate\n",
    )
    expect(await refusal('apache', 'mod_php', 'socket=s')).toBe(
      "runfcgi: no form 'mod_php' for apache: say proxy-fcgi, fcgid, fastcgi or htaccess\n",
    )
  })

  it('tells nginx to send the port with the Host where browsers do, which the fastcgi_params of Debian leave out', async () => {
    for (const [port, mount] of [
      [80, '/'],
      [443, '/app'],
      [8080, '/'],
      [8080, '/app'],
    ] as const) {
      const words = ['config', 'nginx', 'socket=s', `server-port=${port}`, `mount=${mount}`]
      const { stdout } = await run(words, { cwd: project({}).path })
      const behind = /include fastcgi_params;\n\n.*\n +fastcgi_param HTTP_HOST \$host:8080;\n/.test(stdout)
      expect([port, mount, behind, stdout.includes('HTTP_HOST')]).toEqual([port, mount, port === 8080, port === 8080])
    }
  })

  it('is explained with all its forms', async () => {
    const { stdout } = await run(['help', 'config'], { cwd: project({}).path })
    const text = stdout.replaceAll(/\s+/g, ' ')
    for (const [server, forms] of programs) {
      const names = forms.length === 1 ? '' : ` (${forms.map(({ name }) => name).join(', ')})`
      expect(text).toContain(`${server}${names}`)
    }
  })

  it('needs an address, and one that the web server can be told', async () => {
    expect(await refusal('nginx')).toBe('runfcgi: where does the application listen? say socket=PATH or port=NUMBER\n')
    expect(await refusal('nginx', 'listen=fd:3')).toContain('a web server cannot be told a descriptor')
    expect(await refusal('nginx', 'port=0')).toContain('the web server has to know the port')
    expect(await refusal('h2o', 'listen=./a.sock,./b.sock')).toBe(
      'runfcgi: h2o passes requests on to one address, not 2: name one\n',
    )
  })

  it('gives Caddy no http:// on port 443, where it speaks HTTPS', async () => {
    const words = ['config', 'caddy', 'port=3033', 'server-port=443', 'server-name=a.example,b.example']
    const { stdout } = await run(words, { cwd: project({}).path })
    expect(stdout).toContain('\nhttps://a.example, https://b.example {\n')
    expect(await refusal('caddy', 'port=3033', 'server-port=443')).toContain('say server-name=')
  })

  it('quotes an address of IPv6 for h2o, whose YAML ends a word at a colon', async () => {
    const { stdout } = await run(['config', 'h2o', 'listen=[::]:3033'], { cwd: project({}).path })
    expect(stdout).toContain('host: "::"')
  })

  it('says so when all files of a folder are served that holds an application', async () => {
    const { path } = project({ 'package.json': '{}' })
    const words = ['config', 'nginx', 'port=3033', 'mount=/app']
    const { stdout, stderr } = await run([...words, 'document-root=.'], { cwd: path })
    expect(stdout).toContain('location / {\n        root ')
    expect(stderr).toBe(
      `runfcgi: document-root=${path} holds a package.json: all files in it are served, those of the application as well\n`,
    )
    expect((await run([...words, 'document-root=public'], { cwd: path })).stderr).toBe('')
    expect((await run(['config', 'nginx', 'port=3033', 'document-root=.'], { cwd: path })).stderr).toBe('')
  })

  it('lets nothing into the text that would end a comment or a word', async () => {
    expect(await refusal('nginx', 'socket=/run/a\nb')).toContain('must not contain control characters')
    const { path } = project({ 'runfcgi.config.json': JSON.stringify({ port: 3033, documentRoot: './a\nb' }) })
    const { code, stderr } = await run(['config', 'nginx'], { cwd: path })
    expect([code, stderr]).toEqual([2, 'runfcgi: settings for a configuration must not contain control characters\n'])
    expect(await refusal('nginx', 'socket=s', 'mount=/a"b')).toContain('must be made of letters, digits')
    expect(await refusal('nginx', 'socket=s', 'static=/a{b')).toContain('must be a URL path of letters')
    expect(await refusal('nginx', 'socket=s', 'server-name=a;b')).toContain('must be a host name')
    expect(await refusal('nginx', 'host=a;b', 'port=1')).toContain('must be a name or an address')
  })

  it.each(['nginx', 'apache', 'lighttpd', 'haproxy', 'h2o'])(
    'says that %s needs a certificate for port 443',
    async server => {
      const words = ['config', server, 'port=3033', 'server-name=example.org']
      const { path } = project({})
      const { code, stderr } = await run([...words, 'server-port=443'], { cwd: path })
      expect([code, stderr]).toEqual([
        0,
        `runfcgi: server-port=443: ${server} would speak plain HTTP there until it is told a certificate\n`,
      ])
      expect((await run([...words, 'server-port=8443'], { cwd: path })).stderr).toBe('')
    },
  )

  it('says nothing of it where Caddy gets one, or the port is not written', async () => {
    const words = ['port=3033', 'server-name=example.org', 'server-port=443']
    for (const form of [['caddy'], ['apache', 'htaccess'], ['logrotate']])
      expect((await run(['config', ...form, ...words, 'errlog=a.log'], { cwd: project({}).path })).stderr).toBe('')
  })

  it('takes the settings of the configuration file, and the upload limit among them', async () => {
    const { path } = project({
      'runfcgi.config.json': JSON.stringify({ socket: './s.sock', mount: '/app', maxBodySize: '5m' }),
    })
    const { stdout } = await run(['config', 'nginx'], { cwd: path })
    expect(stdout).toContain(`server unix:${path}/s.sock;`)
    expect(stdout).toContain('location ^~ /app/ {')
    expect(stdout).toContain('client_max_body_size 5m;')
  })

  it.each([
    ['nginx', [], 'client_max_body_size 100m;', 'client_max_body_size 0;'],
    ['apache', ['proxy-fcgi'], '-gt 104857600', undefined],
    ['apache', ['fcgid'], 'FcgidMaxRequestLen 104857600\n', 'FcgidMaxRequestLen 1099511627776\n'],
    ['lighttpd', [], 'server.max-request-size = 102400\n', undefined],
    ['caddy', [], 'max_size 100MiB', undefined],
    ['haproxy', [], 'deny_status 413 if { req.hdr_val(content-length) gt 104857600 }', undefined],
    ['h2o', [], 'limit-request-body: 104857600\n', 'limit-request-body: 1099511627776\n'],
  ])('has %s %s refuse large uploads, unless max-body-size=0 is said', async (server, form, limited, free) => {
    const { path } = project({})
    const [usual, none] = await Promise.all(
      [[], ['max-body-size=0']].map(words =>
        run(['config', server, ...form, 'port=3033', ...words, '--check'], { cwd: path }),
      ),
    )
    expect([usual?.code, none?.code]).toEqual([0, 0])
    expect(usual?.stdout).toContain(limited)
    expect(none?.stdout).not.toMatch(/413|max-request-size|max_size/)
    if (free !== undefined) expect(none?.stdout).toContain(free)
  })

  it('opens the folders of sendfile to the web server that they are for', async () => {
    const { path } = project({})
    const settings = ['port=3033', 'sendfile=x-accel-redirect:/internal/=./a files,x-sendfile:./b', '--check']
    const nginx = await run(['config', 'nginx', ...settings], { cwd: path })
    expect([nginx.code, nginx.stdout]).toEqual([0, expect.stringContaining('location ^~ /internal/ {\n')])
    expect(nginx.stdout).toContain(`internal;\n        alias "${path}/a files/";`)
    const lighttpd = await run(['config', 'lighttpd', ...settings], { cwd: path })
    expect([lighttpd.code, lighttpd.stdout]).toEqual([0, expect.stringContaining(`, "${path}/b/" )`)])
    const apache = await run(['config', 'apache', ...settings], { cwd: path })
    expect([apache.code, apache.stdout]).toEqual([0, expect.stringContaining(`XSendFilePath "${path}/b/"`)])
  })

  it('lets nginx collect replies where a child runs one request at a time', async () => {
    const { stdout } = await run(['config', 'nginx', 'port=3033', 'concurrency=1'], { cwd: project({}).path })
    expect(stdout).toContain('fastcgi_buffering on;')
  })

  it.skipIf(!existsSync('/usr/sbin/nginx'))('ends with 1 when the program refuses what was printed', async () => {
    const settings = [`socket=/run/${'long/'.repeat(40)}s.sock`]
    const { code, stdout, stderr } = await run(['config', 'nginx', ...settings, '--check'], { cwd: project({}).path })
    expect(code).toBe(1)
    expect(stdout).toContain('fastcgi_pass')
    expect(stderr).toMatch(/^runfcgi: refused by .*nginx -t .*:\n.*too long path in the unix domain socket/s)
  })

  it('says that it could not check, where the program is not installed', async () => {
    const { path } = project({})
    const env = { PATH: path }
    const { code, stderr } = await run(['config', 'caddy', 'port=3033', '--check'], { cwd: path, env })
    expect([code, stderr]).toEqual([0, 'runfcgi: not checked: caddy is not installed here\n'])
  })

  it('starts in a unit what is started here, as the account of the settings', async () => {
    const words = [
      'socket=/run/mysite/s.sock',
      'method=threaded',
      'user=www-data',
      'server-name=example.org',
      './app.js',
    ]
    const { stdout } = await run(['config', 'systemd', ...words.slice(0, -1), 'app=./app.js'], {
      cwd: project({}).path,
    })
    expect(stdout).toMatch(
      /^ExecStart=.*runfcgi\.js start socket=\/run\/mysite\/s\.sock method=threaded app=\.\/app\.js$/m,
    )
    expect(stdout).toContain('User=www-data\n')
    expect(stdout).toContain('RuntimeDirectory=mysite\n')
    expect(await refusal('systemd', 'socket=/run/s.sock')).toContain('take a folder such as /run/mysite')
    expect(await refusal('logrotate')).toBe('runfcgi: there are no log files: set errlog, outlog or access-log\n')
  })
})
