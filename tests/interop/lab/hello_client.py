import socket
import sys

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect((sys.argv[1], int(sys.argv[2])))
print("Connected to:", sys.argv[1], sys.argv[2])
message = input("Enter your message to server: ")
s.sendall(message.encode())
data = s.recv(1024)
s.close()
print("Server says:", data.decode())
