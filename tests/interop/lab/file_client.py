import socket
import sys

host, port, name, out = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((host, port))
s.sendall(name.encode())
size = 0
with open(out, "wb") as f:
    while True:
        data = s.recv(1024)
        if data == b"":
            break
        f.write(data)
        size += len(data)
s.close()
print("The size of %s is %d" % (name, size))
