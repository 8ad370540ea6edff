/** Making one class pass for another in every `instanceof`. */

type Class = abstract new (...args: never[]) => object

const ordinaryHasInstance = Function.prototype[Symbol.hasInstance]

/**
 * Instances of `own` count as instances of `native`, and the other way round; subclasses of `own` stay themselves. `own` also
 * takes over the name and the static methods that it does not have itself.
 */
export function standIn(own: Class, native: Class): void {
  if (!(own.prototype instanceof native)) Object.setPrototypeOf(own.prototype, native.prototype)
  Object.setPrototypeOf(own, native)
  Object.defineProperty(own, 'name', { value: native.name })
  Object.defineProperty(own, Symbol.hasInstance, {
    value(this: Class, value: unknown): boolean {
      return ordinaryHasInstance.call(this === own ? native : this, value)
    },
  })
}
