import socket
import sys

TYPES = {"STRING": (1, 2), "DATA_1B": (2, 1), "DATA_2B": (3, 2), "DATA_3B": (4, 3), "DATA_4B": (5, 4), "DATA": (2, 0)}

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((sys.argv[1], int(sys.argv[2])))
kind = input("Which type: ")
tag, size = TYPES[kind]
if kind == "STRING":
    data = input("Text: ").encode()
else:
    with open(input("File: "), "rb") as f:
        data = f.read()
s.sendall(bytes([tag]))
if size:
    s.sendall(len(data).to_bytes(size, sys.byteorder))
s.sendall(data)
s.shutdown(socket.SHUT_WR)
s.recv(1)
s.close()
print()
print("Sent %d bytes" % len(data))
