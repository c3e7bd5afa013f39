import socket
import sys

server = (sys.argv[1], int(sys.argv[2]))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
low, high, guesses = 1, 99, 0
while low <= high:
    guess = (low + high) // 2
    s.sendto(str(guess).encode(), server)
    answer, address = s.recvfrom(1024)
    print(guess, answer.decode())
    guesses += 1
    if answer == b"CORRECT":
        print("Found in %d guesses" % guesses)
        break
    if answer == b"HIGHER":
        low = guess + 1
    else:
        high = guess - 1
else:
    sys.exit("The server cheats")
s.close()
