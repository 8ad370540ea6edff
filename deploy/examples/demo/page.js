/** The demo's page: each card talks to the application behind it. */

const $ = id => document.getElementById(id)
const seconds = ms => `${(ms / 1000).toFixed(2)} s`

function streaming() {
  let source = null
  let before = 0
  const bars = []
  for (let count = 0; count < 40; count++) bars.push($('bars').appendChild(document.createElement('i')))
  const gaps = []

  function onEvent({ data }) {
    const { count, memory, streams } = JSON.parse(data)
    const now = performance.now()
    if (before > 0) gaps.push(now - before)
    before = now
    $('count').textContent = count
    $('pulse').textContent = gaps.length === 0 ? 'first event' : `${Math.round(gaps.at(-1))} ms after the last one`
    $('streamNote').textContent = `${streams} listening, ${memory} MB in use`
    if (gaps.length > bars.length) gaps.shift()
    bars.forEach((bar, index) => {
      const gap = gaps[gaps.length - bars.length + index] ?? 0
      bar.style.height = `${Math.min(gap / 5, 100)}%`
    })
  }

  function start() {
    before = 0
    source = new EventSource('events')
    source.onmessage = onEvent
    $('toggle').textContent = 'Stop'
  }

  function stop() {
    source.close()
    source = null
    $('toggle').textContent = 'Start'
    $('pulse').textContent = 'stopped'
  }

  $('toggle').onclick = () => (source === null ? start() : stop())
  start()
}

const hex = buffer => [...new Uint8Array(buffer)].map(byte => byte.toString(16).padStart(2, '0')).join('')

/** Only pages from https or this machine may hash; null elsewhere. */
const localHash = async blob =>
  crypto.subtle ? hex(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())) : null

function send(blob) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', 'upload')
    request.setRequestHeader('Content-Type', 'application/octet-stream')
    request.upload.onprogress = ({ loaded, total }) => {
      $('progress').value = loaded / total
    }
    request.onload = () =>
      request.status === 200 ? resolve(JSON.parse(request.responseText)) : reject(new Error(`status ${request.status}`))
    request.onerror = () => reject(new Error('the connection was cut'))
    request.send(blob)
  })
}

async function upload(blob) {
  const [size, hash] = $('uploadResult').querySelectorAll('dd')
  size.textContent = hash.textContent = '…'
  hash.className = ''
  $('progress').value = 0
  try {
    const reply = await send(blob)
    $('progress').value = 1
    size.textContent = `${reply.size.toLocaleString('en')} bytes in ${reply.seconds.toFixed(2)} s`
    const expected = await localHash(blob)
    const same = expected === reply.sha256
    hash.textContent = `${reply.sha256}${expected === null ? '' : same ? ', the same here' : ', but not here'}`
    hash.className = expected === null ? '' : same ? 'ok' : 'bad'
  } catch (error) {
    size.textContent = '–'
    hash.textContent = error.message
    hash.className = 'bad'
  }
}

function noise(length) {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
  return new Blob([bytes])
}

function uploading() {
  const file = $('file')
  const drop = $('drop')
  const choose = () => {
    $('fileName').textContent = file.files[0]?.name ?? 'Choose or drop a file'
  }
  file.onchange = choose
  drop.ondragover = event => {
    event.preventDefault()
    drop.classList.add('over')
  }
  drop.ondragleave = () => drop.classList.remove('over')
  drop.ondrop = event => {
    event.preventDefault()
    drop.classList.remove('over')
    file.files = event.dataTransfer.files
    choose()
  }
  $('uploadForm').onsubmit = event => {
    event.preventDefault()
    if (file.files[0]) upload(file.files[0])
    else file.click()
  }
  $('random').onclick = () => upload(noise(16 * 2 ** 20))
}

function waiting() {
  const lanes = [...$('lanes').children]
  async function lane(element) {
    element.className = ''
    element.getBoundingClientRect()
    element.className = 'running'
    await fetch('slow?ms=1500', { cache: 'no-store' })
    element.className = 'done'
  }
  $('race').onclick = async () => {
    $('race').disabled = true
    $('raceNote').textContent = ''
    const started = performance.now()
    try {
      await Promise.all(lanes.map(lane))
      $('raceNote').textContent = `4 × 1.5 s in ${seconds(performance.now() - started)}`
    } catch (error) {
      $('raceNote').textContent = error.message
    }
    $('race').disabled = false
  }
}

function cookies() {
  async function visit(method) {
    const { visits, sent } = await (await fetch('visits', { method })).json()
    $('visits').textContent = visits
    $('sent').textContent = sent === '' ? 'No cookie was sent.' : `Cookie: ${sent}`
  }
  $('visit').onclick = () => visit('GET')
  $('forget').onclick = () => visit('DELETE')
  visit('GET')
}

function failing() {
  const log = $('errorLog')
  async function get(path) {
    log.textContent = `GET ${path}\n`
    try {
      const response = await fetch(path, { cache: 'no-store' })
      log.textContent += `${response.status} ${response.statusText}\n`
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      let body = ''
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        body += value
        if (path === 'error-late') log.textContent += `${value}`
      }
      log.textContent +=
        path === 'error-late' ? '\n' : `${body.length} bytes: ${body.trim().split('\n')[0].slice(0, 80)}\n`
    } catch (error) {
      log.textContent += `\nthe reply was cut off: ${error.message}\n`
    }
  }
  for (const button of document.querySelectorAll('[data-get]')) button.onclick = () => get(button.dataset.get)
}

function filtering() {
  const rows = [...$('table').querySelectorAll('th[scope=row]')].map(cell => cell.parentElement)
  $('filter').oninput = ({ target }) => {
    const wanted = target.value.toLowerCase()
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted)
    for (const body of $('table').tBodies) body.hidden = ![...body.rows].some(row => rows.includes(row) && !row.hidden)
  }
}

streaming()
uploading()
waiting()
cookies()
failing()
filtering()
