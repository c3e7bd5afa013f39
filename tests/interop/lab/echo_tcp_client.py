import socket
import sys


def echo_client(host, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    print("Connecting to %s port %s" % (host, port))
    sock.connect((host, port))
    try:
        message = b"Test message. This will be echoed"
        print("Sending %s" % message.decode())
        sock.sendall(message)
        amount_received = 0
        amount_expected = len(message)
        while amount_received < amount_expected:
            data = sock.recv(16)
            if not data:
                sys.exit("The server went away")
            amount_received += len(data)
            print("Received: %s" % data.decode())
    finally:
        print("Closing connection to the server")
        sock.close()


echo_client(sys.argv[1], int(sys.argv[2]))
