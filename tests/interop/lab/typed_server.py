import os
import random
import socket
import string
import sys

os.chdir(sys.argv[3])
length_of = {1: 2, 2: 1, 3: 2, 4: 3, 5: 4, 6: 8}
if sys.argv[4:] == ["close"]:
    length_of = {1: 2, 2: 0}
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(1)
print("Typed server is listening on %s port %s" % s.getsockname(), flush=True)
while True:
    conn, addr = s.accept()
    with conn, conn.makefile("rb") as f:
        tag = f.read(1)[0]
        size = length_of[tag]
        data = f.read(int.from_bytes(f.read(size), sys.byteorder)) if size else f.read()
        if tag == 1:
            print("%s says %s" % (addr, data.decode()))
        else:
            name = "".join(random.choices(string.ascii_letters + string.digits, k=8)) + ".bin"
            with open(name, "wb") as out:
                out.write(data)
