/**
 * Users and groups by name. Reads /etc/passwd and /etc/group, then asks `getent`, which also knows LDAP and the like.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { ListenError } from './listen-error.ts'

type Database = 'passwd' | 'group'

const WORD = { passwd: 'user', group: 'group' } as const

/** Both files keep the name in the first field and the number in the third; an account is given by either. */
function fieldsIn(text: string, account: string): string[] | undefined {
  const lines = text.split('\n').map(line => line.split(':'))
  const known = lines.filter(([, , number = '']) => /^\d+$/.test(number))
  return known.find(([name]) => name === account) ?? known.find(([, , number]) => number === account)
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

const isNumber = (account: string): boolean => /^\d+$/.test(account) && Number(account) < 0xffff_ffff

const lookUp = (database: Database, account: string): string[] | undefined =>
  account === '' || account.startsWith('-')
    ? undefined
    : (fieldsIn(read(database), account) ?? fieldsIn(getent(database, account), account))

function find(database: Database, account: string): number {
  if (isNumber(account)) return Number(account)
  const number = lookUp(database, account)?.[2]
  if (number !== undefined) return Number(number)
  throw new ListenError('unknown-account', `there is no ${WORD[database]} "${account}" on this system: check the name`)
}

/** What /etc/passwd says of a user (passwd(5)). */
export interface Entry {
  readonly name: string
  readonly uid: number
  /** The primary group. */
  readonly gid: number
  readonly home: string
}

/** What there is about the user given by name or number. */
export function userEntry(user: string): Entry | undefined {
  const fields = lookUp('passwd', user)
  if (fields === undefined) return undefined
  const [name = '', , uid, gid, , home = '/'] = fields
  return { name, uid: Number(uid), gid: Number(gid), home }
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
