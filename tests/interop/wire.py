"""What suite.py, clients.py and selftest.py share: sockets with time limits, cuts, frames, and the table of checks."""

import contextlib
import errno
import fnmatch
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback

STEP = float(os.environ.get("INTEROP_STEP", 10))  # seconds any single socket operation may take
HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = 60  # seconds a whole check may take
STRING, DATA = 1, (2, 3, 4, 5, 6)  # the tags of schema `sized`
WIDTH = {1: 2, 2: 1, 3: 2, 4: 3, 5: 4, 6: 8}  # bytes of the length behind each tag


class Failed(Exception):
    """A check saw something that the contract does not allow."""


def expect(condition, why):
    if not condition:
        raise Failed(why)


def show(data, limit=60):
    """A short repr, for a reason in one line."""
    return repr(data) if len(data) <= limit else f"{data[:limit]!r}... ({len(data)} bytes)"


def same(got, want, what):
    if got == want:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    raise Failed(f"{what}: {len(got)} bytes, expected {len(want)}; differs at {at}: "
                 f"{show(got[at:at + 24])}, expected {show(want[at:at + 24])}")


def payload(size, seed=1):
    """Bytes of all values, reproducible, with no period that a lost block could hide in."""
    return random.Random(seed * 1_000_003 + size).randbytes(size)


def cuts(data, how, seed=7):
    """`data` in pieces: `whole`, `bytes`, or `random` (from single bytes to some 20,000)."""
    if how == "whole":
        return [data] if data else []
    if how == "bytes":
        return [data[i:i + 1] for i in range(len(data))]
    rng, pieces, at = random.Random(seed + len(data)), [], 0
    while at < len(data):
        n = int(2 ** rng.uniform(0, 14.3))
        pieces.append(data[at:at + n])
        at += n
    return pieces


def head(tag, length):
    """The tag and the length that a frame begins with."""
    return bytes([tag]) + length.to_bytes(WIDTH[tag], "little")


def smallest(length):
    """The smallest DATA tag that fits."""
    return next(tag for tag in DATA if length < 1 << 8 * WIDTH[tag])


def string(text):
    """A STRING, also one longer than a receiver may take."""
    text = text if isinstance(text, bytes) else os.fsencode(text)
    return head(STRING, len(text)) + text


def data(body, tag=None):
    """A DATA of schema `sized`, with the smallest tag that fits unless one is given."""
    return head(tag or smallest(len(body)), len(body)) + body


def dial(host, port, rcvbuf=None, sndbuf=None):
    """A connected TCP socket that waits at most STEP for anything and never holds small segments back."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    for option, size in ((socket.SO_RCVBUF, rcvbuf), (socket.SO_SNDBUF, sndbuf)):
        if size:
            sock.setsockopt(socket.SOL_SOCKET, option, size)
    sock.settimeout(STEP)
    sock.connect(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reset(sock):
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_to_end(sock):
    """All that comes and how it ended, `FIN` or `RST`. A time-out is an exception."""
    parts = []
    while True:
        try:
            part = sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b"".join(parts), "RST"
        if not part:
            # A RST right behind the FIN is no orderly end.
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return b"".join(parts), "RST" if error else "FIN"
        parts.append(part)


def we_end(sock):
    """Ends our side. Where a reset came first, that is for who reads to see."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError as e:
        if e.errno != errno.ENOTCONN:
            raise


class Late(Exception):
    """A silence came between two pieces that we did not mean: the machine is too busy."""


def exchange(sock, pieces, half_close=True, timeout=50.0, quiet=None):
    """Sends the pieces while it reads, half-closes, reads to the end. Returns (bytes, `FIN` or `RST`). With `quiet`
    gives up as `Late` when half as long has passed between two pieces, or before the end."""
    last = time.monotonic()

    def in_time():
        nonlocal last
        now = time.monotonic()
        if quiet and now - last >= quiet / 2:
            raise Late
        last = now
    sock.setblocking(False)
    pieces = [memoryview(p) for p in pieces if p]
    pieces.reverse()
    parts, broken, closed = [], False, not half_close
    until = time.monotonic() + timeout
    while pieces or not closed:
        left = until - time.monotonic()
        expect(left > 0, f"after {timeout:.0f} s still {sum(map(len, pieces))} bytes to send")
        if not pieces:
            in_time()
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                broken = True
            break
        readable, writable, _ = select.select([sock], [sock], [], min(left, STEP))
        expect(readable or writable, f"no progress for {STEP:.0f} s, {sum(map(len, pieces))} bytes still to send")
        try:
            if readable:
                part = sock.recv(262144)
                if not part:
                    break  # an end before we have sent all
                parts.append(part)
            if writable:
                sent = sock.send(pieces[-1])
                in_time()
                if sent == len(pieces[-1]):
                    pieces.pop()
                else:
                    pieces[-1] = pieces[-1][sent:]
        except BlockingIOError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            broken = True
            break
    sock.settimeout(STEP)
    rest, end = read_to_end(sock)
    parts.append(rest)
    return b"".join(parts), "RST" if broken else end


def coarser(pieces, number):
    """The same bytes, so many pieces joined to one, save for the first and the last 20."""
    inner = pieces[20:-20]
    return [*pieces[:20], *(b"".join(inner[at:at + number]) for at in range(0, len(inner), number)), *pieces[-20:]]


def without_silence(dial, pieces, quiet, half_close=True):
    """`exchange` on a new connection; all over again if it was late. On a machine that is too busy for so many pieces, those
    in the middle get longer from try to try."""
    for turn in range(100):
        if turn > 1 and len(pieces) > 60:
            pieces = coarser(pieces, 2)
        with contextlib.suppress(Late), dial() as s:
            return exchange(s, pieces, half_close, quiet=quiet)
    raise Failed(f"the machine is too busy for {len(pieces)} pieces without a silence of {quiet:.1f} s")


def steady(dial, pieces, quiet, pause=0.0):
    """Sends the pieces on a new connection, half-closes, reads to the end, as `exchange` does; all over again if a
    silence of half of `quiet` came between two of them, which we did not mean. On a machine that is too busy for so
    many pieces without a silence, those in the middle get longer from try to try."""
    for turn in range(100):
        if pause < 0.01 and turn > 1 and len(pieces) > 60:
            pieces = coarser(pieces, 2)
        with dial() as s:
            last, late, got, end = time.monotonic(), False, None, None
            try:
                for piece in pieces:
                    time.sleep(pause)
                    s.sendall(piece)
                    now = time.monotonic()
                    late, last = now - last >= quiet / 2, now
                    if late and turn < 99:
                        break
                else:
                    s.shutdown(socket.SHUT_WR)
            except OSError:  # a reset, before all was sent
                got, end = b"", "RST"
            late = late or time.monotonic() - last >= quiet / 2
            if late and turn < 99:
                continue
            if end is None:
                got, end = read_to_end(s)
        break
    return got, end


def nothing_more(sock, seconds=0.4):
    """Nothing comes for a while, no end either."""
    sock.settimeout(seconds)
    try:
        got = sock.recv(65536)
        raise Failed(f"{show(got) if got else 'an end'}, nothing expected")
    except TimeoutError:
        sock.settimeout(STEP)


def asks(sock, sent, want):
    """Sends, and gets just these bytes, the connection staying open."""
    sock.sendall(sent)
    got = b""
    while len(got) < len(want):
        part = sock.recv(65536)
        expect(part, f"{show(sent)} gets {show(got)} and an end, expected {show(want)}")
        got += part
    same(got, want, f"the answer to {show(sent)}")


def at_once(number, work):
    """`work(0)`, `work(1)`, …, a thread each; fails with what went wrong in any."""
    wrong = []

    def one(turn):
        try:
            work(turn)
        except Exception as e:
            wrong.append(f"{turn}: {type(e).__name__ if not isinstance(e, Failed) else ''} {e}")
    threads = [threading.Thread(target=one, args=(turn,), daemon=True) for turn in range(number)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(not wrong, f"{len(wrong)} of {number}: {'; '.join(wrong)[:400]}")


class Checks:
    """Named checks, run one after the other, one line each."""

    def __init__(self):
        self.all = []

    def add(self, name, function, *args):
        self.all.append((name, function, args))

    def __call__(self, name, *args):
        def register(function):
            self.add(name, function, *args)
            return function
        return register

    def leave_out(self, names):
        self.all = [c for c in self.all if c[0] not in names]

    def chosen(self, pattern):
        return [c for c in self.all if not pattern or fnmatch.fnmatch(c[0], f"*{pattern}*")]

    def run(self, context, pattern):
        """Prints `ok` and `FAIL` lines and the count; returns the exit status."""
        passed = failed = 0
        signal.signal(signal.SIGALRM, out_of_time)
        for name, function, args in self.chosen(pattern):
            why = None
            signal.alarm(CHECK)
            try:
                function(context, *args)
            except Failed as e:
                why = str(e)
            except Exception as e:
                spot = [f for f in traceback.extract_tb(e.__traceback__) if os.path.dirname(f.filename) == HERE
                        and not f.filename.endswith("wire.py")][-1:]
                where = f" ({os.path.basename(spot[0].filename)}:{spot[0].lineno})" if spot else ""
                why = f"{type(e).__name__}: {e}{where}"
            finally:
                signal.alarm(0)
            if why is None:
                passed += 1
                print(f"ok {name}", flush=True)
            else:
                failed += 1
                print(f"FAIL {name}: {' '.join(why.split())}", flush=True)
        print(f"{passed} passed, {failed} failed", flush=True)
        if passed + failed == 0:
            print("no check has such a name", file=sys.stderr)
        return 1 if failed or not passed else 0


def out_of_time(*_):
    raise Failed(f"not done after {CHECK} s")
