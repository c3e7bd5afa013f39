import socket
import sys


def echo_client(host, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server_address = (host, port)
    print("Connecting to %s port %s" % server_address)
    message = "This is the message. It will be repeated."
    try:
        print("Sending %s" % message)
        sock.sendto(message.encode(), server_address)
        data, server = sock.recvfrom(2048)
        print("received %s" % data.decode())
    finally:
        print("Closing connection to the server")
        sock.close()


echo_client(sys.argv[1], int(sys.argv[2]))
