import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(1)
print("Server is listening on %s port %s" % s.getsockname(), flush=True)
while True:
    conn, addr = s.accept()
    print("Connected by", addr)
    while True:
        data = conn.recv(1024)
        if not data:
            break
        conn.sendall(b'I got "' + data + b'" from you and I am sending it back.')
        print('Sent back "%s" to: %s' % (data.decode(errors="replace"), addr))
    conn.close()
