/** Bytes that this process has in memory; 0 where nobody can tell (Linux without /proc). */
export function residentMemory(): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return 0
  }
}
