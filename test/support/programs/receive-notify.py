"""Receives what services tell systemd (sd_notify(3)), as systemd does, and prints each message as a line of JSON.

receive-notify.py PATH [COMMAND ...]: binds the datagram socket PATH; starts COMMAND with a socket that is connected to it as
descriptor 3, under the name "notify", as OpenFile= does.
"""

import json
import os
import socket
import struct
import sys

path, command = sys.argv[1], sys.argv[2:]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind("\0" + path[1:] if path.startswith("@") else path)
if command and os.fork() == 0:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(path)
    os.dup2(sender.fileno(), 3)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="notify", NOTIFY_SOCKET=path)
    os.dup2(2, 1)
    os.execvp(command[0], command)
print(json.dumps({"bound": path}), flush=True)
while True:
    data, controls, _, _ = receiver.recvmsg(4096, 256)
    pid = None
    for _, kind, value in controls:
        if kind == socket.SCM_RIGHTS:
            # The barrier of systemd-notify, which waits for this.
            os.close(struct.unpack("i", value[:4])[0])
        elif kind == socket.SCM_CREDENTIALS:
            pid = struct.unpack("3i", value)[0]
    if data != b"BARRIER=1":
        print(json.dumps({"pid": pid, "message": data.decode()}), flush=True)
