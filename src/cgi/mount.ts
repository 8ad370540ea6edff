/**
 * Where an application is mounted: from the path the client asked for (REQUEST_URI, percent-decoded) and the SCRIPT_NAME and
 * PATH_INFO of any web server to the SCRIPT_NAME and PATH_INFO that RFC 3875 §4.1.5 and §4.1.13 mean. Strings in, strings
 * out; all of them one character a byte.
 *
 * No web server is believed alone: the path that was asked for tells which habit is at work.
 */

import { decodePath } from './url.ts'

/** The path is `scriptName + pathInfo`; scriptName does not end with a slash, pathInfo is empty or starts with one. */
export interface Split {
  readonly scriptName: string
  readonly pathInfo: string
}

/** What the web server sent; '' for what it did not send. */
export interface PathVariables {
  /** The path of REQUEST_URI, percent-decoded. */
  readonly asked: string
  readonly scriptName: string
  readonly pathInfo: string
  readonly scriptFilename: string
  readonly serverSoftware: string
}

/** What a script's file is called: a SCRIPT_NAME like this that nobody asked for is a front controller. */
const SCRIPT_FILE = /\.(?:fcgi|cgi|[cm]?js)$/

/** Whether `path` is `mount` ('' for the root) or lies below it. */
export const isBelow = (path: string, mount: string): boolean =>
  path.startsWith(mount) && (path.length === mount.length || path[mount.length] === '/')

const lastSegment = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

/** Puts the slash between the two parts where it belongs. */
function split(scriptName: string, pathInfo: string): Split {
  let mount = scriptName === '' || scriptName.startsWith('/') ? scriptName : `/${scriptName}`
  let rest = pathInfo
  if (mount.endsWith('/')) {
    if (!rest.startsWith('/')) rest = `/${rest}`
    while (mount.endsWith('/')) mount = mount.slice(0, -1)
  } else if (rest !== '' && !rest.startsWith('/')) rest = `/${rest}`
  return { scriptName: mount, pathInfo: rest }
}

/** Repeated slashes made one and dot segments resolved, as web servers do before they fill in SCRIPT_NAME and PATH_INFO. */
function normalise(path: string): string {
  if (!path.includes('//') && !path.includes('/.')) return path
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  const folder = segments.length > 0 && /\/\.{0,2}$/.test(path)
  return `/${segments.join('/')}${folder ? '/' : ''}`
}

/**
 * The path below `ProxyPass`, which mod_proxy_fcgi tells in SCRIPT_FILENAME only: `proxy:fcgi://localhost/page` (the bare
 * path with `ProxyFCGIBackendType GENERIC`). For a handler that was set for files it is the file's path.
 */
function proxiedPath(scriptFilename: string): string {
  const scheme = scriptFilename.startsWith('proxy:') ? scriptFilename.indexOf('://') : -1
  if (scheme < 0) return scriptFilename
  const start = scriptFilename.indexOf('/', scheme + 3)
  return start < 0 ? '' : normalise(decodePath(scriptFilename.slice(start)))
}

/** SCRIPT_NAME without PATH_INFO, and it is the path that was asked for. */
function splitWhole({ scriptName, scriptFilename, serverSoftware }: PathVariables): Split {
  // nginx, HAProxy: the whole path. The others would have put what follows the mount point into PATH_INFO.
  if (scriptName.endsWith('/')) return split('', scriptName)
  if (serverSoftware.startsWith('lighttpd')) return split(scriptName, '')
  if (scriptFilename !== '' && serverSoftware.startsWith('Apache')) return split(scriptName, '')
  return split('', scriptName)
}

/** SCRIPT_NAME without PATH_INFO, and it is not the path that was asked for. */
function splitScript(asked: string, script: string): Split {
  if (script === '') return split('', asked)
  // SCRIPT_NAME was set by hand in the web server's configuration, to the mount point.
  if (isBelow(asked, script)) return split(script, asked.slice(script.length))
  // The web server took the mount point off.
  if (asked.endsWith(script) && script.startsWith('/')) return split(asked.slice(0, -script.length), script)
  // Every request is sent to one script (`RewriteRule . /site.fcgi`), which is not what the client asked for.
  if (SCRIPT_FILE.test(script) && lastSegment(asked) !== lastSegment(script)) {
    const folder = script.slice(0, script.lastIndexOf('/'))
    return isBelow(asked, folder) ? split(folder, asked.slice(folder.length)) : split('', asked)
  }
  // Rewritten.
  return split('', script)
}

/** SCRIPT_NAME and PATH_INFO, and together they are not the path that was asked for. */
function splitInfo(asked: string, script: string, info: string): Split {
  if (asked === script + info) return split(script, info)
  // mod_proxy_fcgi with `ProxyPass /app fcgi://localhost/` adds the slash at the end.
  if (asked === script && info === '/') return split(script, '')
  // IIS (see Python's wsgiref.handlers.IISCGIHandler): the whole path also in PATH_INFO.
  if (asked === info && isBelow(info, script) && info !== script) return split(script, info.slice(script.length))
  // `RewriteRule ^(.*)$ /site.fcgi/$1` adds to the path, Caddy's `handle_path` takes off: PATH_INFO is what both leave alone.
  // With `proxy-fcgi-pathinfo` and an escape in the path, mod_proxy_fcgi does not split SCRIPT_NAME.
  if (asked.endsWith(info) && info.startsWith('/')) return split(asked.slice(0, -info.length), info)
  // Rewritten.
  return split(script, info)
}

/** Derives the split from what the web server sent. */
export function deriveSplit(sent: PathVariables): Split {
  const { asked, serverSoftware } = sent
  let { scriptName: script, pathInfo: info } = sent
  if (info === '' && serverSoftware.startsWith('Apache')) {
    info = proxiedPath(sent.scriptFilename)
    if (info.startsWith('/') && script.endsWith(info)) script = script.slice(0, -info.length)
    else info = ''
  }
  if (info === '') {
    if (asked === script || asked === '') return splitWhole(sent)
    const normal = normalise(asked)
    return normal === script ? splitWhole(sent) : splitScript(normal, script)
  }
  const exact = asked.length === script.length + info.length && asked.startsWith(script) && asked.endsWith(info)
  if (exact || asked === '') return split(script, info)
  return splitInfo(normalise(asked), script, normalise(decodePath(info)))
}

/** The split when the person said where the application is mounted. A path that is not below it is left whole. */
export function splitAt(mount: string, asked: string, derived: Split): Split {
  const point = mount.endsWith('/') ? mount.replace(/\/+$/, '') : mount
  const path = derived.scriptName + derived.pathInfo
  if (isBelow(path, point)) return split(point, path.slice(point.length))
  // The web server took the mount point off and rewrote what was left.
  if (isBelow(asked, point)) return split(point, path)
  return split('', path)
}
