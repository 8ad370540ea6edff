/**
 * Users and groups by name. Reads /etc/passwd and /etc/group, then asks `getent`, which also knows LDAP and the like.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { ListenError } from './listen-error.ts'

type Database = 'passwd' | 'group'

const WORD = { passwd: 'user', group: 'group' } as const

/** Both files keep the name in the first field and the number in the third. */
function numberIn(text: string, name: string): number | undefined {
  for (const line of text.split('\n')) {
    const fields = line.split(':')
    if (fields[0] === name && /^\d+$/.test(fields[2] ?? '')) return Number(fields[2])
  }
  return undefined
}

function read(database: Database): string {
  try {
    return readFileSync(`/etc/${database}`, 'latin1')
  } catch {
    return '' // A system without the file may still have getent.
  }
}

function getent(database: Database, name: string): string {
  try {
    return execFileSync('getent', [database, name], { encoding: 'latin1', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return '' // Exit status 2: no such name. No getent: the same to us.
  }
}

function find(database: Database, account: string): number {
  if (/^\d+$/.test(account)) {
    const number = Number(account)
    if (number < 0xffff_ffff) return number
  } else if (account !== '' && !account.startsWith('-')) {
    const number = numberIn(read(database), account) ?? numberIn(getent(database, account), account)
    if (number !== undefined) return number
  }
  throw new ListenError('unknown-account', `there is no ${WORD[database]} "${account}" on this system: check the name`)
}

/**
 * The number of a user given by name or number.
 * @throws ListenError `unknown-account`
 */
export const userNumber = (user: string): number => find('passwd', user)

/**
 * The number of a group given by name or number.
 * @throws ListenError `unknown-account`
 */
export const groupNumber = (group: string): number => find('group', group)
