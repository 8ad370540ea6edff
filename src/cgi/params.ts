/**
 * CGI variables as they came over the wire, in order, each character one byte (latin1).
 *
 * `names` is the SAME array for every request whose names came in the same order (web servers send the same names in the
 * same order), so that whatever is derived from the names alone can be kept per array (src/cgi/plan.ts). A name may occur
 * twice. Never change either array.
 */
export interface Params {
  readonly names: readonly string[]
  readonly values: readonly string[]
  /** The pairs as they came over FastCGI, one character a byte, still encoded: the cheapest form to pass on. */
  readonly text?: string
}
