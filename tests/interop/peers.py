"""Servers for clients.py: the labs' own as processes, and threads that misbehave in known ways."""

import contextlib
import fcntl
import pathlib
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

from wire import STEP, WIDTH, expect, payload, reset

LAB = pathlib.Path(__file__).resolve().parent / "lab"
HOLD = object()  # what a `serve` returns whose connection stays open until the check is done


class Server:
    """A TCP server on a free port, a thread for each connection: `serve(sock)`. What `serve` returns is kept, in the order of connections."""

    def __init__(self, c, serve):
        self.listener = socket.create_server((c.host, 0), family=socket.AF_INET6 if ":" in c.host else socket.AF_INET)
        self.port, self.serve, self.heard, self.threads = self.listener.getsockname()[1], serve, {}, []
        self.done, self.lock = threading.Event(), threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.loop, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.result()

    def loop(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                s.settimeout(STEP)
                with self.lock:
                    self.threads.append(threading.Thread(target=self.one, args=(s, len(self.threads)), daemon=True))
                    self.threads[-1].start()

    def one(self, s, number):
        with s, contextlib.suppress(OSError):
            heard = self.serve(s)
            self.heard[number] = heard
            if heard is HOLD:
                self.done.wait(4 * STEP)

    def result(self):
        with self.lock:
            threads = [*self.threads]
        for t in threads:
            t.join(STEP)
        return [heard for _, heard in sorted(self.heard.items())]


@contextlib.contextmanager
def lab(c, program, *args):
    """One of the labs' servers as a process of its own; yields its port."""
    server = subprocess.Popen([sys.executable, str(LAB / program), c.host, "0", *args], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        ready, _, _ = select.select([server.stdout], [], [], STEP)
        expect(ready, f"{program} does not start")
        port = int(server.stdout.readline().split()[-1])
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield port
    finally:
        server.kill()
        server.wait()


def all_of(s):
    """All bytes to the end of the stream."""
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


def delivered(s):
    """Waits until the peer's system has acknowledged all that was sent."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        if not struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0" * 4))[0]:
            return
        time.sleep(0.005)


def sends_then_resets(data):
    def serve(s):
        s.recv(1024)
        s.sendall(data)
        delivered(s)
        reset(s)
    return serve


def exactly(s, size):
    """So many bytes, or fewer if the stream ends before."""
    parts = []
    while size and (part := s.recv(min(size, 65536))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def frame(s):
    """One frame of schema `sized`: its tag and its body; None at the end."""
    tag = exactly(s, 1)
    if not tag:
        return None
    size = int.from_bytes(exactly(s, WIDTH[tag[0]]), "little")
    body = exactly(s, size)
    return tag[0], body if len(body) == size else None


def takes_uploads(answer=lambda name: b"OK"):
    """An upload server in good order; `answer` may refuse a name. It has heard names, tags and bodies."""
    def serve(s):
        heard = []
        while named := frame(s):
            reply = answer(named[1])
            s.sendall(reply)
            if reply != b"OK":
                heard.append((*named, None, reply))
                s.shutdown(socket.SHUT_WR)
                all_of(s)
                break
            heard.append((*named, *(frame(s) or (None, None))))
        return heard
    return serve


def takes_one_frame(s):
    """A typed server in good order, for both schemas' STRING and for `sized`."""
    heard = frame(s)
    s.shutdown(socket.SHUT_WR)
    return heard, all_of(s)


def silent(s):
    """Takes everything, answers nothing, keeps the connection."""
    all_of(s)
    return HOLD


def stalls(s):
    """Sends some, then nothing more, and keeps the connection."""
    s.recv(1024)
    s.sendall(payload(10_000))
    return HOLD


def echoes(s, step=65536):
    while data := s.recv(step):
        s.sendall(data)


def answers_lines(answer, pause=0.0):
    """Answers each line; hears the lines, and what may be behind the last."""
    def serve(s):
        heard = []
        with s.makefile("rb") as lines:
            for line in lines:
                heard.append(line)
                time.sleep(pause)
                s.sendall(answer(line))
        return heard
    return serve


def keeps_and_echoes(s):
    """Sends all back, and has heard it."""
    heard = []
    while data := s.recv(65536):
        heard.append(data)
        s.sendall(data)
    return b"".join(heard)


def finishes(s):
    """Ends at once, as knock does; hears what comes."""
    s.shutdown(socket.SHUT_WR)
    return all_of(s)


def answers_once(size, *pieces, pause=0.0):
    """Answers so many bytes with these pieces, and hears all that comes."""
    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = exactly(s, size)
        for piece in pieces:
            time.sleep(pause)
            s.sendall(piece)
        return heard + all_of(s)
    return serve


def guesses(secret, heard):
    """A guess server; hears numbers and peers."""
    def serve(s, data, peer):
        heard.append((data, peer))
        try:
            number = int(data)
            answer = b"HIGHER" if secret > number else b"LOWER" if secret < number else b"CORRECT"
        except ValueError:
            answer = b"INVALID: no number"
        s.sendto(answer, peer)
    return serve


def udp_socket(c):
    s = socket.socket(socket.AF_INET6 if ":" in c.host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(STEP)
    s.bind((c.host, 0))
    return s, s.getsockname()[1]


@contextlib.contextmanager
def udp_server(c, serve):
    s, port = udp_socket(c)
    stop = threading.Event()

    def loop():
        while not stop.is_set():
            if select.select([s], [], [], 0.1)[0]:
                data, peer = s.recvfrom(65536)
                serve(s, data, peer)
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(STEP)
        s.close()
