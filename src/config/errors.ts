/** The one kind of error that the person at the keyboard can cause; the command prints its message and exits with 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
