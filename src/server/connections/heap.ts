/**
 * What glibc's malloc does with memory that is freed. By default it gives the kernel back all free memory above 128 KiB at
 * the top of its heap, and maps each block above 128 KiB by itself. Large bodies pass through many buffers, which V8 frees
 * by the hundred; that the kernel gets them back and has to clear them anew for the next ones was up to 70 % of what an
 * upload costs (test/bench).
 *
 * Both bounds follow what a program does (mallopt(3), M_MMAP_THRESHOLD): when a block that was mapped by itself is freed,
 * blocks of its size come from the heap from then on, of which twice as much may be free. So one such block is freed, which
 * was never touched and so never was memory. Where an operator has set one of the bounds (MALLOC_TRIM_THRESHOLD_ and the
 * like), and with any other malloc, it changes nothing.
 */

/**
 * Half of what a process keeps at most after large bodies: a little more than V8 frees at once (`kMaxSemiSpaceSize` times
 * two). That is 32 MiB, and 64 from Node 24 on, for which glibc follows just far enough (`DEFAULT_MMAP_THRESHOLD_MAX`).
 */
const BLOCK = Number.parseInt(process.versions.v8, 10) < 13 ? 20 * 1024 * 1024 : 32 * 1024 * 1024 - 65_536

/** What is worth it. */
const LARGE = 32 * 1024

let told = false

/** A piece of a body of `length` bytes passes through this process. */
export function passesThrough(length: number): void {
  if (told || length < LARGE) return
  told = true
  // Handed to somebody, so that whoever bundles this does not drop it as of no use; V8 frees it with the rest of the garbage.
  setImmediate(letGo, new ArrayBuffer(BLOCK))
}

function letGo(_block: ArrayBuffer): void {}
