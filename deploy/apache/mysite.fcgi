#!/bin/sh
# The program that the web server starts when it manages the processes itself (mod_fcgid, mod_fastcgi, and on most shared
# hosting). It lies beside the application, is executable (chmod 755), and is given the listening socket on descriptor 0,
# where runfcgi finds it: no socket or port is named.

cd "$(dirname "$0")" || exit 1

# A web server hands down next to no environment. First what `npm install runfcgi` put into this folder.
PATH="$PWD/node_modules/.bin:/usr/local/bin:/usr/bin:/bin"
export PATH

exec runfcgi ./app.js
