import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import fastify from 'fastify'
import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import { detect, type Exports, exportNames, type InterfaceChoice, judge } from '../../../src/app/load/detect.ts'
import { LoadError } from '../../../src/app/load/load-error.ts'

const require = createRequire(import.meta.url)
// Without types of their own.
const express = require('express') as { (): unknown; Router(): unknown }
const Koa = require('koa') as new () => unknown

const wsgi = (_environ: unknown, _startResponse: unknown) => []
const listener = (_req: unknown, _res: unknown) => undefined
const fetchHandler = (_request: unknown) => new Response()

async function detected(exports: Exports, exportName?: string, choice: InterfaceChoice = 'auto') {
  const found = await detect(exports, exportName, choice)
  return found === undefined ? undefined : [found.interface, found.rule]
}

describe('what an export is', () => {
  const kinds: readonly (readonly [string, unknown, string, string])[] = [
    ['a function with two parameters', listener, 'node', 'a function (request, response)'],
    [
      'a function with three parameters',
      (_a: unknown, _b: unknown, _c: unknown) => 0,
      'node',
      'a function (request, response)',
    ],
    ['a function with one parameter', fetchHandler, 'fetch', 'a function (request)'],
    ['an http.Server', createServer(), 'node', 'an http.Server'],
    ['Express', express(), 'node', 'an Express or Connect application'],
    ['an Express router', express.Router(), 'node', 'an Express or Connect application'],
    ['Koa', new Koa(), 'node', 'a Koa application'],
    ['Fastify', fastify(), 'node', 'a Fastify application'],
    ['Hono', new Hono(), 'fetch', 'an object with fetch()'],
    ['an object with fetch', { fetch: fetchHandler }, 'fetch', 'an object with fetch()'],
    ['an object with fetch of two parameters', { fetch: listener }, 'fetch', 'an object with fetch()'],
    [
      'an instance of a class with fetch',
      new (class Site {
        fetch() {}
      })(),
      'fetch',
      'an object with fetch()',
    ],
  ]
  for (const [name, value, expected, shape] of kinds) {
    test(`${name}, as the default export or under a name of its own`, async () => {
      expect(await detected({ default: value })).toEqual([expected, `default export, ${shape}`])
      expect(await detected({ default: 1, mine: value }, 'mine')).toEqual([expected, `export mine, ${shape}`])
    })
  }

  test('a promise of it is awaited', async () => {
    expect(await detected({ default: Promise.resolve(listener) })).toEqual([
      'node',
      'default export, a function (request, response)',
    ])
  })
})

describe('the export application', () => {
  test('is a WSGI-style callable, whatever its parameters, and goes before the default export', async () => {
    for (const application of [wsgi, () => [], fetchHandler]) {
      expect(await detected({ application, default: listener })).toEqual(['wsgi', 'export application, a function'])
      expect(await detected({ application }, 'application')).toEqual(['wsgi', 'export application, a function'])
    }
  })

  test('is what it is when it is the application of a framework', async () => {
    expect(await detected({ application: express() })).toEqual([
      'node',
      'export application, an Express or Connect application',
    ])
    expect(await detected({ application: new Hono() })).toEqual(['fetch', 'export application, an object with fetch()'])
  })

  test('gives way to the default export when another interface is asked for', async () => {
    expect(await detected({ application: wsgi, default: listener }, undefined, 'node')).toEqual([
      'node',
      'default export, a function, interface=node',
    ])
    expect(await detected({ application: wsgi }, undefined, 'node')).toEqual([
      'node',
      'export application, a function, interface=node',
    ])
  })
})

describe('interface=', () => {
  test('makes of a function what it says', async () => {
    for (const choice of ['wsgi', 'node', 'fetch'] as const) {
      expect(await detected({ default: () => 0 }, undefined, choice)).toEqual([
        choice,
        `default export, a function, interface=${choice}`,
      ])
    }
  })

  test('goes with what the export can be only', async () => {
    const refused: readonly (readonly [unknown, InterfaceChoice])[] = [
      [new Hono(), 'node'],
      [new Hono(), 'wsgi'],
      [new Koa(), 'fetch'],
      [new Koa(), 'wsgi'],
      [createServer(), 'fetch'],
    ]
    for (const [value, choice] of refused) {
      await expect(detected({ default: value }, undefined, choice)).rejects.toThrow(
        new RegExp(`^the default export is an object.*, which interface=${choice} cannot run$`),
      )
    }
  })
})

describe('CommonJS', () => {
  test('names that import does not show are found in module.exports', async () => {
    expect(await detected({ default: { application: wsgi } })).toEqual(['wsgi', 'export application, a function'])
    expect(await detected({ default: { admin: listener } }, 'admin')).toEqual([
      'node',
      'export admin, a function (request, response)',
    ])
  })

  test('a function with the export application on it is WSGI-style', async () => {
    expect(await detected({ default: Object.assign(listener.bind(null), { application: wsgi }) })).toEqual([
      'wsgi',
      'export application, a function',
    ])
  })

  test('a compiled ES module has its default inside', async () => {
    const compiled = Object.defineProperty({ default: listener }, '__esModule', { value: true })
    expect(await detected({ default: compiled })).toEqual(['node', 'default export, a function (request, response)'])
  })

  test('module.exports with a fetch function in it is an object with fetch()', async () => {
    expect(await detected({ default: { fetch: fetchHandler }, fetch: fetchHandler })).toEqual([
      'fetch',
      'default export, an object with fetch()',
    ])
  })

  test('a module that assigns nothing exports nothing', async () => {
    expect(await detected({ default: {} })).toBeUndefined()
    expect(exportNames({ default: {}, 'module.exports': {} })).toEqual([])
  })
})

describe('what cannot run', () => {
  const cases: readonly (readonly [string, Exports, string])[] = [
    ['a class', { default: class Site {} }, 'the default export is the class Site: export an instance of it'],
    [
      'a function without parameters',
      { default: () => 0 },
      'the default export is a function with 0 parameters: say interface=wsgi, interface=node or interface=fetch; if it makes the application, export what it returns',
    ],
    [
      'an object of applications',
      { default: { app: listener, server: 1 }, app: listener },
      'the default export is an object with app, server, which is no application: export a function (req, res), an ' +
        'object with fetch(), or name the export: ./app.js:name',
    ],
    [
      'a framework that listens by itself',
      {
        default: new (class Restify {
          server = 1
          listen() {}
        })(),
      },
      'the default export is an object of the class Restify, which is no application itself: if its listen() makes a ' +
        'server listen, let the file call that and export nothing',
    ],
    ['an array', { default: [1] }, 'the default export is an array, which is no application'],
    ['a string', { default: 'x' }, 'the default export is a string (x), which is no application'],
    [
      'an application that is no function',
      { application: 1 },
      'the export application is a number (1), which is no application',
    ],
  ]
  for (const [name, exports, expected] of cases) {
    test(`${name} is named in the message`, async () => {
      const error = await detect(exports, undefined, 'auto').catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(LoadError)
      expect((error as Error).message).toContain(expected)
    })
  }

  test('an export that is missing is an error that lists those that are there', async () => {
    await expect(detect({ default: listener, admin: listener }, 'nope', 'auto')).rejects.toThrow(
      'no export "nope"; it exports default, admin',
    )
    await expect(detect({}, 'nope', 'auto')).rejects.toThrow('no export "nope"; it exports nothing')
  })

  test('a module with neither a default export nor application leaves the choice to the caller', async () => {
    expect(await detected({ app: listener })).toBeUndefined()
  })

  test('names that are not own properties are not exports', async () => {
    await expect(detect({ default: {} }, 'toString', 'auto')).rejects.toThrow('no export "toString"')
    await expect(detect({ default: { a: 1 } }, 'constructor', 'auto')).rejects.toThrow('no export "constructor"')
  })
})

test('an application at hand is judged by the same rule', () => {
  expect(judge(listener, 'application', 'auto')).toMatchObject({ interface: 'node', callable: listener })
  expect(judge(wsgi, 'application', 'wsgi')).toMatchObject({ interface: 'wsgi', callable: wsgi })
  expect(() => judge(3, 'application', 'auto')).toThrow('the application is a number (3), which is no application')
})
