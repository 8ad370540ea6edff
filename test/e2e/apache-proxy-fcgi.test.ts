import { apacheProxy, apacheProxyOverTcp, apacheProxyReuse } from '../support/apache.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(apacheProxy)
proveBehind(apacheProxyReuse)
proveBehind(apacheProxyOverTcp, ['node'])
