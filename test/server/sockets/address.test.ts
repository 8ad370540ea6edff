import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Address, formatAddress, parseAddress } from '../../../src/server/sockets/address.ts'
import { ListenError } from '../../../src/server/sockets/listen-error.ts'

describe('parseAddress', () => {
  const READS: [text: string, address: Address][] = [
    ['/tmp/site.sock', { kind: 'unix', path: '/tmp/site.sock' }],
    ['./site.sock', { kind: 'unix', path: './site.sock' }],
    ['run/site.sock', { kind: 'unix', path: 'run/site.sock' }],
    ['unix:/tmp/site.sock', { kind: 'unix', path: '/tmp/site.sock' }],
    ['unix:site.sock', { kind: 'unix', path: 'site.sock' }],
    ['/tmp/with:colon', { kind: 'unix', path: '/tmp/with:colon' }],
    ['127.0.0.1:9000', { kind: 'tcp', host: '127.0.0.1', port: 9000 }],
    ['localhost:0', { kind: 'tcp', host: 'localhost', port: 0 }],
    ['[::1]:9000', { kind: 'tcp', host: '::1', port: 9000 }],
    ['[::]:65535', { kind: 'tcp', host: '::', port: 65_535 }],
    [':9000', { kind: 'tcp', host: '', port: 9000 }],
    ['*:9000', { kind: 'tcp', host: '', port: 9000 }],
    ['fd:0', { kind: 'fd', fd: 0 }],
    ['fd:13', { kind: 'fd', fd: 13 }],
    ['  9000 ', { kind: 'tcp', host: '127.0.0.1', port: 9000 }],
  ]
  it.each(READS)('reads %j', (text, address) => {
    expect(parseAddress(text)).toEqual(address)
  })

  it('binds a bare port to the loopback address, not to the world', () => {
    expect(parseAddress('9000')).toEqual({ kind: 'tcp', host: '127.0.0.1', port: 9000 })
  })

  const REFUSES: [text: string, message: RegExp][] = [
    ['', /no address/],
    ['site.sock', /"site\.sock" is no address.*unix:site\.sock/],
    ['unix:', /names no file/],
    ['/tmp/a\0b', /names no file/],
    ['127.0.0.1:http', /bad port "http"/],
    ['127.0.0.1:', /bad port ""/],
    ['127.0.0.1:70000', /bad port "70000".*0 to 65535/],
    ['65536', /bad port "65536"/],
    ['localhost:-1', /bad port "-1"/],
    ['::1:9000', /ambiguous.*\[::1\]:9000/],
    ['[::1]9000', /ambiguous/],
    ['fd:x', /bad descriptor "x"/],
    ['fd:', /bad descriptor ""/],
    ['fd:-1', /bad descriptor "-1"/],
  ]
  it.each(REFUSES)('refuses %j', (text, message) => {
    expect(() => parseAddress(text)).toThrow(ListenError)
    expect(() => parseAddress(text)).toThrow(message)
  })

  it('says what is wrong in one line, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        try {
          parseAddress(text)
        } catch (error) {
          expect(error).toBeInstanceOf(ListenError)
        }
      }),
    )
  })
})

describe('formatAddress', () => {
  const host = fc.constantFrom('', '127.0.0.1', '::1', '::', 'localhost', 'fe80::1%eth0')
  const address: fc.Arbitrary<Address> = fc.oneof(
    fc.record({ kind: fc.constant('tcp' as const), host, port: fc.nat(65_535) }),
    fc.record({ kind: fc.constant('fd' as const), fd: fc.nat(1000) }),
    fc.record({
      kind: fc.constant('unix' as const),
      path: fc.stringMatching(/^[/a-z.:]*[a-z]$/).filter(path => path.length < 100),
    }),
  )
  it('gives text that parseAddress reads back', () => {
    fc.assert(
      fc.property(address, one => {
        expect(parseAddress(formatAddress(one))).toEqual(one)
      }),
    )
  })

  it('writes what a person would', () => {
    expect(formatAddress({ kind: 'unix', path: '/tmp/site.sock' })).toBe('/tmp/site.sock')
    expect(formatAddress({ kind: 'unix', path: 'site.sock' })).toBe('unix:site.sock')
    expect(formatAddress({ kind: 'tcp', host: '::1', port: 9000 })).toBe('[::1]:9000')
    expect(formatAddress({ kind: 'tcp', host: '', port: 9000 })).toBe(':9000')
  })
})
