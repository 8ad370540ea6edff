/**
 * What a web server and an application say to each other: a Unix socket that passes everything on to another one and
 * writes down each record, with a parser of its own that knows headers and lengths and nothing else.
 */

import { chmodSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'

export interface TappedRecord {
  /** Connections count from 0. */
  readonly connection: number
  readonly from: 'web server' | 'application'
  readonly type: number
  readonly id: number
  /** Bytes of content. */
  readonly length: number
}

export interface Wiretap {
  readonly records: readonly TappedRecord[]
  close(): Promise<void>
}

/** Listens at `path` and passes on to `target`. */
export async function startWiretap(path: string, target: string): Promise<Wiretap> {
  const records: TappedRecord[] = []
  const open = new Set<Socket>()
  let connections = 0
  const server = createServer({ allowHalfOpen: true }, near => {
    const connection = connections++
    const far = createConnection({ path: target, allowHalfOpen: true })
    join(near, far, recorder({ connection, from: 'web server' }, records))
    join(far, near, recorder({ connection, from: 'application' }, records))
    for (const socket of [near, far]) {
      open.add(socket)
      socket.on('error', () => undefined).on('close', () => open.delete(socket))
    }
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  chmodSync(path, 0o666)
  return {
    records,
    async close() {
      const closed = new Promise(resolve => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

function join(from: Socket, to: Socket, record: (chunk: Buffer) => void): void {
  from.on('data', record)
  from.pipe(to)
  from.on('close', () => to.destroySoon())
}

const HEADER = 8

function recorder(side: Pick<TappedRecord, 'connection' | 'from'>, records: TappedRecord[]): (chunk: Buffer) => void {
  let head = Buffer.alloc(0)
  let toSkip = 0
  return chunk => {
    let at = 0
    while (at < chunk.length) {
      const skipped = Math.min(toSkip, chunk.length - at)
      toSkip -= skipped
      at += skipped
      const taken = chunk.subarray(at, at + HEADER - head.length)
      if (toSkip > 0 || taken.length === 0) return
      head = Buffer.concat([head, taken])
      at += taken.length
      if (head.length < HEADER) return
      const length = head.readUInt16BE(4)
      records.push({ ...side, type: head.readUInt8(1), id: head.readUInt16BE(2), length })
      toSkip = length + head.readUInt8(6)
      head = Buffer.alloc(0)
    }
  }
}

/** The most requests that were open at the same time on one connection. */
export function mostAtOnce(records: readonly TappedRecord[]): number {
  const [BEGIN, END] = [1, 3]
  const open = new Map<number, number>()
  let most = 0
  for (const { connection, type } of records) {
    if (type !== BEGIN && type !== END) continue
    const now = (open.get(connection) ?? 0) + (type === BEGIN ? 1 : -1)
    open.set(connection, now)
    most = Math.max(most, now)
  }
  return most
}
