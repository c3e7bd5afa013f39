import os
import socket
import sys

LENGTH = {1: 2, 2: 1, 3: 2, 4: 3, 5: 4, 6: 8}


def receive(f):
    tag = f.read(1)
    if tag == b"":
        return None
    length = int.from_bytes(f.read(LENGTH[tag[0]]), sys.byteorder)
    return f.read(length)


os.chdir(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(1)
print("Upload server is listening on %s port %s" % s.getsockname(), flush=True)
while True:
    conn, addr = s.accept()
    with conn, conn.makefile("rb") as f:
        while (name := receive(f)) is not None:
            conn.sendall(b"OK")
            with open(name.decode(), "wb") as out:
                out.write(receive(f))
            print("%s sent %s" % (addr, name.decode()))
