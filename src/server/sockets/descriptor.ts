/** Descriptors that this process has been given: whether they are sockets to listen on, and how the standard ones are let go. */

import { closeSync, fstatSync, openSync, type Stats } from 'node:fs'
import { devNull } from 'node:os'
import { ListenError } from './listen-error.ts'
import { canListen, isListening } from './socket-holder.ts'

function statOf(fd: number): Stats {
  try {
    return fstatSync(fd)
  } catch (error) {
    throw new ListenError('descriptor', `descriptor ${fd} is not open: whoever starts the program must pass it`, error)
  }
}

/**
 * Whether `fd` is an open, listening socket: how a program finds out that a web server started it (FastCGI 1.0 §2.2).
 * Where the system does not tell sockets apart, any socket counts.
 */
export function isListeningSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket() && isListening(fd) !== false
  } catch {
    return false // Not open.
  }
}

/** One that does not listen yet will. @throws ListenError unless `fd` is a socket that can listen */
export function checkDescriptor(fd: number): void {
  if (!statOf(fd).isSocket()) {
    throw new ListenError('descriptor', `descriptor ${fd} is not a socket: pass a listening socket, or set socket=`)
  }
  if (canListen(fd) === false) {
    const what = `descriptor ${fd} is a connection, or a socket for datagrams`
    throw new ListenError('descriptor', `${what}: pass a listening one (Accept=no in a socket unit)`)
  }
}

/**
 * libuv leaves descriptors 0 to 2 open when their handle closes: a web server that has passed the socket there would go on
 * connecting to a process that does not accept any more. No other file may get such a number.
 */
export function freeStandard(fd: number): void {
  if (fd > 2) return
  closeSync(fd)
  openSync(devNull, 'r+')
}
