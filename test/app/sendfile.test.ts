import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AdapterOptions, Application, SendfileRule } from '../../src/app/exchange.ts'
import { fileBody } from '../../src/app/file-body.ts'
import { toApplication } from '../../src/app/load/load.ts'
import { type NodeListener, nodeApplication } from '../../src/app/node/node.ts'
import { settingOf } from '../../src/config/settings.ts'
import { type ExchangeInit, paramsFor, type Reply, request } from '../support/exchange.ts'

/** The npm package brings no types. */
interface ExpressResponse {
  sendFile(path: string, options: object, callback: (error: unknown) => void): void
}
const { default: express } = await import('express' as string)

let root = ''
let files = ''
const TEXT = 'The content of the file.\n'

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'sendfile-'))
  files = join(root, 'files')
  mkdirSync(join(files, 'sub'), { recursive: true })
  mkdirSync(join(root, 'files-of-others'))
  for (const name of [
    'a.txt',
    'sub/b c%d?é#.txt',
    'sub/b c?é#.txt',
    'line\r\nbreak.txt',
    '../files-of-others/x.txt',
    '../secret.txt',
    'empty',
  ])
    writeFileSync(join(files, name), name === 'empty' ? '' : TEXT)
  symlinkSync(join(root, 'secret.txt'), join(files, 'link.txt'))
})
afterAll(() => rmSync(root, { recursive: true }))

const rule = (header: SendfileRule['header'], prefix: string): SendfileRule => ({ header, folder: `${files}/`, prefix })
const accel = (): SendfileRule => rule('X-Accel-Redirect', '/internal/')

const options = (...sendfile: SendfileRule[]): AdapterOptions => ({
  concurrency: { multithread: false, multiprocess: false, runOnce: false },
  sendfile,
})

const node = (listener: NodeListener, ...rules: SendfileRule[]): Promise<Application> =>
  toApplication(listener, 'node', options(...(rules.length > 0 ? rules : [accel()])))

const get = async (app: Application | Promise<Application>, init?: ExchangeInit): Promise<Reply> =>
  request(await app, init)

/** What the reply says of the file, and what it carries. */
const told = ({ status, headers, text }: Reply) => ({
  status,
  file: headers.get('x-accel-redirect') ?? headers.get('x-sendfile'),
  length: headers.get('content-length'),
  text,
})

const LEFT = { status: 200, file: '/internal/a.txt', length: null, text: '' }
const SENT = { status: 200, file: null, text: TEXT }

describe('a file that a listener pipes into its response', () => {
  it('is left to the web server, with the headers that it was given', async () => {
    const app = node((_request, response) => {
      response.setHeader('Content-Type', 'text/plain')
      response.setHeader('Content-Length', TEXT.length)
      createReadStream(join(files, 'a.txt')).pipe(response)
    })
    const reply = await get(app)
    expect(told(reply)).toEqual(LEFT)
    expect(reply.headers.get('content-type')).toBe('text/plain')
  })

  it.each([TEXT.length, 100_000])(
    'is left after writeHead of %i bytes, and in a pipeline, which ends as if it had been sent',
    async length => {
      let ended = 0
      const app = node(async (_request, response) => {
        response.writeHead(200, { 'Content-Length': length, 'X-Own': 'kept' })
        const file = createReadStream(join(files, 'a.txt')).on('end', () => ended++)
        await pipeline(file, response)
        ended++
      })
      const reply = await get(app)
      expect(told(reply)).toEqual(LEFT)
      await expect.poll(() => ended).toBe(2)
      expect(reply.headers.get('x-own')).toBe('kept')
    },
  )

  it('is percent-encoded in X-Accel-Redirect', async () => {
    const app = node((_request, response) => void createReadStream(join(files, 'sub/b c%d?é#.txt')).pipe(response))
    expect(told(await get(app)).file).toBe('/internal/sub/b%20c%25d%3F%C3%A9%23.txt')
  })

  it('is named as it is in X-Sendfile; one with a percent sign, which not all read alike, is sent by the application', async () => {
    const app = (name: string) =>
      node(
        (_request, response) => void createReadStream(join(files, name)).pipe(response),
        rule('X-Sendfile', `${files}/`),
      )
    const { file } = told(await get(app('sub/b c?é#.txt')))
    expect(Buffer.from(file ?? '', 'latin1').toString()).toBe(`${files}/sub/b c?é#.txt`)
    expect(told(await get(app('sub/b c%d?é#.txt')))).toMatchObject(SENT)
    expect(told(await get(app('line\r\nbreak.txt')))).toMatchObject(SENT)
  })

  it('may be empty, named by a relative path, or opened already', async () => {
    const open = (path: string, late: boolean) =>
      node((_request, response) => {
        const file = createReadStream(path)
        if (late) file.once('open', () => file.pipe(response))
        else file.pipe(response)
      })
    expect(told(await get(open(join(files, 'empty'), false))).file).toBe('/internal/empty')
    const path = relative(process.cwd(), join(files, 'a.txt'))
    for (const late of [false, true]) expect(told(await get(open(path, late)))).toEqual(LEFT)
  })

  it('is left by the first rule that fits', async () => {
    const sub = { header: 'X-Accel-Redirect', folder: `${files}/sub/`, prefix: '/sub/' } as const
    const app = node((_request, response) => void createReadStream(join(files, 'a.txt')).pipe(response), sub, accel())
    expect(told(await get(app))).toEqual(LEFT)
  })
})

describe('a file is sent by the application', () => {
  const sending = (open: () => ReturnType<typeof createReadStream>, status = 200): Promise<Application> =>
    node((_request, response) => {
      response.statusCode = status
      open().pipe(response)
    })

  it.each<[string, string]>([
    ['outside of the folders', '../secret.txt'],
    ['that climbs out of them', 'sub/../../secret.txt'],
    ['in a folder whose name only begins like theirs', '../files-of-others/x.txt'],
  ])('%s', async (_, path) => {
    expect(told(await get(sending(() => createReadStream(`${files}/${path}`))))).toMatchObject(SENT)
  })

  it('of which only a part was asked for', async () => {
    const path = join(files, 'a.txt')
    expect((await get(sending(() => createReadStream(path, { start: 4 })))).text).toBe(TEXT.slice(4))
    expect((await get(sending(() => createReadStream(path, { end: 4 })))).text).toBe(TEXT.slice(0, 5))
  })

  it('that has begun to be read', async () => {
    const app = node((_request, response) => {
      const file = createReadStream(join(files, 'a.txt'), { highWaterMark: 10 })
      file.once('readable', () => {
        file.read(3)
        file.pipe(response)
      })
    })
    expect((await get(app)).text).toBe(TEXT.slice(3))
  })

  it('after something else', async () => {
    const app = node((_request, response) => {
      response.write('first ')
      setImmediate(() => createReadStream(join(files, 'a.txt')).pipe(response))
    })
    expect((await get(app)).text).toBe(`first ${TEXT}`)
  })

  it('of a descriptor, whatever path is said', async () => {
    const fd = openSync(join(root, 'secret.txt'), 'r')
    expect(told(await get(sending(() => createReadStream(join(files, 'a.txt'), { fd }))))).toMatchObject(SENT)
  })

  it('with another status than 200', async () => {
    expect(told(await get(sending(() => createReadStream(join(files, 'a.txt')), 404)))).toMatchObject({
      status: 404,
      text: TEXT,
    })
  })

  it('that is compressed already: nginx would lose its Content-Encoding', async () => {
    const set = node((_request, response) => {
      response.setHeader('Content-Encoding', 'gzip')
      createReadStream(join(files, 'a.txt')).pipe(response)
    })
    const written = node((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      createReadStream(join(files, 'a.txt')).pipe(response)
    })
    for (const app of [set, written]) expect(told(await get(app))).toMatchObject(SENT)
  })

  it('when nothing is configured', async () => {
    const app = nodeApplication(
      (_request, response) => createReadStream(join(files, 'a.txt')).pipe(response),
      options(),
    )
    expect(told(await get(app))).toMatchObject(SENT)
  })
})

describe('Express', () => {
  const errors: unknown[] = []
  const app = () => {
    const site = express()
    const answer = (_request: unknown, response: ExpressResponse) =>
      response.sendFile('a.txt', { root: files }, error => errors.push(error))
    site.get('/a.txt', answer)
    site.use('/files', express.static(files))
    return toApplication(createServer(site), 'node', options(accel()))
  }

  it('leaves what response.sendFile and express.static send, and calls back without an error', async () => {
    expect(told(await get(app(), { params: paramsFor('/a.txt') }))).toEqual(LEFT)
    expect(told(await get(app(), { params: paramsFor('/files/a.txt') }))).toEqual(LEFT)
    await expect.poll(() => errors).toEqual([undefined])
  })

  it('leaves ranges to the web server too', async () => {
    const params = { ...paramsFor('/a.txt'), HTTP_RANGE: 'bytes=4-10' }
    const reply = await get(app(), { params })
    expect(told(reply)).toEqual(LEFT)
    expect(reply.headers.get('content-range')).toBe(null)
  })

  it('answers HEAD and conditional requests itself', async () => {
    const head = await get(app(), { params: paramsFor('/a.txt', 'HEAD') })
    expect(told(head)).toEqual({ status: 200, file: null, length: String(TEXT.length), text: '' })
    const since = statSync(join(files, 'a.txt')).mtime.toUTCString()
    const fresh = await get(app(), { params: { ...paramsFor('/a.txt'), HTTP_IF_MODIFIED_SINCE: since } })
    expect(fresh.status).toBe(304)
  })
})

describe('a WSGI-style application', () => {
  const returning = (body: () => unknown): Promise<Application> =>
    toApplication(
      (_environ: unknown, startResponse: (status: string, headers: unknown) => void) => {
        startResponse('200 OK', [['Content-Length', TEXT.length]])
        return body()
      },
      'wsgi',
      options(accel()),
    )

  it('leaves the file that it returns as a stream or as fileBody, and the stream is closed', async () => {
    const stream = createReadStream(join(files, 'a.txt'))
    expect(told(await get(returning(() => stream)))).toEqual(LEFT)
    await expect.poll(() => stream.closed).toBe(true)
    expect(told(await get(returning(() => fileBody(join(files, 'a.txt')))))).toEqual(LEFT)
  })

  it('sends one that is elsewhere', async () => {
    expect(told(await get(returning(() => createReadStream(join(root, 'secret.txt')))))).toMatchObject(SENT)
    expect(told(await get(returning(() => fileBody(join(root, 'secret.txt')))))).toMatchObject(SENT)
  })
})

describe('a fetch handler', () => {
  const returning = (path: () => string, ...rules: SendfileRule[]): Promise<Application> =>
    toApplication(() => new Response(fileBody(path()), { headers: { 'X-Own': 'kept' } }), 'fetch', options(...rules))

  it('leaves a Response of fileBody', async () => {
    const reply = await get(returning(() => join(files, 'a.txt'), accel()))
    expect(told(reply)).toEqual(LEFT)
    expect(reply.headers.get('x-own')).toBe('kept')
  })

  it('sends one that is elsewhere, and any when nothing is configured', async () => {
    expect(told(await get(returning(() => join(root, 'secret.txt'), accel())))).toMatchObject(SENT)
    expect(told(await get(returning(() => join(files, 'a.txt'))))).toMatchObject(SENT)
  })

  it('fails as it would otherwise when there is no such file', async () => {
    expect((await get(returning(() => join(files, 'none'), accel()))).failure).toMatchObject({ code: 'ENOENT' })
  })
})

describe('the setting', () => {
  it.each([
    ['off', []],
    ['x-sendfile:/srv/files', [{ header: 'X-Sendfile', folder: '/srv/files/', prefix: '/srv/files/' }]],
    ['X-Accel-Redirect:/in=files', [{ header: 'X-Accel-Redirect', folder: '/base/files/', prefix: '/in/' }]],
    [
      'x-sendfile:/a/,x-sendfile:/b',
      [
        { header: 'X-Sendfile', folder: '/a/', prefix: '/a/' },
        { header: 'X-Sendfile', folder: '/b/', prefix: '/b/' },
      ],
    ],
  ])('%s is understood', (text, rules) => expect(settingOf('sendfile').kind.parse(text, '/base')).toEqual(rules))

  it.each([
    'yes',
    'x-sendfile',
    'x-sendfile:',
    'x-accel-redirect:/srv/files',
    'x-accel-redirect:in/=/srv',
    'x-sendfile:/a=/b',
  ])('%s is refused', text => expect(settingOf('sendfile').kind.parse(text, '/base')).toBeUndefined())
})
