/** The smallest application: for start-up and memory, where nothing but what is needed may be loaded. */
export default (_req, res) => {
  res.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': 14 })
  res.end('Hello, World!\n')
}
