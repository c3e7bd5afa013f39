import socket
import sys


def what_time(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.connect((host, port))
    s.send(b"What time is it?")
    answer = s.recv(1024)
    s.close()
    return answer.decode()


answer = what_time(sys.argv[1], int(sys.argv[2]))
if not answer:
    sys.exit("The server went away")
print(answer, end="")
