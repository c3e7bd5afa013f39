import socket
import sys

MSGLEN = 1234

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((sys.argv[1], int(sys.argv[2])))
for text in sys.argv[3:]:
    message, sent, chunks, received = text.encode().ljust(MSGLEN, b"."), 0, [], 0
    while sent < MSGLEN:
        n = s.send(message[sent:])
        if n == 0:
            raise RuntimeError("socket connection broken")
        sent += n
    while received < MSGLEN:
        chunk = s.recv(min(MSGLEN - received, 2048))
        if chunk == b"":
            raise RuntimeError("socket connection broken")
        chunks.append(chunk)
        received += len(chunk)
    print("the same" if b"".join(chunks) == message else "something else")
s.close()
