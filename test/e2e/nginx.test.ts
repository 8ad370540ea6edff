import { nginx, nginxKeepAlive } from '../support/nginx.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(nginx)
proveBehind(nginxKeepAlive)
