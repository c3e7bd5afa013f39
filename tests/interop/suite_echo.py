"""echo, over TCP and UDP."""

import socket

from target import checks
from wire import STEP, Failed, cuts, exchange, expect, payload, same


def echo_tcp(c, size, how):
    data = payload(size)
    with c.echo() as s:
        got, end = exchange(s, cuts(data, how))
    same(got, data, "echo")
    expect(end == "FIN", f"all came back, but then {end}")


for size in (0, 1, 1459, 1460, 1461, 65_536, 5_000_000):
    for how in ("whole", "bytes", "random"):
        if how == "whole" or (size <= 1461 if how == "bytes" else size > 1) and size:
            checks.add(f"echo-tcp-{size}-{how}", echo_tcp, size, how)


@checks("echo-tcp-at-once-without-an-end")
def echo_at_once(c):
    with c.echo() as s:
        for turn in range(50):
            data = payload(1 + turn * 7, turn)
            s.sendall(data)
            got = b""
            while len(got) < len(data):
                part = s.recv(65536)
                expect(part, "ended while the client had not")
                got += part
            same(got, data, f"turn {turn}")


def ask_udp(c, data):
    """Sends one datagram from a fresh port, up to three times; the socket hears the server's address only."""
    family, kind, proto, _, address = socket.getaddrinfo(c.host, c.echo_port, type=socket.SOCK_DGRAM)[0]
    for _ in range(3):
        with socket.socket(family, kind, proto) as s:
            s.settimeout(2)
            s.connect(address)
            s.send(data)
            try:
                return s.recv(65536)
            except TimeoutError:
                continue
    raise Failed(f"no answer to {len(data)} bytes, sent 3 times")


def echo_udp(c, size):
    data = payload(size)
    same(ask_udp(c, data), data, "datagram")


for size in (0, 1, 1472, 1473, 9000, 65_507):
    checks.add(f"echo-udp-{size}", echo_udp, size)


@checks("echo-udp-each-datagram-by-itself")
def echo_udp_many(c):
    family, kind, proto, _, address = socket.getaddrinfo(c.host, c.echo_port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, proto) as a, socket.socket(family, kind, proto) as b:
        for s in (a, b):
            s.settimeout(STEP)
            s.connect(address)
        for turn in range(20):
            sent = {s: [payload(n, turn + 1) for n in (0, 7, 700, 1472)] for s in (a, b)}
            for pair in zip(sent[a], sent[b]):
                a.send(pair[0])
                b.send(pair[1])
            for s in (a, b):
                got = sorted(s.recv(65536) for _ in sent[s])
                expect(got == sorted(sent[s]), f"datagrams of {[len(g) for g in got]} bytes came back, or changed")
