import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LoadError } from '../../../src/app/load/load-error.ts'
import { locateApplication } from '../../../src/app/load/locate.ts'
import { project } from '../../support/project.ts'

type Files = Readonly<Record<string, string | object>>

/** Where the reference leads, relative to the folder. */
function located(files: Files, reference?: string): string {
  using there = project(files)
  const { file, exportName } = locateApplication(reference, there.folder)
  return file.slice(there.folder.length + 1) + (exportName === undefined ? '' : `:${exportName}`)
}

function message(files: Files, reference?: string): string {
  using there = project(files)
  try {
    locateApplication(reference, there.folder)
  } catch (error) {
    expect(error).toBeInstanceOf(LoadError)
    const text = (error as Error).message
    expect(text).not.toContain('\n')
    // Where Node strips types, their extensions are tried too.
    return text.replaceAll(there.folder, '<cwd>').replace(/,(\.?)ts,\1mts,\1cts/, '')
  }
  throw new Error('found something')
}

describe('without a reference', () => {
  const all = ['application.js', 'app.js', 'server.js', 'index.js'] as const

  test('application, app, server and index are looked for in this order, then main', () => {
    const files: Record<string, string | object> = { 'package.json': { main: 'lib/main.js' }, 'lib/main.js': '' }
    const seen: string[] = [located(files)]
    for (const name of all.toReversed()) {
      files[name] = ''
      seen.push(located(files))
    }
    expect(seen).toEqual(['lib/main.js', 'index.js', 'server.js', 'app.js', 'application.js'])
  })

  test('runfcgi.app of package.json comes before all of them, and may name an export', () => {
    const files = { 'package.json': { runfcgi: { app: './web/site.js:handler' } }, 'web/site.js': '', 'app.js': '' }
    expect(located(files)).toBe('web/site.js:handler')
  })

  test('js comes before mjs before cjs', () => {
    expect(located({ 'app.js': '', 'app.mjs': '', 'app.cjs': '' })).toBe('app.js')
    expect(located({ 'app.mjs': '', 'app.cjs': '' })).toBe('app.mjs')
    expect(located({ 'app.cjs': '', 'server.js': '' })).toBe('app.cjs')
  })

  test('main may leave out the extension or be a folder', () => {
    expect(located({ 'package.json': { main: './lib/start' }, 'lib/start.js': '' })).toBe('lib/start.js')
    expect(located({ 'package.json': { main: 'lib' }, 'lib/index.js': '' })).toBe('lib/index.js')
  })

  test('a folder or a program with the name of an application is none', () => {
    expect(located({ 'app/routes.js': '', server: '#!/bin/sh', 'index.js': '' })).toBe('index.js')
  })

  test('the message lists what was tried', () => {
    expect(message({})).toBe(
      'no application in <cwd>: tried runfcgi.app in package.json, {application,app,server,index}.{js,mjs,cjs}, ' +
        'main in package.json; name one: runfcgi ./my-app.js',
    )
  })

  test.skipIf(Boolean((process.features as { typescript?: unknown }).typescript))(
    'where Node does not strip types, a TypeScript application is pointed out and not taken',
    () => {
      expect(located({ 'app.ts': '', 'server.js': '' })).toBe('server.js')
      expect(message({ 'app.ts': '' })).toContain('there is TypeScript, but Node ')
    },
  )
})

describe('a path', () => {
  test('is relative to the folder, absolute, or without ./', () => {
    expect(located({ 'web/site.js': '' }, './web/site.js')).toBe('web/site.js')
    expect(located({ 'web/site.js': '' }, 'web/site.js')).toBe('web/site.js')
    using there = project({ 'site.js': '' })
    expect(locateApplication(join(there.folder, 'site.js'), '/').file).toBe(join(there.folder, 'site.js'))
  })

  test('may leave out the extension and name an export', () => {
    expect(located({ 'site.mjs': '' }, './site')).toBe('site.mjs')
    expect(located({ 'site.mjs': '' }, './site:site')).toBe('site.mjs:site')
    expect(located({ 'site.js': '' }, './site.js:$v_1')).toBe('site.js:$v_1')
  })

  test('may hold a colon', () => {
    expect(located({ 'a:b.js': '' }, './a:b.js')).toBe('a:b.js')
    expect(located({ 'a:b.js': '' }, './a:b.js:c')).toBe('a:b.js:c')
    expect(located({ 'a:b': '', a: '' }, './a:b')).toBe('a:b')
  })

  test('to a folder is searched as the current folder is', () => {
    expect(located({ 'site/app.js': '', 'app.js': '' }, './site')).toBe('site/app.js')
    expect(located({ 'site/app.js': '' }, './site:admin')).toBe('site/app.js:admin')
    expect(located({ 'site/package.json': { runfcgi: { app: './x.js' } }, 'site/x.js': '' }, 'site')).toBe('site/x.js')
  })

  test('that leads nowhere is named with what was tried', () => {
    expect(message({}, './nope.js')).toBe('no application "./nope.js": no file <cwd>/nope.js')
    expect(message({}, './nope')).toBe('no application "./nope": no file <cwd>/nope{,.js,.mjs,.cjs}')
    expect(message({}, './nope.js:x')).toContain('no file <cwd>/nope.js')
    expect(message({ 'site/readme': '' }, './site')).toContain('no application in ./site: tried runfcgi.app')
  })
})

describe('a package', () => {
  const pkg = (manifest: object, files: Files): Files => ({
    'node_modules/site/package.json': { name: 'site', ...manifest },
    ...Object.fromEntries(Object.entries(files).map(([name, content]) => [`node_modules/site/${name}`, content])),
  })

  test('is its runfcgi.app, else its main, else its index', () => {
    expect(located(pkg({ runfcgi: { app: './fcgi.js' }, main: './m.js' }, { 'fcgi.js': '', 'm.js': '' }), 'site')).toBe(
      'node_modules/site/fcgi.js',
    )
    expect(located(pkg({ main: './m.js' }, { 'm.js': '', 'app.js': '' }), 'site')).toBe('node_modules/site/m.js')
    expect(located(pkg({}, { 'index.js': '' }), 'site:handler')).toBe('node_modules/site/index.js:handler')
  })

  test('may be for import alone', () => {
    const exports = { '.': { types: './x.d.ts', import: './x.mjs' } }
    expect(located(pkg({ exports }, { 'x.mjs': '' }), 'site')).toBe('node_modules/site/x.mjs')
  })

  test('may have an application inside', () => {
    expect(located(pkg({}, { 'lib/admin.js': '' }), 'site/lib/admin.js')).toBe('node_modules/site/lib/admin.js')
  })

  test('is found from a folder below', () => {
    using there = project({ ...pkg({}, { 'index.js': '' }), 'deep/er/x': '' })
    expect(locateApplication('site', join(there.folder, 'deep/er')).file).toContain('node_modules/site/index.js')
  })

  test('that is not there, and is no file either, is named', () => {
    expect(message({}, 'nope')).toBe(
      'no application "nope": no file <cwd>/nope{,.js,.mjs,.cjs}, no package "nope" seen from <cwd>',
    )
  })

  test('is not what a module of Node is', () => {
    expect(message({}, 'http')).toContain('no application "http"')
  })
})

describe('package.json', () => {
  test('that is not JSON is an error that names it', () => {
    expect(message({ 'package.json': '{ "a": }' })).toMatch(/^cannot read <cwd>\/package\.json: /)
  })

  test('that names a file which is not there is an error', () => {
    expect(message({ 'package.json': { runfcgi: { app: './gone.js' } } })).toBe(
      'no file "./gone.js", which runfcgi.app in package.json names',
    )
  })

  test('with values of other kinds is as good as none', () => {
    expect(located({ 'package.json': { main: 1, runfcgi: 'x', exports: 2 }, 'app.js': '' })).toBe('app.js')
    expect(located({ 'package.json': '[]', 'app.js': '' })).toBe('app.js')
  })
})
