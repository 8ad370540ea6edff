/** Becoming another user: root binds ports and opens logs, the application runs as somebody with fewer rights. */

import { type Entry, groupNumber, userEntry, userNumber } from '../../server/sockets/accounts.ts'

export interface Account {
  readonly uid: number
  readonly gid: number
  /** Undefined if no database knows the user, who then is a member of one group only. */
  readonly entry: Entry | undefined
}

/**
 * The account that `user` and `group` (names or numbers) spell; undefined if neither is given.
 * @throws ListenError `unknown-account`; AccountError when it cannot be
 */
export function accountFor(user: string | undefined, group: string | undefined): Account | undefined {
  if (user === undefined && group === undefined) return undefined
  const [uid, gid] = [process.getuid?.() ?? -1, process.getgid?.() ?? -1]
  const entry = user === undefined ? undefined : userEntry(user)
  const wanted: Account = {
    uid: user === undefined ? uid : (entry?.uid ?? userNumber(user)),
    gid: group === undefined ? (entry?.gid ?? gid) : groupNumber(group),
    entry,
  }
  if (uid !== 0 && (wanted.uid !== uid || wanted.gid !== gid)) {
    throw new AccountError('only root can become another user or group: start as root, or leave it out')
  }
  if (user !== undefined && entry === undefined && group === undefined) {
    throw new AccountError('no user has that number, so that its group is not known: say group= as well')
  }
  return wanted
}

/** A setting that cannot be carried out; the message does not name it. */
export class AccountError extends Error {
  override readonly name = 'AccountError'
}

/** Missing in the types of Node 20. */
interface InitGroups {
  initgroups?(user: string, extraGroup: number): void
}

/**
 * Makes this process that user for good, with the groups that the user is a member of, as login(1) does, and says so in
 * `HOME`, `USER` and `LOGNAME`, which programs look into. Threads are of the same process.
 */
export function become({ uid, gid, entry }: Account): void {
  const { setgid, setuid, setgroups, initgroups } = process as NodeJS.Process & InitGroups
  if (process.getuid?.() === 0) {
    if (entry === undefined) setgroups?.([gid])
    else initgroups?.(entry.name, gid)
    setgid?.(gid)
    setuid?.(uid)
  }
  if (entry === undefined) return
  process.env.HOME = entry.home
  process.env.USER = entry.name
  process.env.LOGNAME = entry.name
}
