/**
 * Where an application is mounted: from the path the client asked for (REQUEST_URI, percent-decoded) and the SCRIPT_NAME and
 * PATH_INFO of any web server to the SCRIPT_NAME and PATH_INFO that RFC 3875 §4.1.5 and §4.1.13 mean. Strings in, strings
 * out; all of them one character a byte.
 *
 * No web server is believed alone: the path that was asked for tells which habit is at work.
 */

/** The path is `scriptName + pathInfo`; scriptName does not end with a slash, pathInfo is empty or starts with one. */
export interface Split {
  readonly scriptName: string
  readonly pathInfo: string
}

/** What a script's file is called: a SCRIPT_NAME like this that nobody asked for is a front controller. */
const SCRIPT_FILE = /\.(?:fcgi|cgi|[cm]?js)$/

/** Whether `path` is `mount` or lies below it. */
const isBelow = (path: string, mount: string): boolean =>
  path.startsWith(mount) && (path.length === mount.length || path[mount.length] === '/')

const lastSegment = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

/** Puts the slash between the two parts where it belongs. */
function split(scriptName: string, pathInfo: string): Split {
  let mount = scriptName
  let rest = pathInfo
  if (mount.endsWith('/')) {
    if (!rest.startsWith('/')) rest = `/${rest}`
    while (mount.endsWith('/')) mount = mount.slice(0, -1)
  } else if (rest !== '' && !rest.startsWith('/')) rest = `/${rest}`
  return { scriptName: mount, pathInfo: rest }
}

/** Repeated slashes made one and dot segments resolved, as web servers do before they fill in SCRIPT_NAME and PATH_INFO. */
function normalise(path: string): string {
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  const folder = segments.length > 0 && /\/\.{0,2}$/.test(path)
  return `/${segments.join('/')}${folder ? '/' : ''}`
}

/** The split, if `asked` shows how this web server fills in the two variables. */
function recognise(asked: string, script: string, info: string, splits: boolean): Split | undefined {
  if (info === '') {
    // Either the whole path (nginx, Apache's ProxyPass) or the application's own address without anything after it.
    if (asked === script) return splits && !script.endsWith('/') ? split(script, '') : split('', script)
    if (script === '') return split('', asked)
    // Every request was sent to one script (`RewriteRule . /site.fcgi`), which is not what the client asked for.
    if (!SCRIPT_FILE.test(script) || lastSegment(asked) === lastSegment(script)) return undefined
    const folder = script.slice(0, script.lastIndexOf('/'))
    return isBelow(asked, folder) ? split(folder, asked.slice(folder.length)) : split('', asked)
  }
  if (asked.length === script.length + info.length && asked.startsWith(script) && asked.endsWith(info)) {
    return split(script, info)
  }
  // h2o: the whole path in PATH_INFO and the mount point in SCRIPT_NAME.
  if (asked === info && script !== '' && isBelow(info, script)) return split(script, info.slice(script.length))
  // `RewriteRule ^(.*)$ /site.fcgi/$1`: what was added to the path stands in SCRIPT_NAME.
  if (asked.endsWith(info) && info.startsWith('/')) return split(asked.slice(0, -info.length), info)
  return undefined
}

/**
 * @param asked the path of REQUEST_URI, decoded; empty when it is not known
 * @param splits whether this web server would have set PATH_INFO, had there been anything after SCRIPT_NAME
 */
export function deriveSplit(asked: string, script: string, info: string, splits: boolean): Split {
  if (asked !== '') {
    const recognised = recognise(asked, script, info, splits)
    if (recognised !== undefined) return recognised
    const normalised = normalise(asked)
    const again = normalised === asked ? undefined : recognise(normalised, script, info, splits)
    if (again !== undefined) return again
  }
  // The web server rewrote the path; where it did not say what is the mount point, there is none.
  return info === '' ? split('', script) : split(script, info)
}

/** The split when the person said where the application is mounted. A path that is not below it is left whole. */
export function splitAt(mount: string, asked: string, derived: Split): Split {
  const point = mount.endsWith('/') ? mount.replace(/\/+$/, '') : mount
  const path = derived.scriptName + derived.pathInfo
  if (isBelow(path, point)) return split(point, path.slice(point.length))
  // The web server took the mount point off before it filled in the variables.
  if (isBelow(asked, point)) return split(point, asked.slice(point.length))
  return split('', path)
}
