/** The account that web servers change to when root starts them, and what it can reach. */

import { readFileSync } from 'node:fs'

export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Undefined: this is not root, and so everything runs under one account. */
export const unprivileged: Account | undefined = process.getuid?.() === 0 ? findAccount() : undefined

function findAccount(): Account {
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
  for (const name of ['www-data', 'http', 'apache', 'nginx', 'nobody']) {
    const account = accounts.find(account => account.name === name)
    if (account !== undefined) return account
  }
  throw new Error('No unprivileged account in /etc/passwd for the web servers')
}
