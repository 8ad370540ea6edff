import { describe, expect, it } from 'vitest'
import { accessLine } from '../../src/server/access-log.ts'
import type { AccessRecord } from '../../src/server/responder.ts'

const variables = {
  REMOTE_ADDR: '203.0.113.9',
  REQUEST_METHOD: 'GET',
  REQUEST_URI: '/a?b',
  SERVER_PROTOCOL: 'HTTP/1.1',
  HTTP_REFERER: 'http://other/',
  HTTP_USER_AGENT: 'agent',
}

function record(change: Record<string, string | undefined> = {}, rest: Partial<AccessRecord> = {}): AccessRecord {
  const entries = Object.entries({ ...variables, ...change }).filter(([, value]) => value !== undefined)
  const params = { names: entries.map(([name]) => name), values: entries.map(([, value]) => value as string) }
  return { params, status: 200, bytes: 2326, duration: 12.4, aborted: false, ...rest }
}

const NOW = Date.UTC(2000, 9, 10, 13, 55, 36)

describe('a line of the access log', () => {
  it('has the combined format and the time in seconds', () => {
    expect(accessLine(record(), NOW)).toBe(
      '203.0.113.9 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 2326 "http://other/" "agent" 0.012\n',
    )
    expect(accessLine(record({ REMOTE_USER: 'eva' }), NOW + 1000)).toContain(' - eva [10/Oct/2000:13:55:37 +0000] ')
  })

  it('has dashes for what is not there, and 499 when the client left before there was a status', () => {
    const line = accessLine({ ...record(), params: { names: [], values: [] }, status: 0, bytes: 0 }, NOW)
    expect(line).toBe('- - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 499 - "-" "-" 0.012\n')
  })

  it('makes up the URI where the web server sends none', () => {
    const bare = { REQUEST_URI: undefined, SCRIPT_NAME: '/app', PATH_INFO: '/x', QUERY_STRING: 'y=1' }
    expect(accessLine(record(bare), NOW)).toContain('"GET /app/x?y=1 HTTP/1.1"')
  })

  it('cannot be forged by what a client sends', () => {
    const line = accessLine(record({ HTTP_USER_AGENT: 'a" 200\n\\ \x1b[0m\xe9', REQUEST_URI: '/"\r\n' }), NOW)
    expect(line).toContain('"a\\" 200\\x0a\\\\ \\x1b[0m\\xe9"')
    expect(line).toContain('"GET /\\"%0D%0A HTTP/1.1"')
    expect(line.indexOf('\n')).toBe(line.length - 1)
  })
})
