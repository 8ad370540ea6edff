/** What systemd shows of a running server, and what its watchdog is fed on. */

import type { Notifier } from '../../process/daemon/notify.ts'
import { formatAddress } from '../../server/sockets/address.ts'
import type { Engine } from '../engines/engine.ts'

/** It serves; from now on the watchdog is fed, by an event loop that turns and a pool that serves. */
export function tellServiceManager(notify: Notifier, engine: Engine): void {
  notify.ready(statusOf(engine))
  notify.watch(
    () => engine.pool?.healthy ?? true,
    () => statusOf(engine),
  )
}

function statusOf({ addresses, poolStatus, traffic }: Engine): string {
  const { requests, inflight } = traffic()
  const children = poolStatus?.().children.filter(({ phase }) => phase === 'ready').length
  const served = `${requests} requests, ${inflight} of them running`
  return [
    `Serving on ${addresses.map(formatAddress).join(' ')}`,
    ...(children === undefined ? [] : [`${children} ready`]),
    served,
  ].join('; ')
}
