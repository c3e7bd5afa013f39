import socket
import sys


def knock(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.connect((host, port))
    print("Connected to %s:%s" % (host, port))
    data = s.recv(1024)
    s.close()
    if data != b"":
        sys.exit("The server says %s" % data)


for turn in range(int(sys.argv[3])):
    input()
    knock(sys.argv[1], int(sys.argv[2]))
