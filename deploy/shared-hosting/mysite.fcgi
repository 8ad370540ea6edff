#!/usr/bin/env node
// What the web server starts on shared hosting, with the listening socket on descriptor 0; or for each request, as plain CGI.
// It lies in the folder that the web server serves, beside .htaccess, and is executable (chmod 755). The application lies
// elsewhere: nobody can download it. Touch this file after a change of the application: the process finishes what runs and
// ends, and the web server starts a new one.
//
// Where the first line finds no Node.js, because a web server's PATH is short, write where it is: #!/home/me/node/bin/node
// (`command -v node` in your shell says it).

const site = '/home/me/mysite'

process.chdir(site)
import(require.resolve('runfcgi', { paths: [site] })).then(({ serve }) =>
  serve({
    app: './app.js',
    errlog: './site.log',
    touchReload: __filename,
    // One process, and the web server starts as many as it wants. With method: 'threaded' the touch replaces the threads inside
    // of the process instead: for lighttpd, which needs a second to see that a process has ended.
  }),
)
