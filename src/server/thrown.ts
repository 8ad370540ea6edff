/** What was thrown, by the system or by somebody else's code: nothing is known of it. */

/** The `code` of a system error (`ENOENT`, …), or the empty string. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** With the message in front; the message alone if there is no stack. */
export function stackOf(error: unknown): string {
  return (error instanceof Error && error.stack) || messageOf(error)
}
