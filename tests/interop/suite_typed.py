"""typed, in both schemas: what is stored, what is aborted."""

import os
import socket
import time

from target import checks
from wire import DATA, at_once, cuts, data, exchange, expect, head, payload, read_to_end, reset, show, string

SCHEMAS = ("sized", "close")
LABEL = {"sized": "typed", "close": "typed-close"}


def says(c, schema, sent, want="FIN", half_close=False, how="whole"):
    """All of `sent` gets this end, no byte, and, unless we half-close, that without our end."""
    began = time.monotonic()
    with c.typed(schema) as s:
        got, end = exchange(s, cuts(sent, how), half_close=half_close)
    expect((got, end) == (b"", want), f"{show(sent)} gets {show(got)} and {end}, expected {want} alone")
    expect(time.monotonic() - began < 5, f"{show(sent)} gets its {end} after {time.monotonic() - began:.1f} s")


# --- STRING, and what the schemas share ---

def texts(c, schema):
    with c.stores():
        for text in (b"Hello", b"", b"x", "grüße ✓".encode(), b"\xff\xfe not UTF-8", b"\0\x1b[31m\r\n\x7f", b"../x",
                     b"n" * 255, b"n" * 256, b"n" * 4095, b"\xff" * 4096):
            for half_close in (False, True):
                says(c, schema, string(text), half_close=half_close)
        for how in ("bytes", "random"):
            says(c, schema, string(payload(1000)), how=how)


def texts_too_long(c, schema):
    with c.stores():
        for sent in (string("n" * 4097), head(1, 4097), head(1, 0x1001) + b"n", head(1, 65_535), string("n" * 65_535)):
            says(c, schema, sent, "RST")


def text_ends_early(c, schema):
    sent = string("grüße")
    with c.stores():
        for n in range(1, len(sent)):
            says(c, schema, sent[:n], "RST", half_close=True)
        says(c, schema, string("n" * 4096)[:-1], "RST", half_close=True)


def unknown(c, schema):
    with c.stores():
        for tag in (0, *((3, 4, 5, 6) if schema == "close" else ()), 7, 8, 15, 16, 17, 127, 128, 255):
            for rest in (b"", b"\5\0\0\0\0\0\0\0hello"):
                says(c, schema, bytes([tag]) + rest, "RST")


def nothing(c, schema):
    with c.stores():
        for _ in range(3):
            says(c, schema, b"", half_close=True)


def bytes_with_pauses(c, schema):
    # Each byte in a segment of its own, for sure.
    for sent, bodies in ((string("hello"), ()), (frame(schema, b"hello"), (b"hello",))):
        with c.stores(*bodies), c.typed(schema) as s:
            for byte in cuts(sent, "bytes"):
                time.sleep(0.01)
                s.sendall(byte)
            got, end = exchange(s, [])
            expect((got, end) == (b"", "FIN"), f"{show(sent)} gets {show(got)} and {end}, expected FIN alone")


def bytes_behind(c, schema, frame, *bodies):
    for behind in (b"x", frame, b"\0", payload(100_000)):
        for half_close in (False, True):
            with c.stores(*bodies):
                says(c, schema, frame + behind, half_close=half_close)
    with c.stores(*bodies), c.typed(schema) as s:  # the client reads long after all was written
        s.sendall(frame + payload(3000))
        time.sleep(0.5)
        got, end = read_to_end(s)
        expect((got, end) == (b"", "FIN"), f"bytes behind the message get {show(got)} and {end}, expected FIN alone")


for schema in SCHEMAS:
    for what, function in {"string": texts, "string-over-4096": texts_too_long, "bytes-with-pauses": bytes_with_pauses,
                           "string-ends-at-every-byte": text_ends_early, "unknown-tag": unknown,
                           "no-byte-at-all": nothing}.items():
        checks.add(f"{LABEL[schema]}-{what}", function, schema)
    checks.add(f"{LABEL[schema]}-bytes-behind-a-string", bytes_behind, schema, string("text"))
checks.add("typed-bytes-behind-data", bytes_behind, "sized", data(b"body"), b"body")


# --- schema sized ---

def stored(c, tag, size, how="whole"):
    body = payload(size, tag)
    for half_close in (False, True):
        with c.stores(body):
            says(c, "sized", data(body, tag), half_close=half_close, how=how)


for tag in DATA:
    for size in (0, 1, 5, 255):
        checks.add(f"typed-tag-{tag}-{size}-bytes", stored, tag, size)
for tag, size in ((3, 256), (3, 65_535), (4, 65_536), (4, 600_000), (5, 600_000), (6, 600_000)):
    checks.add(f"typed-tag-{tag}-{size}-bytes", stored, tag, size)
for tag, size, how in ((3, 3000, "bytes"), (6, 3000, "bytes"), (4, 600_000, "random")):
    checks.add(f"typed-tag-{tag}-{size}-{how}", stored, tag, size, how)


def data_ends_early(c, tag):
    sent = data(b"hello", tag)
    with c.stores():
        for n in range(1, len(sent)):
            says(c, "sized", sent[:n], "RST", half_close=True)
        for sent in (head(tag, 200), head(tag, 200) + b"x" * 199):
            says(c, "sized", sent, "RST", half_close=True)


for tag in DATA:
    checks.add(f"typed-ends-at-every-byte-tag-{tag}", data_ends_early, tag)


@checks("typed-ends-before-the-last-byte")
def ends_late(c):
    with c.stores():
        for tag in (4, 5, 6):
            says(c, "sized", data(payload(600_000), tag)[:-1], "RST", half_close=True)


@checks("typed-length-over-4-GiB")
def too_long(c):
    with c.stores():
        for n in ((1 << 32) + 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            says(c, "sized", head(6, n), "RST")
        says(c, "sized", head(6, (1 << 64) - 1) + payload(100_000), "RST")


# --- schema close ---

def to_the_end(c, size, how):
    with c.stores(payload(size)):
        says(c, "close", b"\2" + payload(size), half_close=True, how=how)


for size, how in ((0, "whole"), (1, "whole"), (3000, "bytes"), (65_536, "whole"), (600_000, "whole"),
                  (600_000, "random")):
    checks.add(f"typed-close-{size}-bytes-{how}", to_the_end, size, how)


@checks("typed-close-goes-on-to-the-end")
def goes_on(c):
    # Neither a silence nor bytes that look like a frame end it.
    with c.stores(data(b"a") + string("b") + b"\n"), c.typed("close") as s:
        for part in (b"\2", data(b"a"), string("b"), b"\n"):
            s.sendall(part)
            time.sleep(0.3)
        s.shutdown(socket.SHUT_WR)
        got, end = read_to_end(s)
        expect((got, end) == (b"", "FIN"), f"{show(got)} and {end}, expected FIN alone")


# --- both: clients that reset, that are many, and what is seen meanwhile ---

def frame(schema, body):
    return data(body, 4) if schema == "sized" else b"\2" + body


def resets(c, schema):
    with c.stores():
        for size in (1, 4, 5, 100_000, 599_999):
            s = c.typed(schema)
            s.sendall(frame(schema, payload(600_000))[:size])
            time.sleep(0.05)
            reset(s)
        time.sleep(0.1)  # nothing tells us that the server has seen the last


def unseen(c, schema):
    body = payload(600_000)
    before = c.listing()
    with c.stores(body), c.typed(schema) as s:
        for piece in (frame(schema, body)[:5], frame(schema, body)[5:500_000], frame(schema, body)[500_000:-1]):
            s.sendall(piece)
            time.sleep(0.1)
            expect(not c.drawn(before), f"half a file is seen: {list(c.drawn(before))}")
        got, end = exchange(s, [body[-1:]])
        expect((got, end) == (b"", "FIN"), f"{show(got)} and {end}, expected FIN alone")


def fifty(c, schema):
    # Two and two of the same bytes: each is a file of its own.
    bodies = [payload(turn // 2 * 1000, turn // 2) for turn in range(50)]
    with c.stores(*bodies):
        at_once(50, lambda turn: says(c, schema, frame(schema, bodies[turn]), half_close=True, how="random"))


def beside_idle(c, schema):
    waiting = []
    with c.leaves():
        try:
            for turn in range(100):
                waiting.append(c.typed(schema))
                if turn % 2:
                    waiting[-1].sendall(frame(schema, payload(1000))[:500])
            # Who comes behind them is served when they are, which may take a while; that is not what is timed.
            with c.typed(schema) as s:
                expect(exchange(s, [string("are all there?")]) == (b"", "FIN"), "behind 100 who wait nobody is served")
            before = c.listing()
            says(c, schema, frame(schema, payload(70_000)), half_close=True)
            found = c.drawn(before)
            expect([*found.values()] == [payload(70_000)], f"stored files of {[*map(len, found.values())]} bytes")
            for name in found:
                os.unlink(os.path.join(c.folder, name))
        finally:
            for s in waiting:
                reset(s)


for schema in SCHEMAS:
    for what, function in {"client-resets": resets, "unseen-until-whole": unseen, "50-at-once": fifty,
                           "beside-100-idle": beside_idle}.items():
        checks.add(f"{LABEL[schema]}-{what}", function, schema)


# --- time limits: 10 s of waiting, once for both services ---

@checks("upload-and-typed-half-a-head-is-aborted")
def half_a_head(c):
    waiting = {}
    with c.stores():
        for service, what in (("typed", b"\1"), ("typed", b"\1\5"), ("typed", b"\4\1\2"), ("upload", b"\1"),
                              ("upload", b"\1\5"), ("upload", b"\1\5\0"), ("upload", b"\1\5\0name")):
            s = waiting[f"{service}, {what!r}"] = c.typed() if service == "typed" else c.upload()
            s.sendall(what)
        s = waiting["upload, half a head of DATA"] = c.upload()
        s.sendall(string("interop-late.bin"))
        expect(s.recv(100) == b"OK", "no OK")
        s.sendall(b"\4\1")
        began = time.monotonic()
        for what, s in waiting.items():
            with s:
                s.settimeout(max(0.1, 15 - (time.monotonic() - began)))
                try:
                    got, end = read_to_end(s)
                except TimeoutError:
                    got, end = b"", "nothing in 15 s"
            took = time.monotonic() - began
            expect((got, end) == (b"", "RST"), f"{what}: {show(got)} and {end}, expected RST after 10 s")
            expect(took > 8, f"{what}: aborted after {took:.1f} s, allowed are 10")
