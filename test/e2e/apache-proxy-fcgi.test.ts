import { apacheProxy, apacheProxyReuse } from '../support/apache.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(apacheProxy)
proveBehind(apacheProxyReuse)
