#!/usr/bin/env node
require('../dist/load.cjs')
  .load('cli.cjs')
  .main(process.argv.slice(2))
  .then(code => {
    process.exitCode = code
  })
