import { caddy } from '../support/caddy.ts'
import { h2o } from '../support/h2o.ts'
import { haproxy } from '../support/haproxy.ts'
import { proveBehind } from './prove-behind.ts'

for (const kind of [haproxy, caddy, h2o]) proveBehind(kind)
