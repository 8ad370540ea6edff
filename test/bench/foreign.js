/**
 * The peers that are not JavaScript: a C responder on libfcgi, Go's net/http/fcgi, php-fpm with opcache. Each answers a
 * GET with what the case says and a POST with the number of bytes that came.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compile, hasCommand, hasHeader } from './compile.js'
import { findProgram, isRoot } from './programs.js'

const headerLines = ({ headers }) =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')

/** The reply of a case as files: headers and body. */
function replyFiles({ caseName, work, directory }) {
  const [head, body] = ['head', 'body'].map(part => join(directory, `${caseName}.${part}`))
  writeFileSync(head, headerLines(work))
  writeFileSync(body, work.reply ?? '')
  return [head, body]
}

const quoted = text => `'${text.replaceAll(/[\\']/g, '\\$&')}'`

/** The whole reply stands in the script: opcache keeps it, and nothing is read for each request. */
function phpScript({ method, headers, reply }) {
  return [
    '<?php',
    method === 'POST'
      ? "$in = fopen('php://input', 'rb'); $n = 0; while (!feof($in)) $n += strlen(fread($in, 65536)); $reply = (string) $n;"
      : `$reply = ${quoted(String(reply))};`,
    ...Object.entries(headers).map(([name, value]) => `header(${quoted(`${name}: ${value}`)});`),
    "header('Content-Length: ' . strlen($reply));",
    'echo $reply;',
  ].join('\n')
}

const phpFpm = findProgram('php-fpm', 'php-fpm8.4', 'php-fpm8.3', 'php-fpm8.2', 'php-fpm8.1')

const poolConfiguration = (folder, address, processes) => `
[global]
error_log = ${folder}/log
daemonize = no
[www]
${isRoot ? 'user = nobody\ngroup = nogroup' : ''}
listen = ${address}
listen.mode = 0666
pm = static
pm.max_children = ${processes}
pm.max_requests = 0
`

/** Its own configuration and nothing else, so that what the machine has set up does not matter. */
const PHP_INI = `
zend_extension = opcache.so
opcache.enable = 1
opcache.validate_timestamps = 0
expose_php = Off
output_buffering = 4096
enable_post_data_reading = Off
post_max_size = 64M
memory_limit = 256M
`

const scriptFile = (directory, caseName) => join(directory, `php.${caseName}`, 'index.php')

function phpCommand(context) {
  const { directory, caseName, work, address } = context
  const folder = join(directory, `php.${caseName}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(scriptFile(directory, caseName), phpScript(work))
  writeFileSync(join(folder, 'php.ini'), PHP_INI)
  writeFileSync(join(folder, 'pool.conf'), poolConfiguration(folder, address, work.connections))
  return {
    file: phpFpm,
    args: ['-F', '-c', join(folder, 'php.ini'), '-y', join(folder, 'pool.conf')],
    env: { PHP_INI_SCAN_DIR: '' },
  }
}

export const FOREIGN = {
  libfcgi: {
    title: 'libfcgi, C, a thread per connection',
    protocol: 'fastcgi',
    missing: () => (hasHeader('fcgiapp.h') ? undefined : 'libfcgi-dev (and a C compiler)'),
    command: context => ({
      file: compile('responder.c', context.directory),
      args: [context.address, String(context.work.connections), ...replyFiles(context)],
    }),
  },
  go: {
    title: 'Go net/http/fcgi',
    protocol: 'fastcgi',
    missing: () => (hasCommand('go', 'version') ? undefined : 'golang-go'),
    command: context => ({
      file: compile('responder.go', context.directory),
      args: [context.address, ...replyFiles(context)],
    }),
  },
  'php-fpm': {
    title: 'php-fpm with opcache',
    protocol: 'fastcgi',
    missing: () => (phpFpm ? undefined : 'php-fpm and php-opcache'),
    /** PHP asks for the script to run. */
    request: ({ directory, caseName }) => ({ scriptFile: scriptFile(directory, caseName) }),
    command: phpCommand,
  },
}
