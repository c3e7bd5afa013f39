"""upload: what is stored, what is refused, what is aborted, and what others see meanwhile."""

import os
import re
import socket
import tempfile
import threading
import time

from suite_file import BAD_NAMES, GOOD_NAMES
from target import checks
from wire import (DATA, STEP, Failed, at_once, cuts, data, exchange, expect, head, payload, read_to_end, reset, same,
                  show, string, we_end)

NAME, OTHER = "interop-upload.bin", "interop-upload-2.bin"
OLD = b"the older file, whole"


# --- what is stored ---

def takes(s, name):
    """The name is sent, and answered with OK: one write, and nothing behind it."""
    s.sendall(string(name))
    got = s.recv(100)
    expect(got == b"OK", f"the name is answered with {show(got)}, expected b'OK' in one receive")


def begun(c, name, **sizes):
    s = c.upload(**sizes)
    takes(s, name)
    return s


def ends(s, want="FIN", late=b""):
    """We end; so does the server."""
    we_end(s)
    got, end = read_to_end(s)
    expect((got, end) == (late, want), f"after our end {show(got)} and {end}, expected {show(late)} and {want}")


def absent(c, name):
    if os.path.lexists(c.path(name)):
        os.unlink(c.path(name))


def there(c, name, body):
    """The file is there now, whole."""
    expect(os.fsencode(name) in c.listing(), f"{name!r} is not there")
    same(c.read(name), body, f"the file {name!r}")


def upload(c, name, body, tag=None, how="whole"):
    with c.leaves(name), begun(c, name) as s:
        for piece in cuts(data(body, tag), how):
            s.sendall(piece)
        ends(s)
        there(c, name, body)


def uploaded(c, size, tag, how="whole"):
    upload(c, NAME, payload(size, tag or 1), tag, how)


for tag in DATA:
    for size in (0, 5):
        checks.add(f"upload-{size}-bytes-tag-{tag}", uploaded, size, tag)
for size, tag in ((1, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 4), (600_000, 4), (600_000, 5), (600_000, 6),
                  (1 << 24, 5)):
    checks.add(f"upload-{size}-bytes-tag-{tag}", uploaded, size, tag)
for size, how in ((3000, "bytes"), (600_000, "random")):
    checks.add(f"upload-{size}-bytes-{how}", uploaded, size, None, how)
for what, name in GOOD_NAMES.items():
    checks.add(f"upload-name-good-{what}", upload, name, payload(100, len(name)))
checks.add("upload-name-good-format-character", upload, "interop\u200b.bin", b"no control character")


@checks("upload-bytes-with-pauses")
def upload_slow(c):
    # Each byte in a segment of its own, for sure.
    with c.leaves(NAME), c.upload() as s:
        for byte in cuts(string(NAME), "bytes"):
            time.sleep(0.01)
            s.sendall(byte)
        got = s.recv(100)
        expect(got == b"OK", f"the name is answered with {show(got)}")
        for byte in cuts(data(b"hello", 5), "bytes"):
            time.sleep(0.01)
            s.sendall(byte)
        ends(s)
        there(c, NAME, b"hello")


@checks("upload-several-on-one-connection")
def upload_several(c):
    files = {f"interop-upload-{turn}.bin": payload(size, turn) for turn, size in enumerate((5, 0, 70_000, 1, 600_000))}
    before = None
    with c.leaves(*files), c.upload() as s:
        for name, body in files.items():
            takes(s, name)
            if before:
                there(c, before, files[before])  # this OK has proved it
            s.sendall(data(body))
            before = name
        ends(s)
        for name, body in files.items():
            there(c, name, body)


@checks("upload-one-name-again-on-one-connection")
def upload_again(c):
    with c.leaves(NAME), c.upload() as s:
        for turn, size in enumerate((600_000, 10, 0, 70_000, 7)):
            takes(s, NAME)
            if turn:
                there(c, NAME, before)
            before = payload(size, turn)
            s.sendall(data(before))
        ends(s)
        there(c, NAME, before)


@checks("upload-no-byte-at-all")
def upload_nothing(c):
    with c.leaves(), c.upload() as s:
        ends(s)


@checks("upload-says-nothing-unasked")
def upload_quiet(c):
    with c.leaves(NAME), begun(c, NAME) as s:
        s.sendall(data(b"some"))
        s.settimeout(0.5)
        try:
            expect(False, f"{show(s.recv(100))} behind the body, nothing expected")
        except TimeoutError:
            pass
        s.settimeout(STEP)
        ends(s)
        there(c, NAME, b"some")


def pipelined(c, how):
    # How a stream is cut never changes an answer: also when the body comes before the OK is read.
    files = {NAME: payload(300), OTHER: payload(30_000 if how != "bytes" else 1000), "interop-empty.bin": b""}
    with c.leaves(*files), c.upload() as s:
        stream = b"".join(string(name) + data(body) for name, body in files.items())
        got, end = exchange(s, cuts(stream, how))
        expect((got, end) == (b"OKOKOK", "FIN"), f"{show(got)} and {end}, expected b'OKOKOK' and FIN")
        for name, body in files.items():
            there(c, name, body)


for how in ("whole", "bytes", "random"):
    checks.add(f"upload-pipelined-{how}", pipelined, how)


@checks("upload-is-served-by-file")
def upload_served(c):
    upload(c, NAME, payload(70_000, 9))
    with c.file() as s:
        got, end = exchange(s, [NAME.encode() + b"\n"], half_close=False)
    same(got, payload(70_000, 9), "what file serves")
    expect(end == "FIN", f"whole, but then {end}")


# --- what is refused, with words ---

def err(got, end, before=b""):
    expect(got.startswith(before + b"ERR ") and got.endswith(b"\n"), f"answered with {show(got)} and {end}, "
           f"expected {before + b'ERR reason'!r} and a newline")
    reason = got[len(before) + 4:-1]
    try:
        text = reason.decode()
    except UnicodeDecodeError:
        raise Failed(f"the reason is no text: {show(reason)}") from None
    expect(text.strip() and not re.search(r"[\x00-\x1f\x7f-\x9f]", text), f"the reason is {show(reason)}")
    expect(end == "FIN", f"{show(got)}, but then {end}")


def refused(c, name):
    with c.leaves():
        with c.upload() as s:  # the server ends it, not we
            s.sendall(string(name))
            got = s.recv(1024)  # as much as a lab's program receives, and that once
            expect(got.startswith(b"ERR ") and got.endswith(b"\n"), f"{show(name)} is answered with {show(got)}")
            rest, end = read_to_end(s)
            err(got + rest, end)
        with c.upload() as s:
            err(*exchange(s, [string(name), data(b"the body, sent too soon")]))


for what, name in BAD_NAMES.items():
    checks.add(f"upload-name-bad-{what}", refused, name)
for what, name in {"empty": b"", "newline": b"a\nb", "newline-at-end": b"interop.bin\n", "cr-at-end": b"interop.bin\r",
                   "half-a-character": b"a\xc3", "overlong-utf-8": b"a\xc0\xaf", "4096-bytes": b"n" * 4096,
                   "4096-bytes-not-utf-8": b"\xff" * 4096}.items():
    checks.add(f"upload-name-bad-{what}", refused, name)


@checks("upload-name-every-control-character")
def refused_control(c):
    with c.leaves():
        for code in (*range(0x20), *range(0x7f, 0xa0)):
            with c.upload() as s:
                got, end = exchange(s, [string(f"a{chr(code)}b")], half_close=False)
                expect(got.startswith(b"ERR "), f"U+{code:04X} in a name is answered with {show(got)} and {end}")
                err(got, end)


@checks("upload-name-climbs-out")
def refused_climbs(c):
    parent = os.path.dirname(os.path.realpath(c.folder))
    with tempfile.TemporaryDirectory() as outside, c.leaves():
        os.symlink(outside, c.path("interop-way-out"))
        for name in ("../interop-climbed", f"{outside}/climbed", "interop-dir/climbed", "interop-dir/b",
                     "interop-dir/../interop-climbed", "./interop-climbed", "interop-way-out/climbed",
                     "..\\interop-climbed"):
            refused(c, name)
        expect(not os.listdir(outside), "a file was stored outside the folder")
        os.unlink(c.path("interop-way-out"))
    expect(not os.path.lexists(os.path.join(parent, b"interop-climbed")), "a file was stored in the folder above")
    expect(os.listdir(c.path("interop-dir")) == [b"b"], "a file was stored in a folder below")


@checks("upload-name-of-a-symbolic-link")
def refused_link(c):
    with tempfile.TemporaryDirectory() as outside:
        secret = os.path.join(outside, "secret")
        with open(secret, "wb") as f:
            f.write(OLD)
        c.put("interop-target", OLD)
        links = {"interop-link-out": secret, "interop-link-in": "interop-target", "interop-link-folder": outside,
                 "interop-link-dangling": os.path.join(outside, "nowhere"), "interop-link-loop": "interop-link-loop"}
        for name, target in links.items():
            if not os.path.lexists(c.path(name)):
                os.symlink(target, c.path(name))
            refused(c, name)
            expect(os.path.islink(c.path(name)), f"{name} is a link no more")
        expect(os.listdir(outside) == ["secret"], f"outside there are {os.listdir(outside)}")
        with open(secret, "rb") as f:
            same(f.read(), OLD, "the file outside")
        there(c, "interop-target", OLD)


@checks("upload-name-of-a-folder")
def refused_folder(c):
    refused(c, "interop-dir")
    expect(os.listdir(c.path("interop-dir")) == [b"b"], "the folder is changed")


@checks("upload-name-of-a-fifo")
def refused_fifo(c):
    os.path.lexists(c.path("interop-upload-fifo")) or os.mkfifo(c.path("interop-upload-fifo"))
    refused(c, "interop-upload-fifo")


@checks("upload-refused-behind-a-file")
def refused_second(c):
    with c.leaves(NAME), begun(c, NAME) as s:
        s.sendall(data(b"stored all the same"))
        err(*exchange(s, [string(".hidden")], half_close=False))
        there(c, NAME, b"stored all the same")


@checks("upload-refused-with-a-body-behind")
def refused_body(c):
    # The end after ERR is a FIN, though there is input that nobody wants.
    with c.leaves():
        for turn in range(5):
            with c.upload() as s:
                err(*exchange(s, [string(".hidden") + data(payload(100_000))], half_close=turn % 2))
        with c.upload() as s:
            s.sendall(string(".hidden") + data(payload(3000)))
            time.sleep(0.5)
            err(*read_to_end(s))


# --- what is aborted ---

def aborted(c, s, sent, may=(b"",), within=2):
    """What is sent gets a RST, without another byte from us."""
    began = time.monotonic()
    got, end = exchange(s, [sent], half_close=False)
    expect(end == "RST" and got in may, f"{show(sent)} gets {show(got)} and {end}, expected RST")
    expect(time.monotonic() - began < within, f"aborted after {time.monotonic() - began:.1f} s")


def aborted_first(c, *all_sent):
    with c.leaves():
        for sent in all_sent:
            with c.upload() as s:
                aborted(c, s, sent)


UNKNOWN = tuple(bytes([tag]) for tag in (0, 7, 8, 15, 16, 17, 127, 128, 255))
checks.add("upload-data-before-a-name", aborted_first, *(data(body, tag) for tag in DATA for body in (b"", b"some")),
           *(head(tag, 5) for tag in DATA))
checks.add("upload-unknown-tag", aborted_first, *UNKNOWN, *(tag + b"\1\0x" for tag in UNKNOWN))
checks.add("upload-string-of-4097", aborted_first, string("n" * 4097), head(1, 4097), head(1, 65_535),
           head(1, 0x1001) + b"a.bin")


def aborted_after_ok(c, *all_sent):
    c.put(NAME, OLD)
    with c.leaves(NAME):
        for sent in all_sent:
            with begun(c, NAME) as s:
                aborted(c, s, sent)
            there(c, NAME, OLD)
            # The same, sent in one piece: the OK may be lost to the RST.
            with c.upload() as s:
                aborted(c, s, string(NAME) + sent, may=(b"", b"OK"))
            there(c, NAME, OLD)


checks.add("upload-second-name", aborted_after_ok, string(OTHER), string(NAME), string(""), string(".hidden"))
checks.add("upload-unknown-tag-after-ok", aborted_after_ok, *UNKNOWN)
checks.add("upload-length-over-4-GiB", aborted_after_ok,
           *(head(6, n) for n in ((1 << 32) + 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)),
           head(6, (1 << 64) - 1) + payload(100_000))


@checks("upload-length-of-4-GiB-begins")
def upload_4_gib(c):
    room = os.statvfs(c.folder)
    if room.f_bavail * room.f_frsize < 1 << 33:
        return  # "disk full" would be right
    with c.leaves():
        with begun(c, NAME) as s:
            s.sendall(head(6, 1 << 32) + payload(1000))
            s.settimeout(0.5)
            try:
                expect(False, f"{show(s.recv(100))}, though 4 GiB are allowed")
            except TimeoutError:
                pass
            reset(s)


@checks("upload-error-behind-a-file")
def aborted_behind(c):
    # What was stored before stays stored: its OK, or its being whole, came first.
    for sent in (b"\0", data(b"no name"), head(1, 4097)):
        with c.leaves(NAME, OTHER), begun(c, NAME) as s:
            s.sendall(data(payload(5000)))
            takes(s, OTHER)
            there(c, NAME, payload(5000))
            s.sendall(data(b"more"))
            aborted(c, s, sent)
            there(c, NAME, payload(5000))


def end_at_every_byte(c, tag):
    """A conversation of two pairs that ends at each of its bytes."""
    old = {NAME: OLD, OTHER: b"another old one"}
    new = {NAME: b"abcde", OTHER: b"xy"}
    steps = [part for name, body in new.items() for part in (string(name), data(body, tag))]
    stream = b"".join(steps)
    ends_at = [len(b"".join(steps[:n])) for n in range(5)]
    for n in range(len(stream) + 1):
        for name in old:
            c.put(name, old[name])
        with c.leaves():
            with c.upload() as s:
                got, end = exchange(s, [stream[:n]])
            files = {name: c.read(name) for name in old}
        step, between = sum(n >= at for at in ends_at) - 1, n in ends_at[::2]
        said = b"OK" * ((step + 1) // 2)
        where = f"ended after {n} of {len(stream)} bytes: {show(got)} and {end}"
        if between:
            expect((got, end) == (said, "FIN"), f"{where}, expected {said!r} and FIN")
        else:  # a RST may overtake an OK
            expect(end == "RST" and said.startswith(got), f"{where}, expected RST")
        for turn, name in enumerate(old):
            whole = step >= 2 * turn + 2
            expect(files[name] == (new if whole else old)[name] or whole and not between and files[name] == old[name],
                   f"{where}; {name} holds {show(files[name])}")


for tag in (2, 6):
    checks.add(f"upload-end-at-every-byte-tag-{tag}", end_at_every_byte, tag)


@checks("upload-end-after-ok")
def end_after_ok(c):
    # The same ends, by a client that waits for its OK, and with no older file.
    absent(c, NAME)
    for sent in (b"", b"\2", head(3, 5)[:2], head(6, 600_000)[:8], head(2, 5), data(b"abcde")[:-1],
                 data(payload(600_000))[:-1]):
        with c.leaves():
            with begun(c, NAME) as s:
                s.sendall(sent)
                ends(s, "RST")
            expect(NAME.encode() not in c.listing(), f"{show(sent)} and an end store a file")


@checks("upload-client-resets-in-the-body")
def client_resets(c):
    for old in (False, True):
        absent(c, NAME)
        if old:
            c.put(NAME, OLD)
        with c.leaves():
            for size in (0, 1, 100_000, 599_999):
                s = begun(c, NAME)
                s.sendall(data(payload(600_000))[:4 + size])
                time.sleep(0.05)
                reset(s)
                time.sleep(0.1)  # nothing tells us that the server has seen it
                expect(old or NAME.encode() not in c.listing(), f"a reset after {size} of 600000 bytes stores a file")
                if old:
                    there(c, NAME, OLD)


@checks("upload-client-resets-behind-the-body")
def client_resets_late(c):
    # Whether it is stored then is open; a part of it never is.
    c.put(NAME, OLD)
    with c.leaves(NAME):
        for turn in range(20):
            s = begun(c, NAME)
            s.sendall(data(payload(100_000, turn)))
            reset(s)
            allowed = [OLD] + [payload(100_000, t) for t in range(turn + 1)]
            expect(c.read(NAME) in allowed, f"the file has {len(c.read(NAME))} bytes that nobody sent")


# --- what others see meanwhile ---

def unseen(c, old):
    body = payload(600_000)
    if old is not None:
        c.put(NAME, old)
    else:
        absent(c, NAME)

    def check(when):
        expect((NAME.encode() in c.listing()) == (old is not None), f"{when} the name is {'gone' if old else 'there'}")
        if old is not None:
            same(c.read(NAME), old, f"the older file, {when}")
        with c.file() as s:  # and file says the same
            got, end = exchange(s, [NAME.encode() + b"\n"], half_close=False)
        want = (old, "FIN") if old is not None else (b"", "RST")
        expect((got, end) == want, f"{when} file serves {show(got)} and {end}")
    with c.leaves(NAME), c.upload() as s:
        check("before it is named")
        takes(s, NAME)
        check("after its OK")
        sent = 0
        for at in (1, 4, 5, 300_000, 600_003):
            s.sendall(data(body)[sent:at])
            sent = at
            time.sleep(0.1)
            check(f"after {at} of 600004 bytes")
        s.sendall(data(body)[sent:])
        ends(s)
        there(c, NAME, body)


checks.add("upload-unseen-until-whole", unseen, None)
checks.add("upload-older-stays-until-whole", unseen, OLD)
checks.add("upload-older-empty-stays-until-whole", unseen, b"")


@checks("upload-over-a-file-being-fetched")
def over_fetched(c):
    old = payload(3_000_000, 5)
    c.put(NAME, old)
    with c.file(rcvbuf=4096) as reader:
        reader.sendall(NAME.encode() + b"\n")
        first = reader.recv(100)
        expect(first, "file serves nothing")
        upload(c, NAME, payload(500))
        got, end = read_to_end(reader)
    same(first + got, old, "what the reader of the older file got")
    expect(end == "FIN", f"whole, but then {end}")


@checks("upload-two-of-one-name-the-last-wins")
def two_at_once(c):
    for first in (0, 1):
        bodies = [payload(300_000, 1), payload(200_000, 2)]
        c.put(NAME, OLD)
        with c.leaves(NAME), begun(c, NAME) as a, begun(c, NAME) as b:
            both = [a, b]
            for s, body in zip(both, bodies):
                s.sendall(data(body)[:100_000])
            there(c, NAME, OLD)
            for turn in (first, 1 - first):
                both[turn].sendall(data(bodies[turn])[100_000:])
                ends(both[turn])
                there(c, NAME, bodies[turn])


@checks("upload-many-of-one-name-at-once")
def many_of_one(c):
    bodies = [payload(200_000 + turn, turn) for turn in range(16)]
    allowed, done, seen = {OLD, *bodies}, threading.Event(), []

    def watch():
        while not done.is_set():
            try:
                found = c.read(NAME)
            except OSError as e:
                seen.append(f"the name is gone: {e}")
            else:
                if found not in allowed:
                    seen.append(f"{len(found)} bytes that are no one's file")
            time.sleep(0.002)

    def work(turn):
        with begun(c, NAME) as s:
            for piece in cuts(data(bodies[turn]), "random", seed=turn):
                s.sendall(piece)
            ends(s)
    c.put(NAME, OLD)
    with c.leaves(NAME):
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            at_once(len(bodies), work)
        finally:
            done.set()
            watcher.join(STEP)
    expect(not seen, f"while they were uploaded, {len(seen)} times: {seen[:1]}")
    expect(c.read(NAME) in bodies, "at the end the file is none of those uploaded")


@checks("upload-a-folder-or-link-appears-meanwhile")
def appears(c):
    late = c.path("interop-upload-late")
    with c.leaves(late), begun(c, "interop-upload-late") as s:
        os.mkdir(late)
        s.sendall(data(b"some"))
        ends(s, "RST")
        expect(os.path.isdir(late), "the folder was replaced")
    os.rmdir(late)
    with tempfile.NamedTemporaryFile() as outside, c.leaves(late), begun(c, "interop-upload-late") as s:
        os.symlink(outside.name, late)
        s.sendall(data(b"some"))
        we_end(s)
        got, end = read_to_end(s)
        same(outside.read(), b"", "the file outside")
        is_link = os.path.islink(late)
        expect(is_link == (end == "RST") and not got,
               f"{show(got)} and {end}, the link {'stays' if is_link else 'is gone'}")
    os.unlink(late)


@checks("upload-100-at-once")
def hundred(c):
    def work(turn):
        name, body = f"interop-upload-{turn}.bin", payload(turn * 300, turn)
        with begun(c, name) as s:
            for piece in cuts(data(body), "random"):
                s.sendall(piece)
            ends(s)
            there(c, name, body)
    with c.leaves(*(f"interop-upload-{turn}.bin" for turn in range(100))):
        at_once(100, work)


@checks("upload-beside-100-idle")
def beside_idle(c):
    waiting = []
    with c.leaves(NAME):
        try:
            for turn in range(100):
                s = c.upload()
                waiting.append(s)
                if turn % 2:  # these stay in the middle of a body
                    takes(s, f"interop-upload-{turn}.bin")
                    s.sendall(data(payload(1000))[:500])
            with begun(c, NAME) as s:
                s.sendall(data(payload(600_000)))
                ends(s)
                there(c, NAME, payload(600_000))
        finally:
            for s in waiting:
                reset(s)
