import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type ProbeError, type ProbeOptions, type ProbeResult, probe } from '../../src/front/probe.ts'
import { runProbe } from '../../src/front/probe-report.ts'
import { accepts } from '../support/ports.ts'
import { type ScriptedRequest, type ScriptedResponder, scriptedResponder } from '../support/scripted-responder.ts'
import { until } from '../support/until.ts'

let folder = ''
const opened: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'probe-'))
  await chmod(folder, 0o755)
})
afterAll(() => rm(folder, { recursive: true, force: true }))
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

async function responder(answer: (request: ScriptedRequest) => unknown): Promise<ScriptedResponder> {
  const scripted = await scriptedResponder(answer)
  opened.push(scripted.close)
  return scripted
}

async function probed(
  answer: (request: ScriptedRequest) => unknown,
  options: Partial<ProbeOptions> = {},
): Promise<ProbeResult> {
  const { target } = await responder(answer)
  return probe({ target, ...options })
}

/** Exit code and what was printed. */
async function printed(
  options: ProbeOptions,
  flags: { json?: boolean } = {},
): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = []
  const err: string[] = []
  const write = (to: string[]) => ({ write: (chunk: string | Uint8Array) => to.push(Buffer.from(chunk).toString()) })
  const code = await runProbe(options, { stdout: write(out), stderr: write(err), ...flags })
  return { code, out: out.join(''), err: err.join('') }
}

async function failure(options: ProbeOptions): Promise<ProbeError> {
  return probe(options).then(
    () => {
      throw new Error('the probe succeeded')
    },
    error => error,
  )
}

const hello = (request: ScriptedRequest): void => request.reply('Content-Type: text/plain\r\n\r\nhello\n')

describe('a probe', () => {
  it('reports status, headers, body, STDERR, application status and timing', async () => {
    const result = await probed(
      request => request.stderr('a warning\n').stdout('Status: 404 Gone Fishing\r\nX-A: 1\r\n\r\nbody').end(7),
      { path: '/x?y' },
    )
    expect(result).toMatchObject({
      method: 'GET',
      uri: '/x?y',
      status: 404,
      reason: 'Gone Fishing',
      headers: [['X-A', '1']],
      body: Buffer.from('body'),
      bodyLength: 4,
      stderr: 'a warning\n',
      appStatus: 7,
    })
    const { connect, head, total } = result.timing
    expect(0 < connect && connect <= head && head <= total).toBe(true)
  })

  it('sends the variables of a web server, its own headers, and what it is told to add', async () => {
    let seen: ScriptedRequest | undefined
    const headers = [
      ['X-Name', 'Zoë'],
      ['host', 'example.org:81'],
    ] as const
    const params = { SCRIPT_FILENAME: '/srv/ü.php', REMOTE_ADDR: '10.1.2.3' }
    await probed(
      request => {
        seen = request
        hello(request)
      },
      { path: '/app/é x?q=ü', mount: '/app', method: 'DELETE', headers, params },
    )
    expect(seen?.keepConn).toBe(false)
    expect(seen?.params).toMatchObject({
      REQUEST_METHOD: 'DELETE',
      REQUEST_URI: '/app/%C3%A9%20x?q=%C3%BC',
      SCRIPT_NAME: '/app',
      PATH_INFO: '/\xc3\xa9 x',
      QUERY_STRING: 'q=%C3%BC',
      SERVER_NAME: 'example.org',
      REMOTE_ADDR: '10.1.2.3',
      HTTP_X_NAME: 'Zo\xc3\xab',
      HTTP_HOST: 'example.org:81',
      SCRIPT_FILENAME: '/srv/\xc3\xbc.php',
    })
    expect(seen?.params).not.toHaveProperty('CONTENT_LENGTH')
  })

  it('sends a body, as a form unless told otherwise', async () => {
    const echo = async (request: ScriptedRequest): Promise<void> => {
      const { REQUEST_METHOD, CONTENT_TYPE, CONTENT_LENGTH } = request.params
      const body = (await request.body()).toString('latin1')
      request.reply(`\r\n${REQUEST_METHOD} ${CONTENT_TYPE} ${CONTENT_LENGTH} ${body}`)
    }
    const form = await probed(echo, { body: 'a=é' })
    expect(form.body.toString('latin1')).toBe('POST application/x-www-form-urlencoded 4 a=\xc3\xa9')
    const headers = [['Content-Type', 'text/plain']] as const
    const text = await probed(echo, { body: Buffer.from('xyz'), method: 'PUT', headers })
    expect(text.body.toString()).toBe('PUT text/plain 3 xyz')
    const large = await probed(async request => request.reply(`\r\n${(await request.body()).length}`), {
      body: 'x'.repeat(1_000_000),
    })
    expect(large.body.toString()).toBe('1000000')
  })

  it('hands the body over as it arrives', async () => {
    const chunks: string[] = []
    const head: number[] = []
    const result = await probed(
      async request => {
        request.stdout('\r\none')
        await until('the first piece', () => chunks.length === 1)
        request.stdout('two').end()
      },
      { onHead: ({ status }) => head.push(status), onBody: chunk => chunks.push(String(chunk)) },
    )
    expect([head, chunks, result.body.length, result.bodyLength]).toEqual([[200], ['one', 'two'], 0, 6])
  })

  it.each([
    [
      'a length that is not that of the body',
      'Content-Length: 5\r\n\r\nabc',
      {},
      /Content-Length says 5 bytes, but 3 came/,
    ],
    ['a body where there is none', '\r\nabc', { method: 'HEAD' }, /a body of 3 bytes where there must be none/],
    ['a header of the connection', 'Connection: close\r\n\r\n', {}, /Connection is for the web server/],
    ['a head longer than nginx reads', `A: ${'x'.repeat(5_000)}\r\n\r\n`, {}, /fastcgi_buffer_size/],
    ['a local redirect', 'Location: /x\r\n\r\n', {}, /local redirect/],
  ])('notes %s', async (_what, reply, options, note) => {
    const { notes } = await probed(request => request.reply(reply), options)
    expect(notes).toHaveLength(1)
    expect(notes[0]).toMatch(note)
  })

  it('notes STDOUT that goes on after its end', async () => {
    const { notes } = await probed(request => request.stdout('').stdout('\r\nx').end())
    expect(notes.join()).toMatch(/ended before the response head.*goes on after its end/)
  })

  it('notes nothing about a proper reply', async () => {
    const { notes } = await probed(request => request.reply('Status: 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    expect(notes).toEqual([])
  })
})

describe('a probe in vain says in one line', () => {
  it('that there is no such file', async () => {
    const error = await failure({ target: { kind: 'unix', path: path.join(folder, 'none.sock') } })
    expect(error).toMatchObject({ name: 'ProbeError', code: 'connect' })
    expect(error.message).toMatch(/^cannot connect to .*none\.sock: no such file/)
  })

  it('that the file is no socket', async () => {
    const file = path.join(folder, 'plain')
    await writeFile(file, '')
    expect((await failure({ target: { kind: 'unix', path: file } })).message).toMatch(/^cannot connect to .*plain: /)
  })

  it('that nobody listens', async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    server.close()
    await once(server, 'close')
    const error = await failure({ target: { kind: 'tcp', host: '127.0.0.1', port } })
    expect(error.message).toBe(`cannot connect to 127.0.0.1:${port}: connection refused (nobody listens there)`)
  })

  it('that an HTTP server is no FastCGI server', async () => {
    const server = http.createServer((_req, res) => res.end()).listen(0, '127.0.0.1')
    opened.push(async () => void server.close())
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const error = await failure({ target: { kind: 'tcp', host: '127.0.0.1', port } })
    expect(error.code).toBe('protocol')
    expect(error.message).toMatch(
      /^127\.0\.0\.1:\d+ answers, but not in FastCGI: it began with "HTTP\/1\.1 400 Bad Request/,
    )
  })

  it('that it was not answered in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    let asked = false
    const { target } = await responder(() => {
      asked = true
    })
    const failed = failure({ target, timeoutMs: 50 })
    await until('it has the request', () => asked)
    vi.advanceTimersByTime(50)
    const error = await failed
    expect(error.code).toBe('timeout')
    expect(error.message).toBe(`${target.path}: timed out after 0.05 s, connected but no reply`)
  })

  it('that the reply stopped in its middle', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    let begun = false
    const onHead = (): void => {
      begun = true
    }
    const { target } = await responder(request => request.stderr('stuck').stdout('\r\npart'))
    const failed = failure({ target, timeoutMs: 50, onHead })
    await until('the reply has begun', () => begun)
    vi.advanceTimersByTime(50)
    const error = await failed
    expect([error.code, error.stderr]).toEqual(['timeout', 'stuck'])
    expect(error.message).toContain('in the middle of the reply')
  })

  it.each([
    ['closed', 'without a reply', (request: ScriptedRequest) => request.socket.end()],
    ['closed', 'before the reply was complete', (request: ScriptedRequest) => request.stdout('\r\nx').socket.end()],
    ['refused', 'OVERLOADED', (request: ScriptedRequest) => request.end(0, 2)],
    ['refused', 'UNKNOWN_ROLE', (request: ScriptedRequest) => request.end(0, 3)],
    ['bad-reply', 'without a response head', (request: ScriptedRequest) => request.end()],
    ['bad-reply', 'it began with "<html>"', (request: ScriptedRequest) => request.reply('<html>\n')],
    [
      'bad-reply',
      'a line that is no header: "HTTP/1.1 200 OK"',
      (request: ScriptedRequest) => request.reply('HTTP/1.1 200 OK\r\n\r\n'),
    ],
  ])('%s: %s', async (code, message, answer) => {
    const { target } = await responder(answer)
    const error = await failure({ target })
    expect(error.code).toBe(code)
    expect(error.message).toContain(message)
    expect(error.message).not.toContain('\n')
  })

  it('that the path is none', async () => {
    expect((await failure({ target: { kind: 'unix', path: '/x' }, path: 'x' })).code).toBe('usage')
  })
})

describe('a printed probe', () => {
  it('writes head and body to one stream, the rest to the other, and exits with 0', async () => {
    const { target } = await responder(request => {
      request.stderr('careful\n')
      hello(request)
    })
    const { code, out, err } = await printed({ target })
    expect([code, out]).toEqual([0, '200 OK\nContent-Type: text/plain\n\nhello\n'])
    expect(err).toMatch(
      /^stderr:\n {2}careful\n.*: 6 bytes of body; connected after [\d.]+ ms, head after .* ms, complete after .* ms\n$/,
    )
  })

  it('exits with 1 from status 400 on, and when there is no reply', async () => {
    const { target } = await responder(request => request.reply(`Status: ${request.params.QUERY_STRING}\r\n\r\n`))
    const codes = await Promise.all(
      [399, 400, 500].map(async status => (await printed({ target, path: `/?${status}` })).code),
    )
    expect(codes).toEqual([0, 1, 1])
    const gone = await printed({ target: { kind: 'unix', path: path.join(folder, 'none.sock') } })
    expect([gone.code, gone.out]).toEqual([1, ''])
    expect(gone.err).toMatch(/^runfcgi: cannot connect to [^\n]*\n$/)
  })

  it('is one JSON object if that is asked for, with bytes that are no text in base64', async () => {
    const { target } = await responder(request =>
      request.reply(`X-A: \xc3\xa9\r\n\r\n${request.params.QUERY_STRING === 'binary' ? '\xff\x00' : 'text'}`),
    )
    expect(JSON.parse((await printed({ target }, { json: true })).out)).toMatchObject({
      status: 200,
      headers: [['X-A', 'é']],
      body: 'text',
      notes: [],
    })
    expect(JSON.parse((await printed({ target, path: '/?binary' }, { json: true })).out)).toMatchObject({
      bodyBase64: '/wA=',
    })
  })

  it('does not let headers or STDERR steer the terminal', async () => {
    const { target } = await responder(request => request.stderr('\x1b[2J').stdout('Status: 200 \x80ok\r\n\r\n').end())
    const { err } = await printed({ target })
    expect(err).toContain('\\x1b[2J')
  })
})

const run = promisify(execFile)

/** A responder by the authors of FastCGI: echoes the body, reports on both streams. */
const LIBFCGI_PROGRAM = `
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **arguments) {
  dup2(FCGX_OpenSocket(arguments[1], 16), 0);
  while (FCGI_Accept() >= 0) {
    int c;
    printf("Content-Type: text/plain\\r\\nX-Uri: %s\\r\\n\\r\\n", getenv("REQUEST_URI"));
    while ((c = getchar()) != EOF) putchar(c);
    fprintf(stderr, "path %s\\n", getenv("PATH_INFO"));
  }
  return 0;
}
`

const hasLibfcgi = ['/usr/bin/gcc', '/usr/include/fcgiapp.h'].every(file => existsSync(file))
const phpFpm = ['8.4', '8.3', '8.2', '8.1'].map(version => `/usr/sbin/php-fpm${version}`).find(file => existsSync(file))

describe('a probe of other FastCGI programs', () => {
  it.skipIf(!hasLibfcgi)('reads what libfcgi replies', async () => {
    const source = path.join(folder, 'echo.c')
    const program = path.join(folder, 'echo')
    await writeFile(source, LIBFCGI_PROGRAM)
    await run('gcc', ['-o', program, source, '-lfcgi'])
    const socket = path.join(folder, 'libfcgi.sock')
    const child = spawn(program, [socket], { stdio: 'ignore' })
    opened.push(async () => {
      child.kill('SIGKILL')
      await once(child, 'close')
    })
    await until('the program listens', () => accepts(socket))
    const body = 'x'.repeat(200_000)
    const target = { kind: 'unix', path: socket } as const
    const result = await probe({ target, path: '/a b?c', body })
    expect(result).toMatchObject({ status: 200, stderr: 'path /a b\n', appStatus: 0, notes: [] })
    expect(result.headers).toContainEqual(['X-Uri', '/a%20b?c'])
    expect(result.body.toString()).toBe(body)
  })

  it.skipIf(phpFpm === undefined)('reads what PHP-FPM replies', async () => {
    const socket = path.join(folder, 'php.sock')
    const script = path.join(folder, 'index.php')
    const config = path.join(folder, 'fpm.conf')
    await writeFile(
      script,
      '<?php header("X-A: b"); http_response_code(418); echo "got ", file_get_contents("php://input");',
    )
    const users = process.getuid?.() === 0 ? 'user=nobody\ngroup=nogroup\n' : ''
    const pool = `[www]\n${users}listen=${socket}\nlisten.mode=0666\npm=static\npm.max_children=1\n`
    await writeFile(config, `[global]\nerror_log=${folder}/fpm.log\n${pool}`)
    const child = spawn(phpFpm as string, ['--nodaemonize', '-y', config], { stdio: 'ignore' })
    opened.push(async () => {
      child.kill('SIGTERM')
      await once(child, 'close')
    })
    await until('PHP-FPM listens', () => accepts(socket))
    const target = { kind: 'unix', path: socket } as const
    const result = await probe({ target, body: 'this', params: { SCRIPT_FILENAME: script } })
    expect([result.status, result.body.toString()]).toEqual([418, 'got this'])
    expect(result.headers).toContainEqual(['X-A', 'b'])
    const missing = await probe({ target, params: { SCRIPT_FILENAME: path.join(folder, 'none.php') } })
    expect([missing.status, missing.stderr.trim()]).toEqual([404, 'Primary script unknown'])
  })
})
