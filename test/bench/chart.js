/**
 * The chart: CPU per small request, a bar for each peer, as an SVG file that needs nothing but itself.
 */

import { PEERS } from './peers.js'

/** From top to bottom: what runfcgi is held against, then runfcgi; pairs of the same framework side by side. */
const BARS = [
  ['hello', 'floor'],
  ['hello', 'libfcgi'],
  ['hello', 'wsgi'],
  ['hello', 'node'],
  ['hello', 'http'],
  ['hello', 'fetch'],
  ['hello', 'hono-http'],
  ['frameworks', 'fastify'],
  ['frameworks', 'fastify-http'],
  ['frameworks', 'koa'],
  ['frameworks', 'koa-http'],
  ['frameworks', 'express'],
  ['frameworks', 'express-http'],
  ['hello', 'php-fpm'],
  ['hello', 'go'],
  ['hello', 'node-fastcgi'],
]

const WIDTH = 860
const LEFT = 250
const RIGHT = 110
const ROW = 26
const TOP = 62
const BOTTOM = 46

/** A bar that is far longer than the others is cut off at this multiple of the third longest. */
const CUT = 1.25

const escaped = text => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** A round number of µs between two lines of the grid. */
const stepOf = longest => [5, 10, 20, 50, 100, 200].find(step => longest / step <= 8) ?? 500

function bar({ name, value, low, high }, row, limit, scale) {
  const [y, ours] = [TOP + row * ROW, PEERS[name].title.includes('runfcgi')]
  const end = LEFT + scale(Math.min(value, limit))
  const cut = value > limit
  const afterBar = cut ? end : Math.max(end, LEFT + scale(Math.min(high, limit)))
  const label = `${value.toFixed(value < 100 ? 1 : 0)} µs`
  return [
    `<text x="${LEFT - 10}" y="${y + 14}" text-anchor="end"${ours ? ' font-weight="600"' : ''}>${escaped(PEERS[name].title)}</text>`,
    `<rect x="${LEFT}" y="${y + 2}" width="${(end - LEFT).toFixed(1)}" height="${ROW - 9}" rx="2" fill="${ours ? '#2f7d4f' : '#a9b4bd'}"/>`,
    cut
      ? `<path d="M${(end - 14).toFixed(1)} ${y} l5 ${ROW - 5} m5 0 l-5 -${ROW - 5}" stroke="#fff" stroke-width="2" fill="none"/>`
      : `<path d="M${(LEFT + scale(low)).toFixed(1)} ${y + 10} H${(LEFT + scale(Math.min(high, limit))).toFixed(1)}" stroke="#1c2a33" stroke-width="1.5"/>`,
    `<text x="${(afterBar + 7).toFixed(1)}" y="${y + 14}">${label}</text>`,
  ].join('\n')
}

/**
 * The chart as SVG; '' if nothing that it shows was measured.
 * @param figures what --json writes
 */
export function chart({ cases, node, machine }) {
  const bars = BARS.flatMap(([caseName, name]) => {
    const measured = cases[caseName]?.[name]?.microseconds
    return measured ? [{ name, value: measured.median, low: measured.low, high: measured.high }] : []
  })
  if (bars.length === 0) return ''
  const ordered = bars.map(({ value }) => value).sort((a, b) => b - a)
  const limit = Math.min(ordered[0], (ordered[2] ?? ordered[0]) * CUT)
  const scale = value => (value / limit) * (WIDTH - LEFT - RIGHT)
  const height = TOP + bars.length * ROW + BOTTOM
  const step = stepOf(limit)
  const grid = Array.from({ length: Math.floor(limit / step) + 1 }, (_, index) => index * step).map(value => {
    const x = (LEFT + scale(value)).toFixed(1)
    return `<path d="M${x} ${TOP - 4} V${height - BOTTOM}" stroke="#e3e8eb"/><text x="${x}" y="${height - BOTTOM + 16}" text-anchor="middle" fill="#5d6b75">${value}</text>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#1c2a33" role="img">`,
    '<title>CPU time of the server for one small request</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    '<text x="20" y="26" font-size="16" font-weight="600">CPU time of the server for one small request, in µs (less is better)</text>',
    `<text x="20" y="46" fill="#5d6b75">${escaped(`keep-alive, 16 connections, Node.js ${node}, ${machine}; lines: 95 % interval of the median`)}</text>`,
    ...grid,
    ...bars.map((entry, row) => bar(entry, row, limit, scale)),
    `</svg>\n`,
  ].join('\n')
}
