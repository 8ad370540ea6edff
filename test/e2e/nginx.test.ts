import { nginx, nginxKeepAlive, nginxOverTcp, nginxStreamingUploads } from '../support/nginx.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(nginx)
proveBehind(nginxKeepAlive)
proveBehind(nginxStreamingUploads, ['node'])
proveBehind(nginxOverTcp, ['node'])
