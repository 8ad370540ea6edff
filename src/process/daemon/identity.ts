/**
 * Whether a process lives, and whether it is the one that is meant: process ids are used again, in containers soon. Linux
 * tells in /proc which files a process has open; elsewhere its command line has to do.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { errnoOf } from '../../server/thrown.ts'

/** The inode of an open file cannot become another's. */
export interface FileNumber {
  readonly dev: number
  readonly ino: number
}

/** Gone, or a zombie, which only waits for its parent to notice. */
export const isGone = (pid: number): boolean => !answersSignals(pid) || isZombie(pid)

/** Sends a signal to a process that may have ended meanwhile. @throws the system's error if it is another user's */
export function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error
  }
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) === 'EPERM'
  }
}

function isZombie(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false // Gone meanwhile, or a system without /proc.
  }
}

/** Whether the process has the file open. `undefined`: the system does not tell. */
export function hasOpen(pid: number, file: FileNumber): boolean | undefined {
  const folder = `/proc/${pid}/fd`
  try {
    return readdirSync(folder).some(fd => isFile(`${folder}/${fd}`, file))
  } catch (error) {
    return errnoOf(error) === 'ENOENT' && existsSync('/proc/self/fd') ? false : undefined
  }
}

function isFile(path: string, { dev, ino }: FileNumber): boolean {
  try {
    const file = statSync(path)
    return file.dev === dev && file.ino === ino
  } catch {
    return false // Closed meanwhile.
  }
}

/** Whether the process calls itself what a daemon of ours does (src/cli/serving/announce.ts). */
export const isCalledLikeUs = (pid: number): boolean => /^runfcgi: (?!worker)|\/runfcgi(\.js)?\s/.test(commandOf(pid))

function commandOf(pid: number): string {
  try {
    if (existsSync('/proc/self/cmdline')) return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
  } catch {
    return '' // Gone, or not ours to look at.
  }
}
