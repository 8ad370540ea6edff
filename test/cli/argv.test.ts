import { describe, expect, it } from 'vitest'
import { parseArguments } from '../../src/cli/argv.ts'
import { UsageError } from '../../src/config/errors.ts'

const parse = (line: string) => parseArguments(line.split(' ').filter(word => word !== ''))

describe('the words of the command line', () => {
  it('are settings when they hold key=value, operands otherwise', async () => {
    expect(await parse('stand ./app.js:name socket=/tmp/a=b debug=')).toEqual({
      operands: ['stand', './app.js:name'],
      words: [
        ['socket', '/tmp/a=b'],
        ['debug', ''],
      ],
      help: false,
      version: false,
    })
  })

  it('are operands when the text before = is no name', async () => {
    expect((await parse('./a=b.js /path?x=1 X-Name:a=b')).operands).toEqual(['./a=b.js', '/path?x=1', 'X-Name:a=b'])
  })

  it('keep their order whichever way they are written', async () => {
    const { words } = await parse('port=1 --port=2 --port 3 port=4 --port 5')
    expect(words.map(([, value]) => value)).toEqual(['1', '2', '3', '4', '5'])
  })

  it.each([
    ['--debug', ['debug', 'true']],
    ['--no-debug', ['debug', 'false']],
    ['--debug=no', ['debug', 'no']],
    ['--no-daemonize', ['daemonize', 'false']],
    ['--max-children 3', ['maxchildren', '3']],
    ['--max_spool 3g', ['max-spool', '3g']],
    ['--bind :3033', ['listen', ':3033']],
    ['--socket=/tmp/x', ['socket', '/tmp/x']],
    ['--socket -', ['socket', '-']],
    ['--port -1', ['port', '-1']],
    ['--sokcet=/tmp/x', ['sokcet', '/tmp/x']],
  ])('%s is a setting', async (line, pair) => {
    expect((await parse(line)).words).toEqual([pair])
  })

  it('do not take the operand behind a yes-or-no flag for its value', async () => {
    const { operands, words } = await parse('stand --debug ./app.js')
    expect(operands).toEqual(['stand', './app.js'])
    expect(words).toEqual([['debug', 'true']])
  })

  it('are the business of the application behind --', async () => {
    const { operands, words, rest } = await parse('stand --debug ./app.js -- -x port=1 --help -- y')
    expect(operands).toEqual(['stand', './app.js'])
    expect(words).toEqual([['debug', 'true']])
    expect(rest).toEqual(['-x', 'port=1', '--help', '--', 'y'])
    expect((await parse('stand --')).rest).toEqual([])
    expect((await parse('stand')).rest).toBeUndefined()
  })

  it('ask for help or the version', async () => {
    expect(await parse('--help stand')).toMatchObject({ help: true, operands: ['stand'] })
    expect(await parse('-h')).toMatchObject({ help: true })
    expect(await parse('--version')).toMatchObject({ version: true })
    expect(await parse('-V')).toMatchObject({ version: true })
  })

  it.each([
    ['--sokcet /tmp/x', "unknown flag '--sokcet'; did you mean '--socket'?"],
    [
      '--zzzzzzzz',
      "unknown flag '--zzzzzzzz'; 'runfcgi help' lists all settings; what is for the application stands behind --",
    ],
    ['-x', "unknown flag '-x'; 'runfcgi help' lists all settings; what is for the application stands behind --"],
    ['--socket', '--socket needs a value: a path'],
  ])('%s is refused', async (line, message) => {
    await expect(parse(line)).rejects.toEqual(new UsageError(message))
  })
})
