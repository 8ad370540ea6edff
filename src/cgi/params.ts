/**
 * CGI variables as they came over the wire, each character one byte (latin1). In order; only from a web server that sends
 * the same names in another order each time, as Caddy does, in one order for these names. A name may occur twice: its
 * values are in order in any case.
 *
 * `names` is the SAME array for every request with the same names in the same order, so that whatever is derived from the
 * names alone can be kept per array (src/cgi/plan.ts). Never change either array.
 */
export interface Params {
  readonly names: readonly string[]
  readonly values: readonly string[]
  /** The pairs as they came over FastCGI, one character a byte, still encoded: the cheapest form to pass on. */
  readonly text?: string
}
