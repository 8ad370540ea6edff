/**
 * The channel to the process that has started this one, where it is ours. An application finds none, as if Node had been
 * started by hand: what it has to say to pm2 or to node:cluster would be taken for notices of a worker.
 */

export type Send = NonNullable<NodeJS.Process['send']>

/** Takes the channel from whoever is loaded later. Undefined if there is none. */
export function takeSend(): Send | undefined {
  const send = process.send?.bind(process)
  Reflect.deleteProperty(process, 'send')
  return send
}
