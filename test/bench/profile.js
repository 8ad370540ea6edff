/**
 * Where the time went: a summary of .cpuprofile files.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

function place({ functionName, url, lineNumber }) {
  const file = url.startsWith('file:') ? relative(root, fileURLToPath(url)) : url
  return `${functionName || '(anonymous)'}${file ? `  ${file}:${lineNumber + 1}` : ''}`
}

/** What a function belongs to: ours, a package, Node itself, or the engine's own entries such as the collector. */
function ownerOf({ url, functionName }) {
  const match = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)
  if (match) return match[1]
  if (url.includes('/dist/')) return 'runfcgi'
  if (url.startsWith('node:')) return 'node'
  return url ? 'bench' : functionName
}

/**
 * Self time per function of one profile, from `after` (seconds since its start) on.
 * @returns {{ seconds: number, functions: Map<string, number>, owners: Map<string, number> }} microseconds
 */
function selfTimes(profile, after) {
  const frames = new Map(profile.nodes.map(node => [node.id, node.callFrame]))
  const functions = new Map()
  const owners = new Map()
  let at = 0
  let busy = 0
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index]
    at += delta
    const frame = frames.get(id)
    if (at < after * 1e6 || frame.functionName === '(idle)') return
    busy += delta
    functions.set(place(frame), (functions.get(place(frame)) ?? 0) + delta)
    owners.set(ownerOf(frame), (owners.get(ownerOf(frame)) ?? 0) + delta)
  })
  return { busy, functions, owners }
}

/** The top of all profiles in a folder, as text. `perRequest`: µs of CPU a request took, to show shares as µs. */
export function profileSummary(directory, { after, microseconds, top = 45 }) {
  return readdirSync(directory)
    .filter(name => name.endsWith('.cpuprofile'))
    .map(name => {
      const { busy, functions, owners } = selfTimes(JSON.parse(readFileSync(join(directory, name), 'utf8')), after)
      const lines = entries =>
        [...entries]
          .sort((a, b) => b[1] - a[1])
          .slice(0, top)
          .map(([what, time]) => {
            const share = time / busy
            return `${(share * microseconds).toFixed(2).padStart(8)} µs ${(share * 100).toFixed(1).padStart(5)} %  ${what}\n`
          })
          .join('')
      return `\n${join(directory, name)}\n\n${lines(owners)}\n${lines(functions)}`
    })
    .join('')
}
