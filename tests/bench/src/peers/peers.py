"""The labs' servers in Python, a thread for each connection: python3 peers.py echo|udp|file|upload [PATH] [sync]."""

import os
import socket
import sys
import threading

work, path, sync = sys.argv[1], sys.argv[2], sys.argv[3] == "sync"


def echo(conn):
    while data := conn.recv(65536):
        conn.sendall(data)


def file(conn):
    conn.recv(1024)
    with open(path, "rb") as f:
        conn.sendall(f.read())


def upload(conn):
    with open(os.path.join(path, "python-%d" % (conn.fileno() % 64)), "wb") as f:
        while data := conn.recv(4096):
            f.write(data)
        f.flush()
        if sync:
            os.fsync(f.fileno())


def serve(conn, work):
    with conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            work(conn)
        except OSError:
            pass


if work == "udp":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    print("listening %s:%d" % s.getsockname(), flush=True)
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)

threading.stack_size(256 << 10)
s = socket.create_server(("127.0.0.1", 0), backlog=4096)
print("listening %s:%d" % s.getsockname(), flush=True)
while True:
    conn, _ = s.accept()
    threading.Thread(target=serve, args=(conn, globals()[work]), daemon=True).start()
