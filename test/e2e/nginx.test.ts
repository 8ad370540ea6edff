import { proven } from './kinds.ts'
import { proveAll } from './prove-behind.ts'

proveAll(proven.nginx)
