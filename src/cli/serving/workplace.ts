/** The folder and the permission bits that the application is to have. */

import type { Resolved } from '../../config/resolve.ts'
import { errnoOf } from '../../server/thrown.ts'
import { CommandError } from '../errors.ts'

/** To be done again at each reload: `workdir` may be a link to another folder by now. @throws CommandError */
export function enterWorkplace({ config, describe }: Resolved): void {
  if (config.umask !== undefined) process.umask(config.umask)
  if (config.workdir === undefined) return
  try {
    process.chdir(config.workdir)
  } catch (error) {
    const why = `cannot change to that folder (${errnoOf(error)})`
    throw new CommandError(`${describe('workdir')}: ${why}: create it, or check its rights`)
  }
}
