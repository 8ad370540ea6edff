/** mod_fastcgi is not in Debian: what speaks here is an imitation of it (test/support/mod-fastcgi.ts). */

import { proven } from './kinds.ts'
import { proveAll } from './prove-behind.ts'

proveAll(proven.apacheModFastcgi)
