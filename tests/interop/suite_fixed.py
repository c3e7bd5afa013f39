"""fixed: messages of 1234 bytes; and knock: an end for whoever comes."""

import socket
import time

from target import checks
from wire import STEP, asks, at_once, cuts, exchange, expect, payload, read_to_end, reset, same, show

LENGTH = 1234


# --- fixed: what comes back ---

def comes_back(c, size, how):
    with c.fixed() as s:
        got, end = exchange(s, cuts(payload(size), how))
    same(got, payload(size), "what came back")
    expect(end == "FIN", f"all came back, but then {end}")


for count in (0, 1, 2, 500, 4000):
    for how in ("whole", "bytes", "random"):
        if how == "whole" or 0 < count and (how == "random" or count < 3):
            checks.add(f"fixed-{count}-messages-{how}", comes_back, count * LENGTH, how)


@checks("fixed-each-message-at-once")
def each_at_once(c):
    with c.fixed() as s:
        for turn in range(30):
            asks(s, payload(LENGTH, turn), payload(LENGTH, turn))
        asks(s, payload(7 * LENGTH), payload(7 * LENGTH))
        s.shutdown(socket.SHUT_WR)
        got, end = read_to_end(s)
        expect((got, end) == (b"", "FIN"), f"after our end {show(got)} and {end}, expected FIN alone")


@checks("fixed-across-messages-with-pauses")
def across(c):
    # Pieces that are no multiple of the length, each in a segment of its own; no silence ends a message.
    sent = payload(3 * LENGTH)
    with c.fixed() as s:
        for at in range(0, len(sent), 617):
            s.sendall(sent[at:at + 617])
            time.sleep(0.3 if at == 617 else 0.02)
        got, end = exchange(s, [])
    same(got, sent, "what came back")
    expect(end == "FIN", f"all came back, but then {end}")


@checks("fixed-every-byte-value")
def values(c):
    for byte in (b"\0", b"\n", b"\r", b"\xff", b"\x1a", b"\x04"):
        with c.fixed() as s:
            got, end = exchange(s, [byte * LENGTH])
        expect((got, end) == (byte * LENGTH, "FIN"), f"{LENGTH} times {byte!r} gets {len(got)} bytes and {end}")


# --- fixed: what ends inside a message ---

def ends_inside(c, whole, part):
    with c.fixed() as s:
        if whole:
            asks(s, payload(whole * LENGTH), payload(whole * LENGTH))
        rest = payload(part, 2)
        got, end = exchange(s, [rest])
        expect(end == "RST", f"{whole} messages and {part} bytes end with {end}, expected RST")
        expect(rest.startswith(got), f"{show(got)} came back, which was not sent")


for whole in (0, 1, 3):
    for part in (1, 2, 617, 1233):
        checks.add(f"fixed-ends-after-{whole}-messages-and-{part}-bytes", ends_inside, whole, part)


@checks("fixed-ends-inside-after-much")
def ends_late(c):
    sent = payload(400 * LENGTH + 500)
    with c.fixed() as s:
        got, end = exchange(s, [sent])
    expect(end == "RST", f"400 messages and 500 bytes end with {end}, expected RST")
    expect(sent.startswith(got), "what came back was not sent")


# --- fixed: many ---

@checks("fixed-client-resets")
def resets(c):
    for size in (0, 1, LENGTH, 3000, 100_000):
        s = c.fixed(sndbuf=400_000)
        s.sendall(payload(size))
        reset(s)
    comes_back(c, LENGTH, "whole")


@checks("fixed-sends-for-ever-and-never-reads")
def never_reads(c):
    block = payload(LENGTH * 800)
    s, sent, moved = c.fixed(rcvbuf=65536, sndbuf=65536), 0, time.monotonic()
    try:
        s.setblocking(False)
        while time.monotonic() - moved < 1.5:
            try:
                sent, moved = sent + s.send(memoryview(block)[sent % len(block):]), time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            expect(sent < 96_000_000, f"{sent} bytes taken from one that never reads: buffered without bound?")
        comes_back(c, 2 * LENGTH, "whole")
        rest = -sent % LENGTH  # and when it reads at last, nothing is lost
        want = (block * (sent // len(block) + 2))[:sent + rest]
        got, end = exchange(s, [want[sent:]])
        same(got, want, "what came back when it read at last")
        expect(end == "FIN", f"all came back, but then {end}")
    finally:
        s.fileno() != -1 and reset(s)


@checks("fixed-50-at-once")
def fifty(c):
    def work(turn):
        with c.fixed() as s:
            got, end = exchange(s, cuts(payload(turn * LENGTH, turn), "random"))
        same(got, payload(turn * LENGTH, turn), f"client {turn}")
        expect(end == "FIN", f"all came back, but then {end}")
    at_once(50, work)


@checks("fixed-beside-100-idle")
def fixed_idle(c):
    waiting = []
    try:
        for turn in range(100):
            waiting.append(c.fixed())
            waiting[-1].sendall(payload(turn * 12))  # less than one message
        comes_back(c, 20 * LENGTH, "random")
        for turn, s in enumerate(waiting):
            sent = payload(turn * 12)
            s.sendall(payload(LENGTH - len(sent)))
            got, end = exchange(s, [])
            same(got, sent + payload(LENGTH - len(sent)), f"one that was idle after {len(sent)} bytes")
            expect(end == "FIN", f"all came back, but then {end}")
    finally:
        for s in waiting:
            s.close()


# --- knock ---

def ended(s, what):
    began = time.monotonic()
    got, end = read_to_end(s)
    expect((got, end) == (b"", "FIN"), f"{what} gets {show(got)} and {end}, expected FIN alone")
    expect(time.monotonic() - began < 1.5, f"{what} gets its end after {time.monotonic() - began:.1f} s")


@checks("knock-says-nothing")
def knocks(c):
    for _ in range(20):
        with c.knock() as s:
            ended(s, "a silent visitor")


@checks("knock-half-close")
def knock_half_close(c):
    for _ in range(20):
        with c.knock() as s:
            s.shutdown(socket.SHUT_WR)
            ended(s, "a visitor who ends at once")


@checks("knock-what-is-sent-is-discarded")
def discarded(c):
    for size in (1, 1000, 100_000, 900_000):
        for half_close in (False, True):
            with c.knock() as s:
                s.sendall(payload(size))
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                ended(s, f"a visitor who sends {size} bytes")
    with c.knock() as s:  # the visitor reads long after all was written
        s.sendall(payload(3000))
        time.sleep(0.5)
        s.sendall(payload(3000))
        time.sleep(0.1)
        ended(s, "a visitor who reads late")


@checks("knock-sends-for-ever")
def for_ever(c):
    # 1 MiB or 2 s, and then the connection is closed.
    sent, began = 0, time.monotonic()
    with c.knock() as s:
        try:
            while time.monotonic() - began < 8:
                sent += s.send(payload(10_000))
                time.sleep(0.001)
            expect(False, f"after 8 s and {sent} bytes the server still takes more")
        except (ConnectionResetError, BrokenPipeError):
            pass
    expect(sent < 8_000_000, f"{sent} bytes were taken")


@checks("knock-stays-for-ever")
def stays(c):
    with c.knock() as s:
        ended(s, "a visitor who stays")
        time.sleep(3.5)
        try:
            for _ in range(20):
                s.send(b"still there?")
                time.sleep(0.05)
            expect(False, "after 3.5 s the server still takes what is sent")
        except (ConnectionResetError, BrokenPipeError):
            pass


@checks("knock-resets")
def knock_resets(c):
    for turn in range(50):
        s = c.knock()
        if turn % 2:
            s.send(b"x" * turn)
        reset(s)
    with c.knock() as s:
        ended(s, "a visitor after 50 who reset")


@checks("knock-200-at-once")
def two_hundred(c):
    def work(turn):
        with c.knock() as s:
            got, end = read_to_end(s)
            expect((got, end) == (b"", "FIN"), f"{show(got)} and {end}, expected FIN alone")
    at_once(200, work)


@checks("knock-beside-100-who-stay")
def who_stay(c):
    waiting = []
    try:
        for _ in range(100):
            waiting.append(c.knock())
        with c.knock() as s:
            ended(s, "a visitor beside 100 who stay")
    finally:
        for s in waiting:
            s.close()
