import { lighttpd } from '../support/lighttpd.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(lighttpd)
