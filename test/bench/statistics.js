/**
 * Figures from rounds that scatter. On a shared machine a neighbour makes everything slower for a while, often by more
 * than the differences that matter; so peers are measured in many short rounds in turn, a ratio is taken within each
 * round, and the median of those is what counts.
 */

export const sorted = values => [...values].sort((a, b) => a - b)

/** Interpolated quantile of sorted values. */
export function quantile(ordered, fraction) {
  const position = fraction * (ordered.length - 1)
  const below = Math.floor(position)
  const above = Math.ceil(position)
  return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
}

/**
 * Median, quartiles, and the 95 % confidence interval of the median, read off the order statistics (no assumption about
 * the shape of the noise; normal approximation of the binomial ranks; the whole range with fewer than six values).
 */
export function summary(values) {
  const ordered = sorted(values)
  const count = ordered.length
  const reach = 0.98 * Math.sqrt(count)
  const rank = index => ordered[Math.min(count - 1, Math.max(0, index))]
  return {
    count,
    min: ordered[0],
    lowerQuartile: quantile(ordered, 0.25),
    median: quantile(ordered, 0.5),
    upperQuartile: quantile(ordered, 0.75),
    max: ordered[count - 1],
    low: rank(Math.floor(count / 2 - reach)),
    high: rank(Math.ceil(count / 2 + reach) - (count % 2 === 0 ? 1 : 0)),
  }
}
