import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/build-when-stale.ts'],
    setupFiles: ['test/support/unseen-errors.ts'],
    // Longer than a wait in vain (test/support/until.ts), which can say what it waited for.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // Hundreds of tests start daemons and web servers on a machine that others use as well. What needed a second attempt is
    // named in the output ("retry x1"): it is a bug of the test or of the program all the same.
    retry: process.env.CI ? 1 : 0,
  },
})
