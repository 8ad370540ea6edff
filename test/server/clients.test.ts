import { describe, expect, it } from 'vitest'
import { allowedClients } from '../../src/server/clients.ts'
import { ListenError } from '../../src/server/sockets/listen-error.ts'

describe('allowedClients', () => {
  it('allows everybody when the list is empty', () => {
    const allowed = allowedClients([])
    expect(allowed('203.0.113.9')).toBe(true)
    expect(allowed('2001:db8::1')).toBe(true)
  })

  it('always allows the peer of a Unix socket, which has no address', () => {
    expect(allowedClients(['127.0.0.1'])(undefined)).toBe(true)
  })

  const CASES: [entries: string[], peer: string, expected: boolean][] = [
    [['127.0.0.1'], '127.0.0.1', true],
    [['127.0.0.1'], '127.0.0.2', false],
    [['127.0.0.1', ' 10.0.0.0/8 '], '10.255.255.255', true],
    [['10.0.0.0/8'], '11.0.0.0', false],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['::1'], '::1', true],
    [['::1'], '::2', false],
    [['2001:db8::/32'], '2001:db8:ffff::1', true],
    [['2001:db8::/32'], '2001:db9::', false],
    // PHP-FPM compared 12 of the 16 bytes.
    [['2001:db8::1'], '2001:db8::2', false],
    [['fe80::1'], 'fe80::1%eth0', true],
    [['10.0.0.1'], '::ffff:10.0.0.1', true],
    [['10.0.0.0/24'], '::ffff:10.0.0.77', true],
    [['10.0.0.0/24'], '::ffff:10.0.1.77', false],
    [['127.0.0.1'], '::1', false],
    [['127.0.0.1'], 'not an address', false],
  ]
  it.each(CASES)('with %j, %s: %s', (entries, peer, expected) => {
    expect(allowedClients(entries)(peer)).toBe(expected)
  })

  it.each([
    '',
    'localhost',
    '10.0.0',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/x',
    '1.2.3.4:80',
  ])('refuses %j', entry => {
    expect(() => allowedClients([entry])).toThrow(ListenError)
    expect(() => allowedClients([entry])).toThrow(`bad entry "${entry}" in allowed-clients`)
  })
})
