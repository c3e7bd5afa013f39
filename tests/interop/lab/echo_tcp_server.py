import socket
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind((sys.argv[1], int(sys.argv[2])))
sock.listen(5)
print("Starting up echo server on %s port %s" % sock.getsockname(), flush=True)
while True:
    print("Waiting to receive message from client", flush=True)
    client, address = sock.accept()
    try:
        while True:
            data = client.recv(16)
            if not data:
                break
            print("Data: %s" % data)
            client.sendall(data)
            print("sent %s bytes back to %s" % (data, address))
    except OSError as e:
        print("Lost %s: %s" % (address, e))
    finally:
        client.close()
