import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { UsageError } from '../../src/config/errors.ts'
import { type Resolved, resolveConfig, type Sources } from '../../src/config/resolve.ts'

let folder: string

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'runfcgi-config-')))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, content: unknown): void =>
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))

type Given = Partial<Omit<Sources, 'words'>>

/** Settings as typed: `resolve('socket=/tmp/x debug=true')`. */
function resolve(line = '', given: Given = {}): Promise<Resolved> {
  const words = line.split(' ').filter(word => word !== '')
  const pairs = words.map(word => [word.split('=')[0] as string, word.slice(word.indexOf('=') + 1)] as const)
  return resolveConfig({ words: pairs, env: {}, cwd: folder, supervised: false, ...given })
}

const config = async (line = '', given: Given = {}) => (await resolve(line, given)).config

async function refusal(line: string, given: Given = {}): Promise<string> {
  const error = await resolve(line, given).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(UsageError)
  const { message } = error as UsageError
  expect(message).not.toContain('\n')
  return message
}

describe('where a value comes from', () => {
  it('is the default when nobody says anything', async () => {
    expect(await config()).toMatchObject({ backlog: 511, interface: 'auto', maxSpool: 1024 ** 3, stdinTimeout: 60_000 })
  })

  it('goes from package.json over the file and the environment to the command line', async () => {
    write('package.json', { name: 'site', runfcgi: { backlog: 1, maxrequests: 1, mount: '/1', maxInflight: 1 } })
    write('runfcgi.config.json', { backlog: 2, maxrequests: 2, mount: '/2' })
    const env = { RUNFCGI_BACKLOG: '3', RUNFCGI_MAXREQUESTS: '3' }
    expect(await config('backlog=4', { env })).toMatchObject({
      backlog: 4,
      maxrequests: 3,
      mount: '/2',
      maxInflight: 1,
    })
  })

  it('is remembered, for messages', async () => {
    write('runfcgi.config.json', { backlog: 2 })
    const { describe } = await resolve('port=3033', { env: { RUNFCGI_MAX_SPOOL: '2g' } })
    expect(describe('backlog')).toBe('backlog=2 (runfcgi.config.json)')
    expect(describe('max-spool')).toBe('max-spool=2g (environment RUNFCGI_MAX_SPOOL)')
    expect(describe('port')).toBe('port=3033 (command line)')
    expect(describe('graceful-timeout')).toBe('graceful-timeout=30s (default)')
  })

  it('is the last one of the same place', async () => {
    expect(await config('backlog=1 backlog=2')).toMatchObject({ backlog: 2 })
  })

  it('may be spelled with hyphens, underscores or capitals everywhere', async () => {
    write('runfcgi.config.json', { maxSpool: '1k', 'body-buffer': '2k', max_body_size: '3k' })
    expect(await config('Max-Children=7', { env: { RUNFCGI_MAX_INFLIGHT: '9' } })).toMatchObject({
      maxSpool: 1024,
      bodyBuffer: 2048,
      maxBodySize: 3072,
      maxchildren: 7,
      maxInflight: 9,
    })
  })

  it('is not an empty environment variable, nor null in a file', async () => {
    write('runfcgi.config.json', { backlog: null })
    expect(await config('', { env: { RUNFCGI_BACKLOG: '' } })).toMatchObject({ backlog: 511 })
  })

  it('is not a variable that Kubernetes sets for a service of that name', async () => {
    const env = {
      RUNFCGI_PORT: 'tcp://10.0.0.1:9000',
      RUNFCGI_SERVICE_HOST: '10.0.0.1',
      RUNFCGI_PORT_9000_TCP_ADDR: '10.0.0.1',
      RUNFCGI_WEB_SERVICE_PORT: '80',
    }
    expect(await config('', { env })).toMatchObject({ port: undefined })
  })
})

describe('the configuration file', () => {
  it.each([
    ['runfcgi.config.js', 'export default { backlog: 77 }'],
    ['runfcgi.config.mjs', 'export default { backlog: 77 }'],
    ['runfcgi.config.cjs', 'module.exports = { backlog: 77 }'],
  ])('may be %s', async (name, content) => {
    write('package.json', { type: 'module' })
    write(name, content)
    expect(await config()).toMatchObject({ backlog: 77 })
  })

  it('may be another one, named on the command line or in the environment', async () => {
    mkdirSync(join(folder, 'etc'))
    write('etc/site.json', { backlog: 5 })
    write('runfcgi.config.json', { backlog: 6 })
    expect(await config('config=etc/site.json')).toMatchObject({ backlog: 5 })
    expect(await config('', { env: { RUNFCGI_CONFIG: './etc/site.json' } })).toMatchObject({ backlog: 5 })
  })

  it('holds numbers, booleans and lists as JSON has them', async () => {
    write('runfcgi.config.json', { debug: true, port: 3033, allowedClients: ['127.0.0.1', '10.0.0.0/8'] })
    expect(await config()).toMatchObject({ debug: true, port: 3033, allowedClients: ['127.0.0.1', '10.0.0.0/8'] })
  })

  it('has its relative paths counted from its own folder', async () => {
    mkdirSync(join(folder, 'etc'))
    write('etc/site.json', { socket: 'site.sock', app: './app.js:admin', errlog: '../log' })
    expect(await config('config=etc/site.json pidfile=site.pid')).toMatchObject({
      socket: join(folder, 'etc/site.sock'),
      app: join(folder, 'etc/app.js:admin'),
      errlog: join(folder, 'log'),
      pidfile: join(folder, 'site.pid'),
    })
  })

  it('is refused when it is missing, broken, no object, or one of two', async () => {
    mkdirSync(join(folder, 'folder'))
    for (const name of ['nothing.json', 'nothing', 'folder'])
      expect(await refusal(`config=${name}`)).toBe(`configuration file ${join(folder, name)}: there is no such file`)
    write('broken.json', '{ "port": }')
    expect(await refusal('config=broken.json')).toMatch(/^cannot read .*broken\.json: .*JSON/)
    write('throws.mjs', 'throw new Error("no luck")')
    expect(await refusal('config=throws.mjs')).toMatch(/^cannot load .*throws\.mjs: no luck/)
    write('list.json', '[1]')
    expect(await refusal('config=list.json')).toMatch(/list\.json: must hold an object/)
    write('runfcgi.config.json', {})
    write('runfcgi.config.js', 'export default {}')
    expect(await refusal('')).toBe(
      'two configuration files, runfcgi.config.json and runfcgi.config.js: keep one, or name it with config=FILE',
    )
  })

  it('may begin with a byte order mark', async () => {
    writeFileSync(join(folder, 'runfcgi.config.json'), '\uFEFF{ "backlog": 7 }\r\n')
    expect(await config()).toMatchObject({ backlog: 7 })
  })

  it('may not name another one', async () => {
    write('runfcgi.config.json', { config: 'other.json' })
    expect(await refusal('')).toBe('config (runfcgi.config.json): may not stand in a configuration file')
  })
})

describe('an unknown setting', () => {
  it('is refused with the nearest name', async () => {
    expect(await refusal('sokcet=/tmp/x')).toBe("unknown setting 'sokcet'; did you mean 'socket'?")
    expect(await refusal('maxchild=3')).toBe("unknown setting 'maxchild'; did you mean 'maxchildren'?")
    expect(await refusal('zzzzzzzz=3')).toBe("unknown setting 'zzzzzzzz'; 'runfcgi help' lists all settings")
  })

  it('is refused in a file and in the environment, which is named', async () => {
    expect(await refusal('', { env: { RUNFCGI_SOKCET: '/tmp/x' } })).toBe(
      'unknown setting RUNFCGI_SOKCET (environment); did you mean RUNFCGI_SOCKET?',
    )
    write('runfcgi.config.json', { sokcet: '/tmp/x' })
    expect(await refusal('')).toBe("unknown setting 'sokcet' (runfcgi.config.json); did you mean 'socket'?")
  })

  it('may have the name of something that every object has', async () => {
    expect(await refusal('constructor=1')).toMatch(/^unknown setting 'constructor'/)
    write('runfcgi.config.json', '{ "__proto__": { "port": 1 } }')
    expect(await refusal('')).toMatch(/^unknown setting '__proto__'/)
  })
})

describe('a bad value', () => {
  it.each([
    ['port=99999', 'port=99999 (command line): must be 0 to 65535'],
    ['port=-1', 'port=-1 (command line): must be 0 to 65535'],
    ['port=', 'port= (command line): must be 0 to 65535'],
    ['port=0x10', 'port=0x10 (command line): must be 0 to 65535'],
    ['maxrequests=1.5', 'maxrequests=1.5 (command line): must be a whole number, 0 or more'],
    ['debug=maybe', 'debug=maybe (command line): must be true or false (or yes, no, on, off, 1, 0)'],
    ['method=fast', 'method=fast (command line): must be prefork, threaded or inline'],
    ['protocol=scgi', 'protocol=scgi (command line): must be fcgi'],
    ['umask=999', 'umask=999 (command line): must be permission bits in octal such as 0660'],
    ['max-spool=1x', 'max-spool=1x (command line): must be a number of bytes such as 262144, 256k, 1m or 2g'],
    ['mount=app', 'mount=app (command line): must be a URL path such as /app, or / for the root'],
    ['socket=', 'socket= (command line): must be a path'],
    [
      'graceful-timeout=1y',
      'graceful-timeout=1y (command line): must be a duration such as 30, 30s, 500ms, 5m or 1h, at most 24d',
    ],
    [
      'graceful-timeout=25d',
      'graceful-timeout=25d (command line): must be a duration such as 30, 30s, 500ms, 5m or 1h, at most 24d',
    ],
  ])('%s is refused', async (line, message) => {
    expect(await refusal(line)).toBe(message)
  })

  it('names the file or variable it stands in', async () => {
    expect(await refusal('', { env: { RUNFCGI_PORT: 'x' } })).toBe(
      'port=x (environment RUNFCGI_PORT): must be 0 to 65535',
    )
    write('package.json', { runfcgi: { port: {} } })
    expect(await refusal('')).toMatch(/^port=.* \(package\.json\): must be 0 to 65535$/)
  })

  it('is a number for permission bits in a file, which JavaScript and JSON read differently', async () => {
    write('runfcgi.config.json', { socketMode: 660 })
    expect(await refusal('')).toBe(
      'socket-mode=660 (runfcgi.config.json): must be permission bits in octal such as 0660, in quotes',
    )
  })
})

describe('a good value', () => {
  it.each([
    ['debug=yes', { debug: true }],
    ['debug=ON', { debug: true }],
    ['debug=0', { debug: false }],
    ['debug=false', { debug: false }],
    ['method=fork', { method: 'prefork' }],
    ['method=thread', { method: 'threaded' }],
    ['protocol=fastcgi', { protocol: 'fcgi' }],
    ['umask=022', { umask: 0o022 }],
    ['umask=0', { umask: 0 }],
    ['socket-mode=0o666', { socketMode: 0o666 }],
    ['max-spool=2g', { maxSpool: 2 * 1024 ** 3 }],
    ['max-spool=1.5KiB', { maxSpool: 1536 }],
    ['max-spool=0', { maxSpool: 0 }],
    ['request-timeout=30', { requestTimeout: 30_000 }],
    ['request-timeout=1.5s', { requestTimeout: 1500 }],
    ['request-timeout=250ms', { requestTimeout: 250 }],
    ['request-timeout=5M', { requestTimeout: 300_000 }],
    ['mount=/app/', { mount: '/app' }],
    ['mount=/', { mount: '' }],
    ['mount=', { mount: '' }],
    ['socket=~/site.sock', { socket: join(homedir(), 'site.sock') }],
    ['access-log=-', { accessLog: '-' }],
    ['app=express-site', { app: 'express-site' }],
    ['listen=:3033,fd:3 listen=[::1]:3034', { listen: [':3033', 'fd:3', '[::1]:3034'] }],
    ['listen=a:1 listen=', { listen: ['a:1'] }],
  ])('%s is read', async (line, expected) => {
    expect(await config(line)).toMatchObject(expected)
  })

  it('that is a path is absolute, counted from where the command was typed', async () => {
    expect(await config('socket=run/site.sock')).toMatchObject({ socket: join(folder, 'run/site.sock') })
    expect(await config('listen=unix:a.sock,./b.sock,/tmp/c.sock')).toMatchObject({
      listen: [`unix:${join(folder, 'a.sock')}`, `unix:${join(folder, 'b.sock')}`, 'unix:/tmp/c.sock'],
    })
  })
})

describe('settings together', () => {
  it('may not name a socket and a port in the same place', async () => {
    expect(await refusal('socket=/tmp/x port=3033')).toBe(
      'socket=/tmp/x (command line) and port=3033 (command line) exclude each other: use one, or listen= with several addresses',
    )
    expect(await refusal('listen=:1 host=localhost')).toMatch(/^host=localhost .* and listen=:1 .* exclude each other/)
  })

  it('take the address of the strongest place', async () => {
    write('runfcgi.config.json', { socket: '/tmp/site.sock', host: undefined })
    expect(await config('port=3033')).toMatchObject({ socket: undefined, port: 3033 })
    write('runfcgi.config.json', { host: '::1', port: 3033 })
    expect(await config('port=3034')).toMatchObject({ host: '::1', port: 3034 })
    expect(await config('socket=/tmp/x')).toMatchObject({ host: undefined, port: undefined, socket: '/tmp/x' })
  })

  it('need a port for a host', async () => {
    expect(await refusal('host=localhost')).toBe(
      'host=localhost (command line): needs a port as well, such as port=3033',
    )
  })

  it('keep pidfile, socket and control socket apart', async () => {
    expect(await refusal('socket=/tmp/s control=/tmp/s')).toBe(
      'control=/tmp/s (command line): must be another path than socket=/tmp/s (command line)',
    )
    for (const other of ['socket', 'control']) {
      expect(await refusal(`${other}=/tmp/s pidfile=/tmp/s`)).toBe(
        'pidfile=/tmp/s (command line): must not be the path of a socket',
      )
    }
  })

  it('keep minspare, maxspare and maxchildren in order', async () => {
    expect(await refusal('maxchildren=2 maxspare=3')).toBe(
      'maxspare=3 (command line): must not be more than maxchildren=2 (command line)',
    )
    expect(await refusal('maxchildren=5 minspare=4 maxspare=3')).toBe(
      'minspare=4 (command line): must not be more than maxspare=3 (command line)',
    )
  })

  it('derive the sizes of the pool from each other', async () => {
    const cores = availableParallelism()
    expect(await config()).toMatchObject({ maxchildren: cores, maxspare: cores, minspare: Math.min(2, cores) })
    expect(await config('maxchildren=8')).toMatchObject({ maxchildren: 8, maxspare: 8, minspare: 2 })
    expect(await config('maxchildren=8 maxspare=1')).toMatchObject({ minspare: 1 })
  })

  it('detach exactly when there is an address and nobody else keeps the process', async () => {
    expect(await config()).toMatchObject({ daemonize: false })
    expect(await config('socket=/tmp/x')).toMatchObject({ daemonize: true })
    expect(await config('listen=:1')).toMatchObject({ daemonize: true })
    expect(await config('port=3033', { supervised: true })).toMatchObject({ daemonize: false })
    expect(await config('port=3033 daemonize=false')).toMatchObject({ daemonize: false })
  })

  it('need both halves of a certificate', async () => {
    expect(await refusal('tls-cert=a.pem')).toBe('tls-cert=a.pem (command line): needs tls-key as well')
    expect(await refusal('tls-key=a.pem')).toBe('tls-key=a.pem (command line): needs tls-cert as well')
  })
})
