import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((sys.argv[1], int(sys.argv[2])))
while True:
    try:
        message = input("Message: ")
    except EOFError:
        break
    if not message:
        break
    s.sendall(message.encode())
    answer = s.recv(1024)
    if answer == b"":
        sys.exit("The server went away")
    print()
    print(answer.decode())
s.close()
