/**
 * Streams and emitters that cost nothing until used: what `class X extends unopened(Readable)` makes has the methods of a
 * Readable and has not run its constructor. X runs it when needed, `Readable.call(this, options)`, as node's documentation
 * of the pre-ES6 style allows; an EventEmitter never needs it.
 */

/** A superclass with the methods of `stream` whose constructor does nothing. */
export function unopened<T extends object>(stream: { prototype: T }): new () => T {
  function Unopened(): void {}
  Unopened.prototype = stream.prototype
  return Unopened as unknown as new () => T
}
