/** Processes that are no children of the test: daemons and their workers. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Alive: not gone, and not only waiting to be reaped. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

/** KILL, unless it has ended meanwhile. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** What the process has open: paths, and `socket:[inode]`. Nothing when it has ended; not what it closes meanwhile. */
export function openIn(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  return descriptorsIn(folder)
    .map(fd => linkOf(`${folder}/${fd}`))
    .filter(path => path !== '')
}

function descriptorsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return []
  }
}

/** Processes whose current folder it is: those that were started there, and theirs. */
export function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => linkOf(`/proc/${pid}/cwd`) === folder)
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return '' // It has ended meanwhile, or was closed.
  }
}

/** TCP ports that the process itself listens on, in the order of its descriptors. */
export function listeningPorts(pid: number): number[] {
  const listening = ['tcp', 'tcp6'].flatMap(name =>
    readFileSync(`/proc/${pid}/net/${name}`, 'latin1')
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .filter(columns => columns[3] === '0A'),
  )
  return openIn(pid).flatMap(path => {
    const inode = /^socket:\[(\d+)\]$/.exec(path)?.[1]
    const row = inode === undefined ? undefined : listening.find(columns => columns[9] === inode)
    return row === undefined ? [] : [Number.parseInt(row[1]?.split(':')[1] ?? '', 16)]
  })
}
