"""hello."""

import selectors
import socket
import time

from target import checks
from wire import Failed, cuts, exchange, expect, payload, show


def check_hello(sent, got):
    """Is `got` the answers to `sent`, cut anywhere into messages of 1 to 1024 bytes?"""
    head, tail = b'I got "', b'" from you and I am sending it back.'
    open_at, seen = {(0, 0)}, set()
    while open_at:
        at, told = open_at.pop()
        if (at, told) == (len(got), len(sent)):
            return
        if (at, told) in seen or not got.startswith(head, at):
            continue
        seen.add((at, told))
        start = at + len(head)
        stop = got.find(tail, start + 1, start + 1024 + len(tail))
        while stop != -1:
            x = got[start:stop]
            if sent.startswith(x, told):
                open_at.add((stop + len(tail), told + len(x)))
            stop = got.find(tail, stop + 1, start + 1024 + len(tail))
    raise Failed(f"{show(got)} is no answer to {show(sent)}")


def ask_hello(s, message):
    """One message on an open connection, all of its answers."""
    s.sendall(message)
    got = b""
    while True:
        part = s.recv(65536)
        expect(part, f"ended after {show(got)}, asked {show(message)}")
        got += part
        try:
            return check_hello(message, got)
        except Failed:
            expect(len(got) < 60 * len(message) + 100, f"{show(got)} is no answer to {show(message)}")


@checks("hello-several-messages")
def hello_several(c):
    with c.hello() as s:
        for message in (b"Hello", b"a", b"Two\nlines\r\n", b" ", b"\n", b"last"):
            ask_hello(s, message)


def hello_bytes(c, message):
    with c.hello() as s:
        ask_hello(s, message)
        got, end = exchange(s, [])
        expect((got, end) == (b"", "FIN"), f"after the answer {show(got)} and {end}")


for name, message in {
        "not-utf-8": b"\xff\xfe\x80 \xc3( \xed\xa0\x80", "nul-and-control": b"\0\x1b[31m\x07\r\n\x7f",
        "quotes": b'"" say "hi" \'', "its-own-words": b'x" from you and I am sending it back.I got "y',
        "all-byte-values": bytes(range(256)), "1024-bytes": payload(1024), "1025-bytes": payload(1025)}.items():
    checks.add(f"hello-{name}", hello_bytes, message)


def hello_half_close(c, size, how):
    data = payload(size)
    with c.hello() as s:
        got, end = exchange(s, cuts(data, how))
    check_hello(data, got)
    expect(end == "FIN", f"all answers came, but then {end}")


for size, how in ((0, "whole"), (1, "whole"), (1024, "whole"), (1025, "whole"), (300, "bytes"), (5000, "random"),
                  (300_000, "whole"), (300_000, "random")):
    checks.add(f"hello-half-close-{size}-{how}", hello_half_close, size, how)


@checks("hello-burst-of-200")
def hello_burst(c):
    family, kind, proto, _, address = socket.getaddrinfo(c.host, c.hello_port, type=socket.SOCK_STREAM)[0]
    states, got, outcome = {}, {}, {}
    with selectors.DefaultSelector() as selector:
        try:
            for number in range(200):
                s = socket.socket(family, kind, proto)
                s.setblocking(False)
                s.connect_ex(address)
                states[s], got[s] = b"burst %d" % number, b""
                selector.register(s, selectors.EVENT_WRITE)
            until = time.monotonic() + 45
            while len(outcome) < 200 and time.monotonic() < until:
                for key, _ in selector.select(1):
                    s = key.fileobj
                    try:
                        if got[s] == b"" and key.events == selectors.EVENT_WRITE:
                            s.send(states[s])
                            s.shutdown(socket.SHUT_WR)
                            selector.modify(s, selectors.EVENT_READ)
                            continue
                        part = s.recv(4096)
                        got[s] += part
                        if part:
                            continue
                        check_hello(states[s], got[s])
                        outcome[s] = "ok"
                    except BlockingIOError:
                        continue
                    except (OSError, Failed) as e:
                        outcome[s] = str(e)
                    selector.unregister(s)
        finally:
            for s in states:
                s.close()
    bad = sorted({o for o in outcome.values() if o != "ok"})
    served = sum(o == "ok" for o in outcome.values())
    expect(served == 200, f"{served} of 200 served, {200 - len(outcome)} still waiting; {'; '.join(bad)[:300]}")
