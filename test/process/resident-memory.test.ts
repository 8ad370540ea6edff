import { expect, it, vi } from 'vitest'
import { residentMemory } from '../../src/process/resident-memory.ts'

it('tells bytes, and 0 where Node cannot find out, which must not end a child', () => {
  expect(residentMemory()).toBeGreaterThan(1_000_000)
  const rss = vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
    throw Object.assign(new Error('ENOENT: no such file or directory, uv_resident_set_memory'), { code: 'ENOENT' })
  })
  expect(residentMemory()).toBe(0)
  rss.mockRestore()
})
