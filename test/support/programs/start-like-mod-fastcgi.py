"""Starts a program as the process manager of mod_fastcgi does with FastCgiServer, which Debian does not ship.

start-like-mod-fastcgi.py ADDRESS PROGRAM: ADDRESS is the path of a Unix socket or a port on 127.0.0.1. The listening socket
is descriptor 0; standard output and error are the error log; the environment is next to empty. A program that ends is
started again. TERM is passed on, then this ends.
"""

import os
import signal
import socket
import sys
import time

address, program = sys.argv[1:]
if address.isdigit():
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(address)))
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
listener.listen(100)
child = 0


def stop(*_):
    os.kill(child, signal.SIGTERM)
    sys.exit()


signal.signal(signal.SIGTERM, stop)
while True:
    child = os.fork()
    if child == 0:
        os.dup2(listener.fileno(), 0)
        os.dup2(2, 1)
        listener.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execve(program, [program], {key: value for key, value in os.environ.items() if key.startswith("FCGI_")})
    os.waitpid(child, 0)
    time.sleep(0.1)
