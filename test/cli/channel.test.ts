/** What primary and workers, and main thread and threads, say to each other is theirs, though a program finds a way to its parent. */

import { describe, expect, it } from 'vitest'
import { home } from './daemon.ts'

/** What programs that know pm2 or node:cluster say to whoever has started them, and what would be an order or a notice of ours. */
const APP = `
const { parentPort } = require('node:worker_threads')
let listening = false
const say = message => (process.send?.(message), parentPort?.postMessage(message))
require('node:http')
  .createServer((request, response) => {
    const messages = [null, 5, 'ready', {}, { type: 'ready' }, { type: 'report' }, { type: 'crashed' }, { type: 'log' }]
    for (const message of messages) say(message)
    response.end(typeof process.send + ' ' + listening + ' ' + process.ppid)
  })
  .listen(3000, () => {
    listening = true
    say('ready')
    say({ type: 'load-failed', error: 'no' })
    say({ type: 'drained' })
  })
process.on('message', message => {
  if (message === 'shutdown') process.exit(7)
})
`

describe('an application that speaks to the process which has started it', () => {
  it.each(['prefork', 'threaded', 'inline'])('finds nobody, as under node, with method=%s', async method => {
    const site = home({ 'app.cjs': APP })
    await site.start(`method=${method}`)
    const replies = []
    for (let at = 0; at < 3; at++) replies.push((await site.get()).text)
    expect(replies[0]).toMatch(/^undefined true \d+$/)
    expect(new Set(replies).size).toBe(1)
    const pid = site.pid()
    if (method !== 'inline') expect((await site.command('reload')).code).toBe(0)
    expect((await site.get()).text).toBe(replies[0])
    expect(site.pid()).toBe(pid)
    const { code, stderr } = await site.command('upgrade')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect((await site.get()).text).toMatch(/^undefined true \d+$/)
    expect((await site.command('stop')).code).toBe(0)
    expect(site.read('err.log')).not.toMatch(/"level":"(error|fatal)"/)
    site.expectNothingLeft()
  })
})
