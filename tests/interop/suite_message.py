"""message: lines, silences, ends and the limit of 4096; and what it shares with greet, checked on both."""

import contextlib
import socket
import time

from target import checks
from wire import (asks, at_once, cuts, exchange, expect, nothing_more, payload, read_to_end, reset, same,
                  show, steady, without_silence)

ALL = bytes(b for b in range(255) if b not in b"\r\n")  # 255 is a matter of its own in greet


class Message:
    name, quiet, most = "message", 0.05, 4096

    def answer(self, *texts):
        return b"".join(b"Message: " + text for text in texts)

    def dial(self, c):
        return c.message()


class Greet:
    name, quiet, most = "greet", 0.2, 1024

    def answer(self, *texts):
        return b"".join(text.replace(b"\xff", b"\xff\xff") + b" Ali\r\n" for text in texts)

    def dial(self, c):
        return c.greet()


def says(c, service, sent, *texts, hows=("whole", "bytes", "random")):
    """The stream, cut in whatever way, is answered as these messages."""
    for how in hows:
        pause = 0.001 if how == "bytes" and len(sent) < 200 else 0
        got, end = steady(lambda: service.dial(c), cuts(sent, how), service.quiet, pause)
        same(got, service.answer(*texts), f"the answer to {show(sent)}, sent {how}")
        expect(end == "FIN", f"{show(sent)}, sent {how}, is answered, but then {end}")


# --- a stream cut anywhere ---

STREAMS = {
    "no-byte-at-all": (b"",), "a-line": (b"hello\n", b"hello"), "crlf": (b"hello\r\n", b"hello"),
    "ended-by-the-end": (b"hello", b"hello"), "empty-line": (b"\n", b""), "empty-line-crlf": (b"\r\n", b""),
    "empty-lines": (b"\n\r\n\n", b"", b"", b""), "lf-cr": (b"\n\r", b"", b"\r"),
    "pipelined": (b"a\nbb\r\n\nccc\nlast", b"a", b"bb", b"", b"ccc", b"last"),
    "end-behind-a-line": (b"a\nb\n", b"a", b"b"),
    "cr-inside": (b"a\rb\n\rc\n", b"a\rb", b"\rc"), "two-crs": (b"a\r\r\n\r\r\n", b"a\r", b"\r"),
    "cr-before-the-end": (b"hello\r", b"hello\r"), "blanks-and-tabs": (b" a\t \n\t\n", b" a\t ", b"\t"),
    "not-utf-8": (b"\xfe\x80 \xc3( \xed\xa0\x80\n\x80", b"\xfe\x80 \xc3( \xed\xa0\x80", b"\x80"),
    "utf-8": ("grüße ✓\n".encode(), "grüße ✓".encode()),
    "nul-and-control": (b"\0\x1b[31m\x07\n\0\n", b"\0\x1b[31m\x07", b"\0"),
    "all-byte-values": (ALL + b"\n" + ALL, ALL, ALL),
    "its-own-words": (b"Message: a\r\n Ali\r\n", b"Message: a", b" Ali")}


def one_receive(c, service):
    # One answer is one write: what the labs' clients receive once.
    with service.dial(c) as s:
        for text in (b"hello", b"", b"n" * 900, b"\xfe"):
            s.sendall(text + b"\n")
            got = s.recv(65536)
            same(got, service.answer(text), f"the answer to {show(text)}, in one receive")


def at_once_at_a_newline(c, service):
    with service.dial(c) as s:
        began = time.monotonic()
        for turn in range(40):
            asks(s, b"turn %d\n" % turn, service.answer(b"turn %d" % turn))
        took = time.monotonic() - began
        expect(took < 40 * service.quiet * 0.7, f"40 lines, one after the other's answer, take {took:.2f} s")


def silence(c, service):
    for text in (b"hello", b"\xfe", b"x" * 1000, b" "):
        with service.dial(c) as s:
            for _ in range(2):
                began = time.monotonic()
                asks(s, text, service.answer(text))
                took = time.monotonic() - began
                expect(service.quiet * 0.95 < took < service.quiet + 2, f"{show(text)} is answered after {took:.3f} s")
            asks(s, b"line\n", service.answer(b"line"))


def silence_alone(c, service):
    with service.dial(c) as s:
        nothing_more(s, 0.5)
        asks(s, b"a\n", service.answer(b"a"))
        nothing_more(s, 0.5)
        asks(s, b"b", service.answer(b"b"))
        nothing_more(s, 0.5)
        got, end = exchange(s, [])
        expect((got, end) == (b"", "FIN"), f"after our end {show(got)} and {end}, expected FIN alone")


def last_byte(c, service):
    # The silence begins at the last byte, not at the first.
    sent = b"0123456789"
    got, end = steady(lambda: service.dial(c), cuts(sent, "bytes"), service.quiet * 1.6, service.quiet / 3)
    expect((got, end) == (service.answer(sent), "FIN"), f"{len(sent)} bytes with pauses of a third of the silence that "
           f"ends a message get {show(got)} and {end}")


def cr_then_lf(c, service):
    pause = service.quiet + 0.3
    for text in (b"hello", b""):
        with service.dial(c) as s:
            asks(s, text + b"\r", service.answer(text + b"\r"))
            time.sleep(pause)
            s.sendall(b"\n")  # belongs to the CR, and is not a message
            nothing_more(s, pause)
            asks(s, b"\n", service.answer(b""))  # this one is
            asks(s, b"next\r", service.answer(b"next\r"))
            asks(s, b"\n\nline\r\n", service.answer(b"", b"line"))
            asks(s, b"more\r", service.answer(b"more\r"))
            asks(s, b"x\n", service.answer(b"x"))
            asks(s, b"no CR", service.answer(b"no CR"))
            asks(s, b"\n", service.answer(b""))
            asks(s, b"the end\r", service.answer(b"the end\r"))
            s.sendall(b"\n")
            s.shutdown(socket.SHUT_WR)
            got, end = read_to_end(s)
            expect((got, end) == (b"", "FIN"), f"an LF and our end behind a CR get {show(got)} and {end}")


def lines(c, service, number, how):
    texts = [b"line %d " % turn + payload(turn % 60, turn).translate(None, b"\r\n\xff") for turn in range(number)]
    pieces = cuts(b"".join(text + b"\n" for text in texts), how)
    got, end = without_silence(lambda: service.dial(c), pieces, service.quiet)
    same(got, service.answer(*texts), f"{number} lines")
    expect(end == "FIN", f"all answers came, but then {end}")


def below_the_limit(c, service):
    for size in (service.most - 2, service.most - 1):
        text = payload(size).translate(bytes(97 + b % 26 for b in range(256)))
        says(c, service, text + b"\n" + text + b"\nnext\n", text, text, b"next")
    says(c, service, b"x" * (service.most - 2) + b"\r\nnext\r\n", b"x" * (service.most - 2), b"next")
    for end in (b"", b"\n"):
        for size in (service.most - 1, service.most):
            if size < service.most or not end:
                says(c, service, b"x" * size + end, b"x" * size)


def cr_at_the_limit(c, service):
    # Whether the CR is the last byte of a full message or already part of its end is left open, but not to the cuts.
    full = b"x" * (service.most - 1)
    allowed = [service.answer(*texts, b"next") for texts in ((full,), (full + b"\r",), (full + b"\r", b""))]
    for how in ("whole", "bytes", "random"):
        got, end = steady(lambda: service.dial(c), cuts(full + b"\r\nnext\n", how), service.quiet)
        expect(got in allowed and end == "FIN", f"{service.most - 1} bytes, CR LF and a line, sent {how}: {show(got)} "
               f"({len(got)} bytes) and {end}")
        allowed = [got]


def never_reads(c, service):
    s, sent = service.dial(c), 0
    try:
        s.setblocking(False)
        block, moved = b"never read\n" * 10_000, time.monotonic()
        while time.monotonic() - moved < 1.5:
            try:
                sent, moved = sent + s.send(memoryview(block)[sent % len(block):]), time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            expect(sent < 64_000_000, f"{sent} bytes taken from one that never reads: buffered without bound?")
        says(c, service, b"and another\n", b"and another", hows=("whole",))
        count, part = divmod(sent, len(b"never read\n"))  # and when it reads at last, nothing is lost
        got, end = exchange(s, [])
        same(got, service.answer(*[b"never read"] * count, *[b"never read"[:part]] * (part > 0)),
             "the answers when it reads at last")
        expect(end == "FIN", f"all answers came, but then {end}")
    finally:
        s.fileno() != -1 and reset(s)


def resets(c, service):
    for sent in (b"", b"half", b"line\nhalf", b"line\n" * 5000):
        s = service.dial(c)
        s.sendall(sent)
        reset(s)
    says(c, service, b"hello\n", b"hello", hows=("whole",))


def beside_idle(c, service):
    waiting = []
    try:
        for turn in range(100):
            waiting.append(service.dial(c))
            if turn % 2:
                waiting[-1].sendall(b"hello\n")
        # Who comes behind them is served when they are, which may take a while; that is not what is timed.
        with service.dial(c) as s:
            asks(s, b"are all there?\n", service.answer(b"are all there?"))
        began = time.monotonic()
        says(c, service, b"hello\r\nto you", b"hello", b"to you", hows=("whole",))
        expect(time.monotonic() - began < 5, f"answered after {time.monotonic() - began:.1f} s")
        for turn, s in enumerate(waiting):
            asks(s, b"\n", service.answer(b"hello", b"") if turn % 2 else service.answer(b""))
    finally:
        for s in waiting:
            reset(s)


def three(c, service):
    # All three are connected all the time, and in turn.
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(service.dial(c)) for _ in range(3)]
        for number in range(10):
            texts = [b"client %d, message %d" % (turn, number) for turn in range(3)]
            for s, text in zip(clients, texts):
                s.sendall(text + b"\n")
            for s, text in reversed([*zip(clients, texts)]):
                asks(s, b"", service.answer(text))


def fifty(c, service):
    def work(turn):
        with service.dial(c) as s:
            for number in range(10):
                text = b"client %d, message %d" % (turn, number)
                asks(s, text + b"\n", service.answer(text))
                time.sleep(0.01)
            s.shutdown(socket.SHUT_WR)
            got, end = read_to_end(s)
            expect((got, end) == (b"", "FIN"), f"after our end {show(got)} and {end}")
    at_once(50, work)


for service in (Message(), Greet()):
    for what, (sent, *texts) in STREAMS.items():
        checks.add(f"{service.name}-{what}", says, service, sent, *texts)
    for what, function in {"one-receive-has-the-answer": one_receive, "at-once-at-a-newline": at_once_at_a_newline,
                           "silence": silence, "silence-alone-is-none": silence_alone,
                           "silence-counts-from-the-last-byte": last_byte, "lf-behind-a-quiet-cr": cr_then_lf,
                           "below-the-limit": below_the_limit, "cr-at-the-limit": cr_at_the_limit,
                           "sends-for-ever-and-never-reads": never_reads, "clients-reset": resets,
                           "3-at-once": three, "50-at-once": fifty,
                           "beside-100-idle": beside_idle}.items():
        checks.add(f"{service.name}-{what}", function, service)
    checks.add(f"{service.name}-5000-lines-whole", lines, service, 5000, "whole")
    checks.add(f"{service.name}-5000-lines-random", lines, service, 5000, "random")


# --- message alone: what is over 4096 is dropped up to the next end ---

MESSAGE, FULL = Message(), bytes(97 + i % 23 for i in range(4096))


@checks("message-with-255")
def with_255(c):
    says(c, MESSAGE, b"\xff\xff \xff\xfd\x01\n\xff", b"\xff\xff \xff\xfd\x01", b"\xff")
    says(c, MESSAGE, bytes(range(256)).replace(b"\n", b"") + b"\n",
         bytes(range(256)).replace(b"\n", b""))


def over(c, size):
    text = FULL + b"y" * (size - 4096)
    hows = ("whole", "bytes", "random") if size < 10_000 else ("whole", "random")
    says(c, MESSAGE, text, FULL, hows=hows)
    for end in (b"\n", b"\r\n"):
        says(c, MESSAGE, text + end, FULL, hows=hows)
        says(c, MESSAGE, text + end + b"next" + end + end + text + end + b"last", FULL, b"next", b"", FULL, b"last",
             hows=hows)


for size in (4096, 4097, 4098, 5000, 8192, 30_000):
    checks.add(f"message-of-{size}-bytes-is-cut", over, size)


@checks("message-silence-ends-what-is-dropped")
def silence_ends(c):
    for size in (4096, 5000, 9000):
        with c.message() as s:
            for _ in range(2):
                asks(s, FULL + b"y" * (size - 4096), MESSAGE.answer(FULL))
                nothing_more(s)
            asks(s, b"next\n", MESSAGE.answer(b"next"))
            asks(s, b"\n", MESSAGE.answer(b""))


@checks("message-drops-without-bound")
def drops(c):
    pieces = [FULL, *[b"y" * 1_000_000] * 8, b"\nnext"]
    got, end = without_silence(c.message, pieces, MESSAGE.quiet)
    same(got, MESSAGE.answer(FULL, b"next"), "the answer to 8 MB in one line")
    expect(end == "FIN", f"answered, but then {end}")
