import socket
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], int(sys.argv[2])))
print("Starting up echo server on %s port %s" % sock.getsockname(), flush=True)
while True:
    print("Waiting to receive message from client")
    data, address = sock.recvfrom(2048)
    print("received %s bytes from %s" % (len(data), address))
    print("Data: %s" % data)
    sent = sock.sendto(data, address)
    print("sent %s bytes back to %s" % (sent, address))
