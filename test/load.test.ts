/** The code that V8 makes of dist when it is installed, and the loader that uses it. */

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runfcgi-load-'))
  for (const path of ['package.json', 'bin', 'dist']) cpSync(join(root, path), join(folder, path), { recursive: true })
  rmSync(join(folder, 'dist/code'), { recursive: true, force: true })
  writeFileSync(join(folder, 'tell.cjs'), TELL)
})

afterEach(() => rmSync(folder, { recursive: true }))

/** Says of each file of dist what became of its code: undefined if there was none. */
const TELL = `
const vm = require('node:vm')
const { basename } = require('node:path')
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options)
    process.stderr.write(basename(options.filename) + ': ' + this.cachedDataRejected + '\\n')
  }
}
`

function node(...args: string[]): { stdout: string; told: string[] } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
  expect({ status, stderr: stderr.replaceAll(/^[\w-]+\.cjs: \w+\n/gm, '') }).toEqual({ status: 0, stderr: '' })
  return { stdout, told: stderr.trim().split('\n') }
}

const compile = () => node('dist/compile.cjs')
const version = () => node('--require', './tell.cjs', 'bin/runfcgi.js', 'version')

/** The files of code. */
const code = () =>
  readdirSync(join(folder, 'dist/code'), { recursive: true, encoding: 'utf8' })
    .map(name => join(folder, 'dist/code', name))
    .filter(file => statSync(file).isFile())

const outcomes = (told: string[]) => [...new Set(told.map(line => line.split(': ')[1]))]

describe('the program', () => {
  test('is loaded with the code that was made when it was installed, of every file', () => {
    compile()
    const { stdout, told } = version()
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(told.map(line => line.split(': ')[0])).toContain('command.cjs')
    expect(outcomes(told)).toEqual(['false'])
  })

  test('is loaded without any', () => {
    const { stdout, told } = version()
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(outcomes(told)).toEqual(['undefined'])
  })

  test('is loaded without the code that was made where it lay before, which would tell of those files in stacks', () => {
    compile()
    const moved = join(folder, 'elsewhere')
    mkdirSync(moved)
    for (const path of ['package.json', 'bin', 'dist']) renameSync(join(folder, path), join(moved, path))
    const { stdout, told } = node('--require', './tell.cjs', 'elsewhere/bin/runfcgi.js', 'version')
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(outcomes(told)).toEqual(['undefined'])
  })

  test('is loaded when its code is for other flags', () => {
    compile()
    const { stdout, told } = node('--require', './tell.cjs', '--no-opt', 'bin/runfcgi.js', 'version')
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(outcomes(told)).toEqual(['true'])
  })

  test('is loaded when its code may not be read', () => {
    compile()
    for (const file of code()) {
      rmSync(file)
      mkdirSync(file)
    }
    const { stdout, told } = version()
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(outcomes(told)).toEqual(['undefined'])
  })

  test('is loaded when its code is cut off, or is none', () => {
    for (const spoil of [
      (bytes: Buffer) => bytes.subarray(0, bytes.length / 2),
      () => Buffer.alloc(0),
      () => Buffer.from('not code at all, and longer than the header of what V8 writes, so that it has to look at it'),
    ]) {
      compile()
      for (const file of code()) writeFileSync(file, spoil(readFileSync(file)))
      const { stdout, told } = version()
      expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
      expect(outcomes(told)).toEqual(['true'])
    }
  })

  test('is what its files say, should somebody change one without changing its length', () => {
    compile()
    const file = join(folder, 'dist/parts/command.cjs')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('print the version', 'PRINT THE VERSION'))
    const after = statSync(code()[0] as string).mtimeMs / 1000 + 10
    utimesSync(file, after, after)
    expect(node('bin/runfcgi.js', 'help', 'version').stdout).toContain('PRINT THE VERSION')
  })
})
