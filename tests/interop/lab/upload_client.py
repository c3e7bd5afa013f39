import os
import socket
import sys

STRING, DATA_4B = 1, 5

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((sys.argv[1], int(sys.argv[2])))
for path in sys.argv[3:]:
    name = os.path.basename(path).encode()
    s.sendall(bytes([STRING]) + len(name).to_bytes(2, sys.byteorder) + name)
    answer = s.recv(1024).decode()
    print(answer.strip())
    if answer != "OK":
        break
    with open(path, "rb") as f:
        data = f.read()
    s.sendall(bytes([DATA_4B]) + len(data).to_bytes(4, sys.byteorder) + data)
s.shutdown(socket.SHUT_WR)
s.recv(1)
s.close()
