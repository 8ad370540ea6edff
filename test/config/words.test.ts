import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinWords, splitWords } from '../../src/config/words.ts'

describe('words in one text', () => {
  it('are read again as they were written, whatever they are', () => {
    const piece = fc.oneof(fc.string(), fc.stringMatching(/^[ '"\\a\n=-]*$/))
    fc.assert(
      fc.property(fc.array(piece), words => {
        expect(splitWords(joinWords(words))).toEqual(words)
      }),
    )
  })

  it.each([
    ['', []],
    ['  a  b ', ['a', 'b']],
    [`'a b' "c d" e\\ f`, ['a b', 'c d', 'e f']],
    [`--title="My site" a'b'"c"`, ['--title=My site', 'abc']],
    [`"a\\"b\\\\c\\d" '' ""`, ['a"b\\c\\d', '', '']],
    ['$HOME *.js # no', ['$HOME', '*.js', '#', 'no']],
  ])('%s is read as a shell reads it, without expansions', (text, words) => {
    expect(splitWords(text)).toEqual(words)
  })

  it.each([`it's`, `a "b`, 'a\\', `'`])('%s does not end', text => {
    expect(splitWords(text)).toBeUndefined()
  })
})
