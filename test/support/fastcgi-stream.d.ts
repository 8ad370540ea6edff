declare module 'fastcgi-stream' {
  import type { EventEmitter } from 'node:events'

  export interface FastCGIRecord {
    readonly TYPE: number
    readonly [field: string]: unknown
  }

  export class FastCGIStream extends EventEmitter {
    constructor(stream: EventEmitter & { write(chunk: Buffer): unknown })
    on(event: 'record', listener: (id: number, record: FastCGIRecord) => void): this
    writeRecord(id: number, record: object, callback?: () => void): boolean
  }

  type Pairs = readonly (readonly [name: string, value: string])[]
  type Content = string | Buffer
  interface Records {
    readonly BeginRequest: new (role: number, flags: number) => object
    readonly AbortRequest: new () => object
    readonly EndRequest: new (appStatus: number, protocolStatus: number) => object
    readonly Params: new (params?: Pairs) => object
    readonly StdIn: new (content?: Content) => object
    readonly StdOut: new (content?: Content) => object
    readonly StdErr: new (content?: Content) => object
    readonly Data: new (content?: Content) => object
    readonly GetValues: new (names: readonly string[]) => object
    readonly GetValuesResult: new (values: Pairs) => object
    readonly UnknownType: new (type: number) => object
  }
  export const records: Records

  const library: { FastCGIStream: typeof FastCGIStream; records: Records }
  export default library
}
