/** `config --check`: runs a program's own test on a configuration that was written for it. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type Machine, rehearsalOf } from '../../front/config/rehearsal.ts'
import { EXIT_FAILED, EXIT_OK } from '../errors.ts'

/** How long such a test may take, in milliseconds. */
const PATIENCE = 30_000

/** Says on standard error what came of it. Resolves to 1 if the program refuses the configuration, also if it is not there: 0. */
export function rehearse(server: string, form: string, text: string): number {
  const folder = mkdtempSync(join(tmpdir(), 'runfcgi-check-'))
  try {
    return run(server, form, text, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function run(server: string, form: string, text: string, folder: string): number {
  const rehearsal = rehearsalOf(server, form, text, machineWith(folder))
  const program = rehearsal?.programs.map(find).find(found => found !== undefined)
  if (rehearsal === undefined || program === undefined) {
    process.stderr.write(`runfcgi: not checked: ${rehearsal?.programs[0] ?? server} is not installed here\n`)
    return EXIT_OK
  }
  if (rehearsal.missing !== undefined) {
    process.stderr.write(`runfcgi: not checked: ${rehearsal.missing} is not installed here\n`)
    return EXIT_OK
  }
  for (const [name, content] of Object.entries(rehearsal.files)) writeFileSync(join(folder, name), content)
  const { status, error, stdout, stderr } = spawnSync(program, rehearsal.args, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
    encoding: 'utf8',
    timeout: PATIENCE,
  })
  const command = [program, ...rehearsal.args].join(' ')
  if (status === 0) {
    process.stderr.write(`runfcgi: checked: ${command}\n`)
    return EXIT_OK
  }
  process.stderr.write(
    `runfcgi: refused by ${command}:\n${error?.message ?? ''}${stdout}${stderr}`.trimEnd().concat('\n'),
  )
  return EXIT_FAILED
}

/** The path of an installed program; the folders of administrators' programs are not in everybody's PATH. */
function find(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(existsSync)
}

const APACHE_FOLDERS = [
  '/usr/lib/apache2/modules',
  '/usr/lib64/httpd/modules',
  '/usr/libexec/apache2',
  '/usr/local/libexec/apache24',
  '/opt/homebrew/lib/httpd/modules',
]

function machineWith(folder: string): Machine {
  const apache = APACHE_FOLDERS.find(existsSync)
  const files = apache === undefined ? [] : readdirSync(apache)
  const modules = new Set(files.map(file => file.replace(/^mod_(.*)\.so$/, '$1')))
  const nginxParams = ['/etc/nginx', '/usr/local/etc/nginx', '/opt/homebrew/etc/nginx']
    .map(place => join(place, 'fastcgi_params'))
    .find(existsSync)
  return { folder, apache: { folder: apache ?? '', modules }, nginxParams: nginxParams ?? '/etc/nginx/fastcgi_params' }
}
