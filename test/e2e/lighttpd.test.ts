import { lighttpd, lighttpdSpawning } from '../support/lighttpd.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(lighttpd)
proveBehind(lighttpdSpawning, ['node'])
