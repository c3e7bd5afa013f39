import os
import socket
import sys

os.chdir(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(1)
print("File server is listening on %s port %s" % s.getsockname(), flush=True)
while True:
    conn, addr = s.accept()
    name = conn.recv(1024).decode()
    print("%s asks for %s" % (addr, name))
    with open(name, "rb") as f:
        conn.sendall(f.read())
    conn.close()
