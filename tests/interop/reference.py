#!/usr/bin/env python3
"""Small servers and a client that follow the contract, to prove that suite.py and clients.py can pass; and, with
`--bug NAME`, break it in one place, to prove that they can fail. Not the product: no limits, a thread each.

    reference.py serve DIR                     prints `listening SERVICE PORT` lines, then runs until killed
    reference.py client ... | connect ...      as the contract's table
"""

import os
import re
import socket
import stat
import struct
import sys
import threading
import time

BUGS = set()
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?$", re.S)


# --- servers ---

def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def finish(s):
    """Shut down sending, read and discard until the peer ends, 1 MiB or 2 s, then close."""
    if "no-drain" not in BUGS:
        s.shutdown(socket.SHUT_WR)
        until, left = time.monotonic() + 2, 1 << 20
        while left > 0 and (wait := until - time.monotonic()) > 0:
            s.settimeout(wait)
            try:
                data = s.recv(65536)
            except TimeoutError:
                break
            if not data:
                break
            left -= len(data)
    s.close()


def serve_echo(s):
    if "buffers-all" in BUGS:
        heap, some, ended = [], threading.Condition(), []

        def write():
            while True:
                with some:
                    some.wait_for(lambda: heap or ended)
                    if not heap:
                        return finish(s)
                    data = heap.pop(0)
                s.sendall(data)
        threading.Thread(target=write, daemon=True).start()
        while data := s.recv(65536):
            with some:
                heap.append(data)
                some.notify()
        with some:
            ended.append(1)
            some.notify()
        return
    while data := s.recv(65536):
        s.sendall(data.replace(b"\xff\xfe", b"??") if "text" in BUGS else data)
    finish(s)


def serve_hello(s):
    while data := s.recv(1025 if "overlong" in BUGS else 1024):
        if "text" in BUGS:
            data = data.decode(errors="replace").encode()
        s.sendall(b'I got "' + data + b'" from you and I am sending it back.')
        if "one-reply" in BUGS:
            break
    finish(s)


def read_name(s):
    name = b""
    while len(name) < 1024:
        # Silence ends a name, not the wait for one.
        s.settimeout(0.1 if name and "no-quiet" not in BUGS else 10)
        try:
            data = s.recv(1024 - len(name))
        except TimeoutError:
            break
        if not data:
            break
        name += data
        if b"\n" in name:
            name = name[:name.index(b"\n")].removesuffix(b"\r")
            break
    s.settimeout(60)
    return name


def allowed(raw):
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return False
    return (1 <= len(raw) <= 255 and not name.startswith(".") and not name.endswith((".", " "))
            and not re.search(r'[/\\\x00-\x1f\x7f-\x9f:*?"<>|]', name)
            and (not RESERVED.match(name) or "reserved" in BUGS))


def open_file(folder, name):
    if not allowed(name):
        raise OSError("this name is not allowed")
    follow = 0 if "follows-links" in BUGS else os.O_NOFOLLOW
    wait = 0 if "fifo" in BUGS else os.O_NONBLOCK
    f = os.open(os.path.join(folder, name), os.O_RDONLY | follow | wait)
    if not stat.S_ISREG(os.fstat(f).st_mode):
        os.close(f)
        raise OSError("no regular file")
    return os.fdopen(f, "rb")


def serve_file(s, folder):
    try:
        f = open_file(folder, read_name(s))
    except OSError:
        return finish(s) if "fin-on-absent" in BUGS else abort(s)
    with f:
        size = os.fstat(f.fileno()).st_size
        size -= "short" in BUGS
        while size > 0 and (data := f.read(min(65536, size))):
            s.sendall(data)
            size -= len(data)
    if size and "fin-on-short" not in BUGS:
        return abort(s)
    finish(s)


def listen(name, serve, *args):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def one(s):
        try:
            s.settimeout(60)
            serve(s, *args)
        except OSError:
            abort(s)

    def loop():
        while True:
            s, _ = listener.accept()
            if "one-at-a-time" in BUGS:
                one(s)
            else:
                threading.Thread(target=one, args=(s,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    print("listening", name, listener.getsockname()[1], flush=True)
    return listener.getsockname()[1]


def serve(folder):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", listen("echo", serve_echo)))
    listen("hello", serve_hello)
    listen("file", serve_file, os.fsencode(folder))
    print("ready", flush=True)
    while True:
        data, peer = udp.recvfrom(65536)
        if data or "no-empty-datagram" not in BUGS:
            udp.sendto(data[:1472] if "cuts-datagrams" in BUGS else data, peer)


# --- client ---

def say(*text):
    sys.stdout.buffer.write(" ".join(map(str, text)).encode() + b"\n")
    sys.stdout.buffer.flush()


def text_of(arg):
    named = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|[nrt\\])", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x"
                  else named[m[1].decode()], os.fsencode(arg))


class Usage(Exception):
    pass


def options(args, known):
    """Splits arguments into positional ones and options (`True`: takes a value)."""
    found, rest = {}, []
    args = iter(args)
    for arg in args:
        if arg.startswith("-") and arg != "-":
            if arg not in known:
                raise Usage(f"no option {arg}")
            found[arg.lstrip("-")] = next(args) if known[arg] else True
        else:
            rest.append(arg)
    return rest, found


def dial(host, port, timeout):
    s = socket.create_connection((host, port), timeout)
    s.settimeout(timeout)
    return s


def client_echo(host, port, timeout, rest, udp):
    text = rest[0] if rest else "Test message. This will be echoed"
    data = os.fsencode(text)
    if udp:
        say("Connecting to", host, "port", port)
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if "strangers" not in BUGS:
            s.connect((host, port))
        say("Sending", text)
        tries = 1 if "no-retry" in BUGS else 3
        for left in reversed(range(tries)):
            s.sendto(data, (host, port)) if "strangers" in BUGS else s.send(data)
            s.settimeout(timeout / tries)
            try:
                say("received", s.recv(65536).decode())
                break
            except TimeoutError:
                if not left:
                    raise
    else:
        say("Connecting to", host, "port", port)
        s = dial(host, port, timeout)
        say("Sending", text)
        s.sendall(data)
        left = len(data)
        while left:
            part = b""
            while len(part) < min(16, left):
                more = s.recv(min(16, left) - len(part))
                if not more:
                    raise OSError("the server ended before all came back")
                part += more
            left -= len(part)
            say("Received:", part.decode())
    say("Closing connection to the server")


def client_hello(host, port, timeout, rest):
    s = dial(host, port, timeout)
    say("Connected to:", host, port)
    text = rest[0] if rest else sys.stdin.readline().rstrip("\n")
    s.sendall(os.fsencode(text))
    s.shutdown(socket.SHUT_WR)
    reply = b""
    while data := s.recv(65536):
        reply += data
    say("Server says:", reply.decode(errors="replace"))


def client_file(host, port, timeout, rest, out):
    name = rest[0] if rest else sys.stdin.readline().rstrip("\n")
    s = dial(host, port, timeout)
    s.sendall(os.fsencode(name) + (b"\n" if "sends-newline" in BUGS else b""))
    s.shutdown(socket.SHUT_WR)
    out, size = out or name, 0
    part = out if "keeps-partial" in BUGS else f".{out}.part"
    f = sys.stdout.buffer if out == "-" else open(part, "wb")
    try:
        while data := s.recv(65536):
            f.write(data)
            size += len(data)
        f.flush()
        if out != "-":
            os.replace(part, out)
            say("The size of", name, "is", size)
    except OSError:
        if "reset-is-end" in BUGS:
            return
        if out != "-" and "keeps-partial" not in BUGS:
            os.unlink(part)
        raise


def connect(host, port, timeout, send):
    s = dial(host, port, timeout)

    def pump():
        if send is not None:
            s.sendall(text_of(send))
        while data := sys.stdin.buffer.read1(65536):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=pump, daemon=True).start()
    while data := s.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def run_client(args):
    common = {"--host": True, "--port": True, "--timeout": True}
    if args[0] == "connect":
        rest, found = options(args[1:], {"--send": True, "--timeout": True})
        if len(rest) != 2:
            raise Usage("connect HOST PORT")
        return connect(rest[0], int(rest[1]), float(found.get("timeout", 5)), found.get("send"))
    service = args[1] if len(args) > 1 else None
    own = {"echo": {"--udp": False}, "hello": {}, "file": {"-o": True}}
    if service not in own:
        raise Usage(f"no client {service}")
    rest, found = options(args[2:], common | own[service])
    where = found.get("host", "127.0.0.1"), int(found.get("port", 1)), float(found.get("timeout", 5))
    if service == "echo":
        client_echo(*where, rest, "udp" in found)
    elif service == "hello":
        client_hello(*where, rest)
    else:
        client_file(*where, rest, found.get("o"))


def main():
    args = sys.argv[1:]
    while args[:1] == ["--bug"]:
        BUGS.add(args[1])
        args = args[2:]
    try:
        if args[:1] == ["serve"]:
            serve(args[1])
        elif args[:1] and args[0] in ("client", "connect"):
            run_client(args)
        else:
            raise Usage("serve, client or connect")
    except (Usage, ValueError) as e:
        print("usage:", e, file=sys.stderr)
        return 2
    except OSError as e:
        print("failed:", e or "no answer in time", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a thread may still wait on standard input
