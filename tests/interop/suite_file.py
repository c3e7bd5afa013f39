"""file: what is served, what is refused, rough clients."""

import os
import socket
import tempfile
import time

from target import BIG, SIZES, SMALL, checks, content, serves_file
from wire import cuts, exchange, expect, payload, read_to_end, reset, same, show, steady, without_silence

BIG_SPARSE = 100_000_000


# --- file: what is served ---

def get_file(c, name, ending, how="whole"):
    """`ending`: newline, CRLF, half-close, or silence. Returns what came and how it ended."""
    asked = os.fsencode(name) if isinstance(name, str) else name
    asked += {"newline": b"\n", "crlf": b"\r\n"}.get(ending, b"")
    began = time.monotonic()

    def dial():
        nonlocal began
        began = time.monotonic()
        return c.file()
    result = without_silence(dial, cuts(asked, how), 0.1, half_close=ending == "half-close")
    took = time.monotonic() - began
    expect(took < 5, f"took {took:.1f} s ({ending})")  # 100 ms of silence, not a limit of seconds, ends a name
    return result


def file_served(c, name, ending, how):
    got, end = get_file(c, name, ending, how)
    same(got, content(name), name)
    expect(end == "FIN", f"whole, but then {end}")


for name in SIZES:
    for ending in ("newline", "crlf", "half-close", "silence"):
        checks.add(f"file-{SIZES[name]}-{ending}", file_served, name, ending, "whole")
for ending in ("newline", "crlf", "half-close"):
    # Without pauses: a silence of 100 ms would end the name, rightly.
    checks.add(f"file-name-byte-by-byte-{ending}", file_served, SMALL, ending, "bytes")

GOOD_NAMES = {"255-bytes": "n" * 251 + ".bin", "255-bytes-of-utf-8": "ü" * 127 + "x", "utf-8": "interop grüße ✓.txt",
              "two-dots-inside": "interop..bin", "nearly-reserved": "CONfig.txt", "com10": "com10.txt"}


def good_name(c, name):
    data = payload(100, len(name))
    c.put(name, data)
    for ending in ("newline", "half-close"):
        got, end = get_file(c, name, ending)
        expect(end == "FIN", f"{end} after {len(got)} bytes")
        same(got, data, ending)


for what, name in GOOD_NAMES.items():
    checks.add(f"file-name-good-{what}", good_name, name)


@checks("file-name-slow-but-steady")
def file_slow_name(c):
    got, end = steady(c.file, cuts(SMALL.encode() + b"\n", "bytes"), 0.1, 0.03)
    expect(end == "FIN", f"{end} after {len(got)} bytes")
    same(got, content(SMALL), SMALL)


@checks("file-silence-ends-the-name")
def file_silence(c):
    with c.file() as s:
        s.sendall(SMALL.encode())
        time.sleep(0.6)  # the silence is the stimulus
        got, end = exchange(s, [b".absent\n"], half_close=False)
    same(got, content(SMALL), SMALL)
    expect(end == "FIN", f"whole, but then {end}")


@checks("file-bytes-behind-the-name-are-ignored")
def file_junk(c):
    for name in (SMALL, BIG, "interop-0.bin"):
        for junk in (b"more", b"interop-1.bin\n", payload(100_000)):
            for half_close in (True, False):
                with c.file() as s:
                    got, end = exchange(s, [name.encode() + b"\n" + junk], half_close=half_close)
                same(got, content(name), f"{name} with {len(junk)} bytes behind, half-close {half_close}")
                expect(end == "FIN", f"{name} whole, but then {end}: {len(junk)} bytes behind the name")


@checks("file-unread-input-leaves-the-end-a-fin")
def file_junk_later(c):
    # The server has long written all, and perhaps closed, when this client begins to read.
    with c.file() as s:
        s.sendall(SMALL.encode() + b"\n" + payload(3000))
        time.sleep(0.7)
        got, end = read_to_end(s)
    same(got, content(SMALL), SMALL)
    expect(end == "FIN", f"whole, but then {end}")


# --- file: what is refused ---

def refused(c, name, endings=("newline", "crlf", "half-close", "silence")):
    for ending in endings:
        got, end = get_file(c, name, ending)
        expect(not got, f"{show(got)} sent before the refusal ({ending})")
        expect(end == "RST", f"refused with {end}, not RST ({ending}): an empty file looks like this")


BAD_NAMES = {
    "dot-dot": b"..", "dot": b".", "up": b"../interop-1.bin", "etc-passwd": b"/etc/passwd", "slash": b"interop-dir/b",
    "up-and-down": b"interop-dir/../interop-1.bin", "backslash": b"interop-dir\\b", "hidden": b".hidden",
    "nul": b"interop-1.bin\0", "nul-inside": b"interop-1.bin\0.txt", "control": b"bell\x07.txt", "tab": b"a\tb",
    "delete": b"a\x7fb", "c1-control": b"a\xc2\x85b", "not-utf-8": b"bad\xff.bin", "surrogate": b"a\xed\xa0\x80b",
    "256-bytes": b"n" * 252 + b".bin", "256-bytes-of-utf-8": "ü".encode() * 128, "2000-bytes": b"n" * 2000,
    "con": b"CON", "con-txt": b"CON.txt", "con-small": b"con", "aux": b"aux", "nul-device": b"NUL.tar.gz",
    "com1": b"COM1", "lpt9": b"lpt9.log", "colon": b"name:stream", "star": b"*", "question": b"a?", "quote": b'a"b',
    "less": b"a<b", "greater": b"a>b", "pipe": b"a|b", "dot-at-end": b"interop.", "space-at-end": b"interop ",
}


def bad_name(c, name):
    if b"/" not in name and b"\0" not in name and name not in (b".", b"..") and len(name) < 256:
        c.put(name, b"never to be seen")
    refused(c, name, ("newline", "half-close"))


for what, name in BAD_NAMES.items():
    checks.add(f"file-name-bad-{what}", bad_name, name)
checks.add("file-absent", refused, "interop-absent.bin")
checks.add("file-name-empty-line", refused, b"", ("newline", "crlf"))


@checks("file-refused-with-bytes-behind-the-name")
def file_refused_junk(c):
    with c.file() as s:
        got, end = exchange(s, [b"interop-absent.bin\n" + payload(5000)], half_close=False)
    expect((got, end) == (b"", "RST"), f"{show(got)} and {end}, expected RST alone")


@checks("file-symbolic-link-to-outside")
def file_link(c):
    with tempfile.TemporaryDirectory() as outside:
        secret = os.path.join(outside, "secret")
        with open(secret, "wb") as f:
            f.write(b"outside the folder")
        os.symlink(secret, c.path("interop-link"))
        os.symlink(os.path.relpath(secret, os.path.realpath(os.fsdecode(c.folder))), c.path("interop-link-relative"))
        os.symlink(outside, c.path("interop-link-folder"))
        os.symlink("interop-nowhere", c.path("interop-link-dangling"))
        os.symlink("interop-link-loop", c.path("interop-link-loop"))
        for name in ("", "-relative", "-folder", "-folder/secret", "-dangling", "-loop"):
            refused(c, "interop-link" + name, ("newline", "silence"))


@checks("file-directory")
def file_directory(c):
    refused(c, "interop-dir")


@checks("file-fifo")
def file_fifo(c):
    os.mkfifo(c.path("interop-fifo"))
    waiting = [c.file() for _ in range(20)]  # more than a pool of threads is likely to have
    for s in waiting:
        s.sendall(b"interop-fifo\n")
    serves_file(c)
    for s in waiting:
        with s:
            got, end = read_to_end(s)
            expect((got, end) == (b"", "RST"), f"{show(got)} and {end}, expected RST alone")


# --- file: rough clients, and files that change ---

@checks("file-client-resets-in-the-middle")
def file_client_resets(c):
    for turn in range(20):
        s = c.file(rcvbuf=4096)
        s.sendall(BIG.encode() + b"\n")
        if turn % 3:
            expect(s.recv(1000 * turn), "ended at once")
        reset(s)
    serves_file(c, BIG)


@checks("file-client-resets-before-it-asks")
def file_client_resets_early(c):
    for name in (b"", b"inter", BIG.encode(), BIG.encode() + b"\n"):
        s = c.file()
        s.sendall(name)
        reset(s)
    serves_file(c)


@checks("file-slow-reader")
def file_slow_reader(c):
    for name in (SMALL, BIG):
        with c.file(rcvbuf=4096) as s:
            s.sendall(name.encode() + b"\n")
            time.sleep(3)  # longer than the 2 s that an ending waits: what lies in the server must not be lost
            got, end = read_to_end(s)
        same(got, content(name), name)
        expect(end == "FIN", f"whole, but then {end}")


def read_sparse(s, size, want_end="FIN", pause=0.0):
    total, tail = 0, b""
    while True:
        try:
            part = s.recv(1 << 20)
        except ConnectionResetError:
            end = "RST"
            break
        if not part:
            end = "FIN"
            break
        if pause and total // (size // 20) != (total + len(part)) // (size // 20):
            time.sleep(pause)
        total, tail = total + len(part), (tail + part[-16:])[-16:]
    expect(end == want_end, f"{end} after {total} bytes, expected {want_end}")
    if want_end == "FIN":
        expect(total == size, f"{total} bytes, expected {size}")
        expect(tail == b"the very end.\n\0\xff", f"the end is {tail!r}")


@checks("file-slow-reader-of-100-MB")
def file_sparse(c):
    path = c.sparse("interop-sparse.bin", BIG_SPARSE)
    with c.file(rcvbuf=65536) as s:
        s.sendall(b"interop-sparse.bin\n")
        time.sleep(1)
        read_sparse(s, BIG_SPARSE, pause=0.1)
    os.unlink(path)


def file_changes(c, change, want_end):
    path = c.sparse("interop-changing.bin", BIG_SPARSE // 5)
    with c.file(rcvbuf=65536) as s:
        s.sendall(b"interop-changing.bin\n")
        expect(s.recv(1, socket.MSG_PEEK), "ended at once")  # so it is open
        change(path)
        read_sparse(s, BIG_SPARSE // 5, want_end)


def grow(path):
    with open(path, "ab") as f:
        f.write(b"too late" * 1000)


checks.add("file-that-grows-meanwhile", file_changes, grow, "FIN")
checks.add("file-that-is-removed-meanwhile", file_changes, os.unlink, "FIN")
checks.add("file-that-shrinks-meanwhile", file_changes, lambda path: os.truncate(path, 1000), "RST")
