#!/usr/bin/env python3
"""Checks our client program against Python servers: the labs' own, and ones that misbehave in known ways.

Python 3.11's standard library only. One line per check; exit status 1 if any failed.
"""

import argparse
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

from peers import (HOLD, Server, all_of, answers_lines, answers_once, delivered, echoes, exactly, finishes, frame,
                   guesses, keeps_and_echoes, lab, sends_then_resets, silent, stalls, takes_one_frame, takes_uploads,
                   udp_server, udp_socket)
from wire import STEP, STRING, Checks, cuts, expect, payload, read_to_end, reset, same, show, smallest, string

SIZES = (0, 1, 55_696, 583_163)
TEXT = "Test message. This will be echoed"
checks = Checks()


class Context:
    def __init__(self, args):
        # The client runs in a folder of its own: the paths in its command must hold from there.
        self.program = [os.path.abspath(t) if os.path.isfile(t) else t for t in shlex.split(args.program)]
        self.extra, self.host, self.frontend = shlex.split(args.extra), args.host, args.frontend

    def command(self, *args):
        return [*self.program, *map(str, args), *self.extra]

    def run(self, *args, stdin=b"", cwd=None, wait=30):
        """Runs the client; its result has `took`, in seconds. Without `cwd`, in an empty folder that must stay so."""
        with tempfile.TemporaryDirectory() as empty:
            began = time.monotonic()
            done = subprocess.run(self.command(*args), input=stdin, capture_output=True, cwd=cwd or empty, timeout=wait)
            done.took = time.monotonic() - began
            expect(not os.listdir(empty), f"the client left {os.listdir(empty)}")
        return done

    def client(self, service, port, *args, **more):
        return self.run("client", service, *args, "--host", self.host, "--port", port, **more)


def succeeds(done, stdout, quiet=True):
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    same(done.stdout, stdout if isinstance(stdout, bytes) else stdout.encode(), "stdout")
    expect(not quiet or not done.stderr, f"stderr {show(done.stderr, 200)}")


def fails(done, status=1, within=None):
    expect(done.returncode == status, f"exit status {done.returncode}, expected {status}; "
           f"stdout {show(done.stdout, 200)}, stderr {show(done.stderr, 200)}")
    expect(done.stderr.strip(), "no message on stderr")
    expect(within is None or done.took < within, f"took {done.took:.1f} s, expected less than {within}")


# --- echo ---

def echo_lines(c, port, text=TEXT):
    parts = "".join(f"Received: {text[i:i + 16]}\n" for i in range(0, len(text), 16))
    return f"Connecting to {c.host} port {port}\nSending {text}\n{parts}Closing connection to the server\n"


@checks("echo-lab-server")
def echo_lab(c):
    with lab(c, "echo_tcp_server.py") as port:
        succeeds(c.client("echo", port), echo_lines(c, port))
        for text in ("x", "exactly 16 bytes", "seventeen bytes!!", "two words " * 40):
            succeeds(c.client("echo", port, text), echo_lines(c, port, text))
        done = c.client("echo", port, "grüße")
        succeeds(done, echo_lines(c, port, "grüße"))


@checks("echo-sends-the-text-alone")
def echo_exact(c):
    def serve(s):
        data = s.recv(33, socket.MSG_WAITALL)
        s.sendall(data)
        return data + all_of(s)
    with Server(c, serve) as server:
        succeeds(c.client("echo", server.port), echo_lines(c, server.port))
        same(server.result()[0], TEXT.encode(), "what the server got")


@checks("echo-answer-in-single-bytes")
def echo_single(c):
    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in cuts(s.recv(33, socket.MSG_WAITALL), "bytes"):
            s.sendall(byte)
            time.sleep(0.005)  # each byte in a segment of its own
        all_of(s)
    with Server(c, serve) as server:
        succeeds(c.client("echo", server.port), echo_lines(c, server.port))


@checks("echo-server-ends-too-early")
def echo_short(c):
    def serve(s):
        s.sendall(s.recv(33, socket.MSG_WAITALL)[:20])
        s.shutdown(socket.SHUT_WR)
        all_of(s)
    with Server(c, serve) as server:
        fails(c.client("echo", server.port))


# --- echo over UDP ---

def udp_lines(c, port, text=TEXT):
    return (f"Connecting to {c.host} port {port}\nSending {text}\nreceived {text}\n"
            "Closing connection to the server\n")


@checks("echo-udp-lab-server")
def udp_lab(c):
    with lab(c, "echo_udp_server.py") as port:
        succeeds(c.client("echo", port, "--udp"), udp_lines(c, port))
        succeeds(c.client("echo", port, "--udp", "two words"), udp_lines(c, port, "two words"))


@checks("echo-udp-first-datagram-is-lost")
def udp_lost(c):
    seen = []

    def serve(s, data, peer):
        seen.append(data)
        if len(seen) > 1:
            s.sendto(data, peer)
    with udp_server(c, serve) as port:
        succeeds(c.client("echo", port, "--udp"), udp_lines(c, port))
    expect(set(seen) == {TEXT.encode()}, f"the server got {seen}")


@checks("echo-udp-a-stranger-answers-first")
def udp_stranger(c):
    stranger, _ = udp_socket(c)

    def serve(s, data, peer):
        stranger.sendto(b"I am a stranger", peer)
        s.sendto(data, peer)
    with stranger, udp_server(c, serve) as port:
        succeeds(c.client("echo", port, "--udp"), udp_lines(c, port))


@checks("echo-udp-no-answer")
def udp_silent(c):
    seen = []
    with udp_server(c, lambda s, data, peer: seen.append(data)) as port:
        fails(c.client("echo", port, "--udp", "--timeout", 1), within=3.5)
    # "Sent again, 3 times": three or four datagrams, as one reads it.
    expect(len(seen) in (3, 4), f"{len(seen)} datagrams sent")


@checks("echo-udp-only-a-stranger-answers")
def udp_only_stranger(c):
    stranger, _ = udp_socket(c)
    with stranger, udp_server(c, lambda s, data, peer: stranger.sendto(data, peer)) as port:
        fails(c.client("echo", port, "--udp", "--timeout", 1), within=3.5)


# --- hello ---

def hello_lines(c, port, text):
    return f'Connected to: {c.host} {port}\nServer says: I got "{text}" from you and I am sending it back.\n'


@checks("hello-lab-server")
def hello_lab(c):
    with lab(c, "hello_server.py") as port:
        for text in ("Hello", "two words", 'with "quotes"', "grüße"):
            succeeds(c.client("hello", port, text), hello_lines(c, port, text))


@checks("hello-text-from-stdin")
def hello_stdin(c):
    with lab(c, "hello_server.py") as port:
        done = c.client("hello", port, stdin=b"from standard input\n")
        # Whether the prompt is shown when no terminal is there is left open.
        done.stdout = done.stdout.replace(b"Enter your message to server: \n", b"")
        done.stdout = done.stdout.replace(b"Enter your message to server: ", b"")
        succeeds(done, hello_lines(c, port, "from standard input"), quiet=False)


@checks("hello-answer-in-pieces")
def hello_pieces(c):
    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b'I got "' + s.recv(1024) + b'" from you and I am sending it back.'
        for at in range(0, len(answer), 15):
            s.sendall(answer[at:at + 15])
            time.sleep(0.03)
    with Server(c, serve) as server:
        done = c.client("hello", server.port, "pieces")
        expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
        start = f"Connected to: {c.host} {server.port}\nServer says: I got".encode()
        expect(done.stdout.startswith(start), f"stdout {show(done.stdout, 200)}")


# --- file ---

@checks("file-lab-server")
def file_lab(c):
    with tempfile.TemporaryDirectory() as served, lab(c, "file_server.py", served) as port:
        for size in SIZES:
            name, data = f"of {size} bytes.bin", payload(size)
            pathlib.Path(served, name).write_bytes(data)
            with tempfile.TemporaryDirectory() as here:
                for out, args in ((name, ()), ("out.bin", ("-o", "out.bin"))):
                    succeeds(c.client("file", port, name, *args, cwd=here), f"The size of {name} is {size}\n", False)
                    same(pathlib.Path(here, out).read_bytes(), data, out)
                expect(sorted(os.listdir(here)) == sorted([name, "out.bin"]), f"the client left {os.listdir(here)}")
            succeeds(c.client("file", port, name, "-o", "-"), data, False)
        with tempfile.TemporaryDirectory() as here:
            done = c.client("file", port, "-o", "asked", stdin=b"of 1 bytes.bin\n", cwd=here)
            expect(done.returncode == 0, f"name from stdin: exit status {done.returncode}, {show(done.stderr, 200)}")
            same(pathlib.Path(here, "asked").read_bytes(), payload(1), "name from stdin")


def get_file(c, serve, status=0, before=None, size=0, within=None, args=()):
    """Fetches NAME as OUT; on failure neither OUT (or the OUT of before) nor anything else may be changed or left."""
    with Server(c, serve) as server, tempfile.TemporaryDirectory() as here:
        out = pathlib.Path(here, "out.bin")
        if before is not None:
            out.write_bytes(before)
        done = c.client("file", server.port, "some name.txt", "-o", "out.bin", *args, cwd=here)
        left = {n: pathlib.Path(here, n).read_bytes() for n in os.listdir(here)}
    if status:
        fails(done, status, within)
        expect(b"The size of" not in done.stdout, f"says {show(done.stdout)} of a failure")
        expect(left in ({}, {"out.bin": before}), f"leaves { {n: len(b) for n, b in left.items()} } behind")
    else:
        succeeds(done, f"The size of some name.txt is {size}\n", False)
        same(left.pop("out.bin", b""), payload(size), "out.bin")
        expect(not left, f"leaves {sorted(left)} behind")
    return server.result()


@checks("file-asks-with-the-name-and-a-half-close")
def file_asks(c):
    heard = get_file(c, all_of)
    expect(heard == [b"some name.txt"], f"the server got {heard}")


def file_in_pieces(c, size, how):
    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.recv(1024)
        for piece in cuts(payload(size), how):
            s.sendall(piece)
    get_file(c, serve, size=size)


checks.add("file-in-single-bytes", file_in_pieces, 3000, "bytes")
checks.add("file-in-random-pieces", file_in_pieces, 583_163, "random")


@checks("file-slower-than-the-timeout-but-steady")
def file_steady(c):
    def serve(s):
        s.recv(1024)
        for piece in cuts(payload(8), "bytes"):
            time.sleep(0.25)
            s.sendall(piece)
    get_file(c, serve, size=8, args=("--timeout", 1))


def file_breaks(c, serve, before, within=None, args=()):
    get_file(c, serve, status=1, before=before, within=within, args=args)


for what, before in (("", None), ("-over-an-older-file", b"the older file")):
    checks.add(f"file-reset-in-the-middle{what}", file_breaks, sends_then_resets(payload(100_000)), before)
    checks.add(f"file-reset-before-any-byte{what}", file_breaks, sends_then_resets(b""), before)
    checks.add(f"file-stalls-in-the-middle{what}", file_breaks, stalls, before, 3.5, ("--timeout", 1))


@checks("file-to-stdout-reset-in-the-middle")
def file_stdout_reset(c):
    with Server(c, sends_then_resets(payload(100_000))) as server:
        done = c.client("file", server.port, "name", "-o", "-")
    fails(done)
    expect(payload(100_000).startswith(done.stdout), "stdout has what the server did not send")


# --- upload ---

FILES = {"one.bin": payload(1), "none.bin": b"", "some of it.bin": payload(55_696), "grüße.bin": payload(583_163)}
MUCH = 20_000_000  # more than lies in the buffers of two sockets when nobody reads


def upload(c, serve, *names, files=FILES, args=(), **more):
    """Uploads from a folder with these files, which stays as it is. Returns how it went and what the server heard."""
    with Server(c, serve) as server, tempfile.TemporaryDirectory() as here:
        for name, body in files.items():
            pathlib.Path(here, name).parent.mkdir(exist_ok=True)
            pathlib.Path(here, name).write_bytes(body)
        done = c.client("upload", server.port, *names, *args, cwd=here, **more)
        for name, body in files.items():
            same(pathlib.Path(here, name).read_bytes(), body, f"our own {name}")
        left = {str(p.relative_to(here)) for p in pathlib.Path(here).rglob("*") if p.is_file()}
        expect(left == set(files), f"the client left {left}")
    return done, server.result()


def stored(*names, files=FILES):
    return "".join(f"{name}: {len(files[name])} bytes stored\n" for name in names)


def says_stored(done, *names, files=FILES):
    """Just these are reported, in this order; what else there is to say may stand between."""
    said = [line for line in done.stdout.decode().splitlines(True) if "stored" in line]
    expect(said == stored(*names, files=files).splitlines(True), f"stdout {show(done.stdout, 200)}, "
           f"expected as stored {list(names)}")


def heard_of(*names, files=FILES):
    return [(STRING, name.encode(), smallest(len(files[name])), files[name]) for name in names]


def heard_same(heard, want):
    short = [[(h[1], h[2], None if h[3] is None else len(h[3])) for h in one] for one in heard]
    expect(heard == want, f"the server heard, by connection, {show(short, 300)}, or other bytes")


@checks("upload-lab-server")
def upload_lab(c):
    with tempfile.TemporaryDirectory() as into, tempfile.TemporaryDirectory() as here, \
            lab(c, "upload_server.py", into) as port:
        for name, body in FILES.items():
            pathlib.Path(here, name).write_bytes(body)
            succeeds(c.client("upload", port, name, cwd=here), stored(name), False)
            same(pathlib.Path(into, name).read_bytes(), body, name)
            os.unlink(pathlib.Path(into, name))
        succeeds(c.client("upload", port, *FILES, cwd=here), stored(*FILES), False)
        for name, body in FILES.items():
            same(pathlib.Path(into, name).read_bytes(), body, name)


@checks("upload-over-one-connection")
def upload_one(c):
    done, heard = upload(c, takes_uploads(), *FILES)
    succeeds(done, stored(*FILES), False)
    heard_same(heard, [heard_of(*FILES)])


@checks("upload-smallest-tag-that-fits")
def upload_tags(c):
    sizes = (0, 1, 255, 256, 65_535, 65_536, (1 << 24) - 1, 1 << 24)
    files = {f"{size}.bin": payload(size) for size in sizes}
    done, heard = upload(c, takes_uploads(), *files, files=files)
    succeeds(done, stored(*files, files=files), False)
    heard_same(heard, [heard_of(*files, files=files)])
    expect([tag for _, _, tag, _ in heard[0]] == [2, 2, 2, 3, 3, 4, 4, 5], "other tags")


@checks("upload-names-from-stdin")
def upload_stdin(c):
    for names in (("one.bin",), ("none.bin", "some of it.bin", "grüße.bin")):
        done, heard = upload(c, takes_uploads(), stdin="".join(f"{name}\n" for name in names).encode())
        expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
        # Whether a prompt is shown when no terminal is there is left open, and so are the connections.
        said = [line for line in done.stdout.decode().splitlines(True) if line.endswith("stored\n")]
        expect(len(said) == len(names) and all(s.endswith(stored(n)) for s, n in zip(said, names)),
               f"stdout {show(done.stdout, 200)}")
        heard_same([[h for one in heard for h in one]], [heard_of(*names)])


@checks("upload-of-a-path-sends-the-name")
def upload_path(c):
    files = {"folder/deep.bin": b"deep"}
    done, heard = upload(c, takes_uploads(), "folder/deep.bin", files=files)
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    # Which of the two is reported is left open.
    expect(done.stdout in (b"folder/deep.bin: 4 bytes stored\n", b"deep.bin: 4 bytes stored\n"), f"{show(done.stdout)}")
    heard_same(heard, [[(STRING, b"deep.bin", 2, b"deep")]])


def answers_in_pieces(answer, pause):
    def serve(s):
        while frame(s):
            for byte in cuts(answer, "bytes"):
                s.sendall(byte)
                time.sleep(pause)
            if not answer.startswith(b"OK") or not frame(s):
                return
    return serve


@checks("upload-ok-in-single-bytes")
def upload_ok_pieces(c):
    done, _ = upload(c, answers_in_pieces(b"OK", 0.05), "one.bin", "some of it.bin")
    succeeds(done, stored("one.bin", "some of it.bin"), False)


@checks("upload-slower-than-the-timeout-but-steady")
def upload_steady(c):
    def answer(name):
        time.sleep(0.5)
        return b"OK"
    done, _ = upload(c, takes_uploads(answer), *FILES, args=("--timeout", 1))
    succeeds(done, stored(*FILES), False)


# --- upload: what is refused ---

@checks("upload-err-goes-on-with-the-next")
def upload_err(c):
    refuse = {b"none.bin": b"ERR we have none of these\n"}
    done, heard = upload(c, takes_uploads(lambda name: refuse.get(name, b"OK")), *FILES)
    fails(done)
    expect(b"we have none of these" in done.stderr + done.stdout, f"the reason is not shown: {show(done.stderr, 200)}")
    # An end in good order behind the ERR: what came before it is stored.
    says_stored(done, "one.bin", "some of it.bin", "grüße.bin")
    heard_same(heard, [[*heard_of("one.bin"), (STRING, b"none.bin", None, refuse[b"none.bin"])],
                       heard_of("some of it.bin", "grüße.bin")])


@checks("upload-err-for-all")
def upload_err_all(c):
    done, heard = upload(c, takes_uploads(lambda name: b"ERR not " + name + b"\n"), *FILES)
    fails(done)
    says_stored(done)
    for name in FILES:
        expect(f"not {name}".encode() in done.stderr + done.stdout, f"no reason is shown: {show(done.stderr, 200)}")
    expect([[h[1].decode() for h in one] for one in heard] == [[name] for name in FILES], f"the server heard {heard}")


@checks("upload-err-in-single-bytes")
def upload_err_pieces(c):
    done, _ = upload(c, answers_in_pieces(b"ERR a reason in pieces\n", 0.02), "one.bin")
    fails(done)
    says_stored(done)
    expect(b"a reason in pieces" in done.stderr + done.stdout, f"the reason is not shown: {show(done.stderr, 200)}")


@checks("upload-reason-with-control-characters")
def upload_err_control(c):
    done, _ = upload(c, takes_uploads(lambda name: b"ERR red \x1b[31m \x07\n"), "one.bin")
    fails(done)
    says_stored(done)


# --- upload: what fails ---

def upload_fails(c, serve, *names, proven=(), args=(), within=None, files=FILES):
    done, heard = upload(c, serve, *names, args=args, files=files)
    fails(done, within=within)
    says_stored(done, *proven, files=files)
    return heard


def then_resets(pairs, more=None):
    """Takes so many pairs, then `more(s)`, then resets."""
    def serve(s):
        for _ in range(pairs):
            frame(s)
            s.sendall(b"OK")
            frame(s)
        if more:
            more(s)
        delivered(s)
        reset(s)
    return serve


def ok_and_some(s):
    frame(s)
    s.sendall(b"OK")
    exactly(s, 1000)


checks.add("upload-reset-before-ok", upload_fails, then_resets(0, frame), "one.bin")
checks.add("upload-reset-in-the-body", upload_fails, then_resets(0, ok_and_some), "grüße.bin")
checks.add("upload-reset-behind-the-body", upload_fails, then_resets(1), "one.bin")
checks.add("upload-reset-behind-our-end", upload_fails, then_resets(1, all_of), "some of it.bin")
checks.add("upload-reset-before-the-next-ok", upload_fails, then_resets(1, frame), "one.bin", "grüße.bin")


@checks("upload-reset-in-the-next-body")
def upload_reset_next(c):
    upload_fails(c, then_resets(1, ok_and_some), "one.bin", "grüße.bin", proven=("one.bin",))


@checks("upload-no-ok-for-the-next")
def upload_no_next(c):
    def serve(s):
        frame(s)
        s.sendall(b"OK")
        frame(s)
        all_of(s)
        return HOLD
    upload_fails(c, serve, "one.bin", "none.bin", args=("--timeout", 1), within=3.5)  # no OK: the first is not proven
    upload_fails(c, serve, "one.bin", args=("--timeout", 1), within=3.5)  # and no end either


@checks("upload-stalls-in-the-body")
def upload_stalls(c):
    def serve(s):
        frame(s)
        s.sendall(b"OK")
        return HOLD
    upload_fails(c, serve, "much.bin", files={"much.bin": payload(MUCH)}, args=("--timeout", 1), within=5)


def ends_with(answer):
    def serve(s):
        frame(s)
        s.sendall(answer)
        s.shutdown(socket.SHUT_WR)
        all_of(s)
    return serve


for what, answer in {"no-answer": b"", "half-an-ok": b"O", "another-answer": b"KO", "err-without-an-end": b"ERR we",
                     "err-alone": b"ERR"}.items():
    checks.add(f"upload-server-ends-{what}", upload_fails, ends_with(answer), "some of it.bin")


@checks("upload-server-ends-in-the-body")
def upload_ends_early(c):
    # Only an end behind our own proves anything.
    def serve(s):
        frame(s)
        s.sendall(b"OK")
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
        all_of(s)
    upload_fails(c, serve, "much.bin", files={"much.bin": payload(MUCH)})


@checks("upload-local-file-is-absent")
def upload_absent(c):
    done, heard = upload(c, takes_uploads(), "absent.bin")
    fails(done)
    says_stored(done)
    expect(b"absent.bin" in done.stderr, f"stderr {show(done.stderr, 200)}")
    expect(not any(heard), f"the server heard {show(heard)}")
    done, heard = upload(c, takes_uploads(), "one.bin", "absent.bin", "some of it.bin")
    fails(done)
    says_stored(done, "one.bin", "some of it.bin")
    heard_same([[h for one in heard for h in one]], [heard_of("one.bin", "some of it.bin")])


@checks("upload-local-folder")
def upload_folder(c):
    done, heard = upload(c, takes_uploads(), "folder", files={"folder/deep.bin": b"deep"})
    fails(done)
    says_stored(done)
    expect(not any(heard), f"the server heard {show(heard)}")


# --- typed ---

def typed(c, serve, *args, body=None):
    """Sends, with `body` in the file `body.bin`. Returns how it went and what the server heard."""
    with Server(c, serve) as server, tempfile.TemporaryDirectory() as here:
        if body is not None:
            pathlib.Path(here, "body.bin").write_bytes(body)
        done = c.client("typed", server.port, *args, cwd=here)
        expect(os.listdir(here) == ["body.bin"] * (body is not None), f"the client left {os.listdir(here)}")
    return done, server.result()


def accepted(done):
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    expect(done.stdout.strip(), "nothing on stdout about what was sent, and that it was accepted")


@checks("typed-lab-server")
def typed_lab(c):
    for schema in ("sized", "close"):
        with tempfile.TemporaryDirectory() as into, tempfile.TemporaryDirectory() as here, \
                lab(c, "typed_server.py", into, schema) as port:
            accepted(c.client("typed", port, "--string", "Hello, grüße", "--schema", schema))
            expect(not os.listdir(into), "a STRING was stored")
            for size in SIZES:
                pathlib.Path(here, "body.bin").write_bytes(payload(size))
                for args in (("--file", "body.bin"), ("--random", size)):
                    accepted(c.client("typed", port, *args, "--schema", schema, cwd=here))
                    [found] = pathlib.Path(into).iterdir()
                    body = found.read_bytes()
                    found.unlink()
                    expect(len(body) == size and (args[0] == "--random" or body == payload(size)),
                           f"{args} with {schema} stored {len(body)} bytes, or other ones")


@checks("typed-string")
def typed_string(c):
    for text in ("Hello", "", "two words", "grüße ✓", "n" * 255, "n" * 4096):
        done, heard = typed(c, takes_one_frame, "--string", text)
        accepted(done)
        expect(heard == [((STRING, text.encode()), b"")], f"the server heard {show(heard)}")
        done, heard = typed(c, all_of, "--string", text, "--schema", "close")
        accepted(done)
        expect(heard == [string(text)], f"with schema close the server heard {show(heard)}")


@checks("typed-string-over-4096")
def typed_string_long(c):
    for schema in ("sized", "close"):
        done, heard = typed(c, all_of, "--string", "n" * 4097, "--schema", schema)
        fails(done, 2 if done.returncode == 2 else 1)  # wrong usage, or a failure: left open
        expect(not any(heard), f"the server heard {show(heard)}")


@checks("typed-smallest-tag-that-fits")
def typed_tags(c):
    for size, tag in ((0, 2), (1, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 4), ((1 << 24) - 1, 4), (1 << 24, 5)):
        done, heard = typed(c, takes_one_frame, "--file", "body.bin", body=payload(size))
        accepted(done)
        expect(heard == [((tag, payload(size)), b"")], f"{size} bytes: the server heard {show(heard)}")
        done, heard = typed(c, takes_one_frame, "--random", size)
        accepted(done)
        (got, body), rest = heard[0]
        expect(got == tag and len(body) == size and not rest, f"{size} at random: the server heard {show(heard)}")


@checks("typed-random-is-random")
def typed_random(c):
    bodies = {typed(c, takes_one_frame, "--random", 1000)[1][0][0][1] for _ in range(3)}
    expect(len(bodies) == 3, "the same again")
    expect(all(len(set(body)) > 200 for body in bodies), "of few values")


@checks("typed-close-to-the-end")
def typed_close(c):
    for size in SIZES:
        done, heard = typed(c, all_of, "--file", "body.bin", "--schema", "close", body=payload(size))
        accepted(done)
        expect(heard == [b"\2" + payload(size)], f"{size} bytes: the server heard {show(heard)}")
        done, heard = typed(c, all_of, "--random", size, "--schema", "close")
        accepted(done)
        expect(heard[0][:1] == b"\2" and len(heard[0]) == size + 1, f"{size} at random: the server heard {show(heard)}")


def typed_fails(c, serve, *args, body=None):
    done, heard = typed(c, serve, *args, body=body)
    fails(done)
    return heard


def sends_body(c, serve, *args):
    typed_fails(c, serve, *args, body=payload(1000))


def takes_all_then_resets(s):
    all_of(s)
    reset(s)


def takes_frame_then_resets(s):
    frame(s)
    reset(s)


for schema in ("sized", "close"):
    serve = takes_frame_then_resets if schema == "sized" else takes_all_then_resets
    for what, args in {"string": ("--string", "some text"), "random": ("--random", 1000),
                       "file": ("--file", "body.bin")}.items():
        checks.add(f"typed-{schema}-{what}-reset-behind-it", sends_body, serve, *args, "--schema", schema)


@checks("typed-reset-in-the-body")
def typed_reset_in(c):
    def serve(s):
        exactly(s, 1000)
        reset(s)
    for schema in ("sized", "close"):
        typed_fails(c, serve, "--file", "body.bin", "--schema", schema, body=payload(583_163))


@checks("typed-server-ends-in-the-body")
def typed_ends_early(c):
    # Whoever ends before all was sent cannot have taken all.
    def serve(s):
        exactly(s, 1)
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
        all_of(s)
    for schema in ("sized", "close"):
        typed_fails(c, serve, "--file", "body.bin", "--schema", schema, body=payload(MUCH))


@checks("typed-local-file-is-absent")
def typed_absent(c):
    heard = typed_fails(c, all_of, "--file", "absent.bin")
    expect(not any(heard), f"the server heard {show(heard)}")


@checks("typed-close-killed-in-the-body")
def typed_killed(c):
    # A body to the end of the stream: a dying client must not end it.
    begun, killed = threading.Event(), threading.Event()

    def serve(s):
        exactly(s, 1)
        begun.set()
        killed.wait(STEP)
        s.settimeout(2)
        try:
            return read_to_end(s)[1]
        except TimeoutError:
            return "silence"
    with Server(c, serve) as server, tempfile.TemporaryDirectory() as here:
        pathlib.Path(here, "body.bin").write_bytes(payload(MUCH))
        command = c.command("client", "typed", "--file", "body.bin", "--schema", "close", "--host", c.host,
                            "--port", server.port)
        client = subprocess.Popen(command, cwd=here, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            expect(begun.wait(STEP), "nothing comes")
            time.sleep(0.2)  # nobody reads, so it is in the middle
        finally:
            client.kill()
            client.wait()
            killed.set()
        # A stack of its own dies with its program, and then nobody is there to send anything.
        expected = "silence" if c.frontend == "smoltcp" else "RST"
        expect(server.result() == [expected],
               f"the stream of a killed client ends with {server.heard}, expected {expected}")


# --- message ---

def message_of(line):
    return b"Message: " + line.removesuffix(b"\n").removesuffix(b"\r")


def talk(c, service, serve, *args, **more):
    """One conversation; how it went, and what the server heard."""
    with Server(c, serve) as server:
        done = c.client(service, server.port, *args, **more)
    return done, server.result()


def heard_is(heard, *want):
    expect(heard == [*want], f"the server heard {show(heard, 200)}, expected {show([*want], 200)}")


def message_text(c, text):
    done, heard = talk(c, "message", answers_lines(message_of), text)
    succeeds(done, f"Message: {text}\n")
    heard_is(heard, [text.encode() + b"\n"])


for what, text in {"text": "hello", "two-words": "two words", "utf-8": "grüße ✓", "4000-bytes": "n" * 4000,
                   "4096-bytes": "n" * 4096}.items():
    checks.add(f"message-{what}", message_text, text)


def message_lines(c, stdin, *lines):
    done, heard = talk(c, "message", answers_lines(message_of), stdin=stdin)
    succeeds(done, b"".join(b"Message: " + line + b"\n" for line in lines), False)
    heard_is(heard, [line + b"\n" for line in lines])


for what, (stdin, *lines) in {"one-line": (b"hello\n", b"hello"), "lines": (b"a\nbb\nccc\n", b"a", b"bb", b"ccc"),
                              "no-newline-at-the-end": (b"a\nlast", b"a", b"last"),
                              "empty-line": (b"\na\n\n", b"", b"a", b"")}.items():
    checks.add(f"message-stdin-{what}", message_lines, stdin, *lines)


@checks("message-stdin-nothing")
def message_nothing(c):
    done, heard = talk(c, "message", answers_lines(message_of), stdin=b"")
    succeeds(done, b"", False)
    expect(heard in ([], [[]]), f"the server heard {heard}")


@checks("message-stdin-not-utf-8")
def message_bytes(c):
    # How such a reply is printed when stdout is no terminal is left open.
    done, heard = talk(c, "message", answers_lines(message_of), stdin=b"\xff\xfe \x80\n\x1b[31m\n")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    heard_is(heard, [b"\xff\xfe \x80\n", b"\x1b[31m\n"])


@checks("message-stdin-cut-at-4096")
def message_cut(c):
    done, heard = talk(c, "message", answers_lines(message_of), stdin=b"n" * 4096 + b"yyyy\nnext\n")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    # Whether the rest of such a line is left out or is a message of its own is left open.
    cut = [[b"n" * 4096 + b"\n", *rest, b"next\n"] for rest in ((), (b"yyyy\n",))]
    expect(heard in ([one] for one in cut), f"the server heard lines of {[[*map(len, one)] for one in heard]} bytes")
    said = done.stdout.replace(b"n" * 4096, b"N")
    expect(said in (b"Message: N\nMessage: next\n", b"Message: N\nMessage: yyyy\nMessage: next\n"), f"{show(said)}")


@checks("message-reply-in-pieces")
def message_pieces(c):
    done, heard = talk(c, "message", answers_once(6, b"I have ", b"received", b": hello", pause=0.09), "hello")
    succeeds(done, "I have received: hello\n")
    heard_is(heard, b"hello\n")


@checks("message-reply-ends-with-the-stream")
def message_ends(c):
    def serve(s):
        heard = exactly(s, 6)
        s.sendall(b"Message: hello")
        return heard + finishes(s)
    done, heard = talk(c, "message", serve, "hello")
    succeeds(done, "Message: hello\n")
    heard_is(heard, b"hello\n")


@checks("message-slow-replies")
def message_slow(c):
    # The silence that ends a reply is none before it.
    done, heard = talk(c, "message", answers_lines(message_of, 0.5), stdin=b"a\nb\n")
    succeeds(done, "Message: a\nMessage: b\n", False)
    heard_is(heard, [b"a\n", b"b\n"])


@checks("message-does-not-wait-for-the-timeout")
def message_soon(c):
    done, _ = talk(c, "message", answers_lines(message_of), stdin=b"a\nb\nc\n")
    succeeds(done, "Message: a\nMessage: b\nMessage: c\n", False)
    expect(done.took < 4, f"three lines take {done.took:.1f} s")


# --- greet ---

def greeting_of(line):
    return line.removesuffix(b"\n").removesuffix(b"\r") + b" Ali\r\n"


def greet(c, serve, *answers, args=(), **more):
    """Whether lines go out and are shown with CR LF or LF is left open."""
    done, heard = talk(c, "greet", serve, *args, **more)
    done.stdout = done.stdout.replace(b"\r\n", b"\n")
    succeeds(done, "".join(f"{answer}\n" for answer in answers), False)
    return [[line.replace(b"\r\n", b"\n") for line in one] if isinstance(one, list) else one for one in heard]


@checks("greet-text")
def greet_text(c):
    for text in ("hello", "two words", "grüße ✓", "n" * 1000):
        heard_is(greet(c, answers_lines(greeting_of), f"{text} Ali", args=(text,)), [text.encode() + b"\n"])


@checks("greet-stdin")
def greet_stdin(c):
    for stdin, *lines in ((b"a\nbb\n", "a", "bb"), (b"a\nlast", "a", "last"), (b"\na\n", "", "a"), (b"",)):
        heard = greet(c, answers_lines(greeting_of), *(f"{line} Ali" for line in lines), stdin=stdin)
        want = [line.encode() + b"\n" for line in lines]
        expect(heard == [want] or not want and not heard, f"the server heard {heard}, expected {want}")


@checks("greet-answer-in-single-bytes")
def greet_bytes(c):
    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with s.makefile("rb") as lines:
            for line in lines:
                for byte in cuts(greeting_of(line), "bytes"):
                    time.sleep(0.01 if byte != b"A" else 0.6)  # the answer ends at its LF, at no silence
                    s.sendall(byte)
    greet(c, serve, "hello Ali", "you Ali", stdin=b"hello\nyou\n")


# --- fixed ---

def fixed(c, size, length, args, stdin=False):
    body, count = payload(size), -(-size // length)
    with Server(c, keeps_and_echoes) as server, tempfile.TemporaryDirectory() as here:
        pathlib.Path(here, "body.bin").write_bytes(body)
        done = c.client("fixed", server.port, "-" if stdin else "body.bin", *args, cwd=here,
                        stdin=body if stdin else b"")
    succeeds(done, f"{count} messages of {length} bytes came back\n", False)
    got = b"".join(server.result())
    same(got, body.ljust(count * length, b"\0"), "what the server got")


for size in (1, 1233, 1234, 1235, 100_000):
    checks.add(f"fixed-file-of-{size}", fixed, size, 1234, ())
for length in (1, 7, 65_536):
    checks.add(f"fixed-length-{length}", fixed, 1000, length, ("--length", length))
checks.add("fixed-stdin", fixed, 5000, 1234, (), True)
checks.add("fixed-stdin-length-10", fixed, 1001, 10, ("--length", 10), True)
checks.add("fixed-much", fixed, MUCH, 1234, ())  # who sends all before he reads waits for ever


@checks("fixed-empty-file")
def fixed_empty(c):
    done, heard = talk(c, "fixed", keeps_and_echoes, "-", stdin=b"")
    succeeds(done, "0 messages of 1234 bytes came back\n", False)
    expect(not any(heard), f"the server heard {show(heard)}")


@checks("fixed-replies-in-single-bytes")
def fixed_bytes(c):
    def serve(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := s.recv(65536):
            for byte in cuts(data, "bytes"):
                s.sendall(byte)
    done, _ = talk(c, "fixed", serve, "-", stdin=payload(3000))
    succeeds(done, "3 messages of 1234 bytes came back\n", False)


def fixed_fails(c, serve, size, *args):
    done, _ = talk(c, "fixed", serve, "-", "--timeout", 2, *args, stdin=payload(size))
    fails(done)
    expect(b"came back" not in done.stdout, f"stdout {show(done.stdout)}")


def changes(at):
    """Sends all back, with one byte changed."""
    def serve(s):
        seen = 0
        while data := bytearray(s.recv(65536)):
            if seen <= at < seen + len(data):
                data[at - seen] ^= 1
            seen += len(data)
            s.sendall(data)
    return serve


def ends_after(size):
    def serve(s):
        s.sendall(exactly(s, size))
        finishes(s)
    return serve


for at in (0, 1233, 1234, 3701):
    checks.add(f"fixed-byte-{at}-comes-back-changed", fixed_fails, changes(at), 3702)
for size in (0, 1, 1234, 2000):
    checks.add(f"fixed-server-ends-after-{size}", fixed_fails, ends_after(size), 3702)


@checks("fixed-reset-behind-all")
def fixed_reset(c):
    def serve(s):
        s.sendall(exactly(s, 1234))
        all_of(s)
        reset(s)
    fixed_fails(c, serve, 1234)


@checks("fixed-local-file-is-absent")
def fixed_absent(c):
    done, heard = talk(c, "fixed", keeps_and_echoes, "absent.bin")
    fails(done)
    expect(not any(heard), f"the server heard {show(heard)}")


# --- knock ---

def knocks(c, serve, *args, stdin=b"\n\n\n"):
    """How it went; and how often it said that it was connected, and to where."""
    with Server(c, serve) as server:
        done = c.client("knock", server.port, *args, stdin=stdin)
    said = f"Connected to {c.host}:{server.port}\n".encode()
    # Whether there is a prompt when no terminal is there is left open.
    count = done.stdout.count(said)
    expect(b"Connected" not in done.stdout.replace(said, b""), f"stdout {show(done.stdout)}")
    return done, count, server.result()


def knock(c, count, *args, stdin=b"\n\n\n", serve=finishes):
    done, said, heard = knocks(c, serve, *args, stdin=stdin)
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    expect(said == len(heard) == count, f"{len(heard)} connections, {said} said, expected {count}")
    expect(not any(heard), f"the server heard {show(heard)}")
    return done


for count in (1, 2, 3):
    checks.add(f"knock-count-{count}", knock, count, "--count", count)
    checks.add(f"knock-{count}-times-enter", lambda c, n: knock(c, n, stdin=b"\n" * n), count)


@checks("knock-waits-for-the-end")
def knock_waits(c):
    def serve(s):
        time.sleep(0.7)
        return finishes(s)
    done = knock(c, 2, "--count", 2, serve=serve)
    expect(done.took > 1.3, f"two ends that come after 0.7 s each are there after {done.took:.1f} s")


@checks("knock-reset")
def knock_reset(c):
    def serve(s):
        time.sleep(0.2)  # connected, and then
        reset(s)
    done, _, heard = knocks(c, serve, "--count", 1)
    fails(done)
    expect(len(heard) == 1, f"{len(heard)} connections")


@checks("knock-no-end")
def knock_no_end(c):
    done, _, _ = knocks(c, silent, "--count", 1, "--timeout", 1)
    fails(done, within=3.5)


# --- date, logdate ---

NOW = b"2026-11-21T09:30:00+01:00\n"


def date(c, service, serve):
    done, heard = talk(c, service, serve)
    succeeds(done, NOW)
    heard_is(heard, b"What time is it?")
    expect(done.took < 4, f"took {done.took:.1f} s")


def date_fails(c, service, serve, within=None):
    fails(talk(c, service, serve, "--timeout", 2)[0], within=within)


for service in ("date", "logdate"):
    checks.add(f"{service}-prints-the-answer", date, service, answers_once(16, NOW))
    checks.add(f"{service}-answer-in-single-bytes", date, service, answers_once(16, *cuts(NOW, "bytes"), pause=0.02))
    checks.add(f"{service}-slow-answer", date, service, answers_once(16, NOW, pause=1))
    checks.add(f"{service}-ends-without-an-answer", date_fails, service, ends_after(0))
    checks.add(f"{service}-reset-behind-half-an-answer", date_fails, service, sends_then_resets(NOW[:10]))


# --- guess ---

def guess_auto(c, secret):
    heard = []
    with udp_server(c, guesses(secret, heard)) as port:
        done = c.client("guess", port, "--auto")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    numbers = [int(data) for data, _ in heard]
    expect(len(numbers) <= 7, f"{len(numbers)} guesses: {numbers}")
    expect(numbers[-1:] == [secret], f"looking for {secret} it asks {numbers}")
    expect(re.search(rf"\b{secret}\b", done.stdout.decode()), f"found {secret}, but says {show(done.stdout, 200)}")


for secret in (1, 2, 37, 49, 50, 51, 98, 99):
    checks.add(f"guess-auto-{secret}", guess_auto, secret)


@checks("guess-auto-every-secret")
def guess_every(c):
    for secret in range(3, 98, 5):
        guess_auto(c, secret)


@checks("guess-stdin")
def guess_stdin(c):
    heard = []
    with udp_server(c, guesses(42, heard)) as port:
        done = c.client("guess", port, stdin=b"50\n25\n42\n99\n")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    expect([int(data) for data, _ in heard] == [50, 25, 42], f"the server heard {[data for data, _ in heard]}")
    expect(re.search(rb"LOWER.*HIGHER.*CORRECT", done.stdout, re.S), f"stdout {show(done.stdout, 200)}")


@checks("guess-each-from-a-fresh-port")
def guess_ports(c):
    heard = []
    with udp_server(c, guesses(1, heard)) as port:
        c.client("guess", port, stdin=b"9\n8\n7\n1\n")
    expect(len({peer for _, peer in heard}) == len(heard) == 4, f"the server heard {heard}")


@checks("guess-a-datagram-is-lost")
def guess_lost(c):
    heard, seen = [], []
    serve = guesses(42, heard)

    def loses(s, data, peer):
        seen.append(data)
        if len(seen) % 2 == 0:
            serve(s, data, peer)
    with udp_server(c, loses) as port:
        done = c.client("guess", port, stdin=b"50\n42\n")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    expect([int(data) for data in seen] == [50, 50, 42, 42], f"sent were {seen}")


@checks("guess-a-stranger-answers-first")
def guess_stranger(c):
    stranger, _ = udp_socket(c)
    heard = []
    serve = guesses(42, heard)

    def misleads(s, data, peer):
        stranger.sendto(b"CORRECT", peer)
        time.sleep(0.05)
        serve(s, data, peer)
    with stranger, udp_server(c, misleads) as port:
        done = c.client("guess", port, stdin=b"50\n42\n")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    expect([int(data) for data, _ in heard] == [50, 42], f"the server heard {heard}")


@checks("guess-late-answers-are-not-the-next")
def guess_late(c):
    # An answer that comes twice does not answer the next question.
    heard = []
    serve = guesses(42, heard)

    def twice(s, data, peer):
        serve(s, data, peer)
        serve(s, data, peer)
        heard.pop()
    with udp_server(c, twice) as port:
        done = c.client("guess", port, "--auto")
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    numbers = [int(data) for data, _ in heard]
    expect(len(numbers) <= 7 and numbers[-1] == 42, f"asks {numbers}")


@checks("guess-no-answer")
def guess_silent(c):
    seen = []
    with udp_server(c, lambda s, data, peer: seen.append(data)) as port:
        fails(c.client("guess", port, "--auto", "--timeout", 1), within=3.5)
        expect(len(seen) in (3, 4), f"{len(seen)} datagrams sent")
        fails(c.client("guess", port, "--timeout", 1, stdin=b"50\n"), within=3.5)


@checks("guess-auto-meets-a-liar")
def guess_liar(c):
    for lie in (b"HIGHER", b"LOWER"):
        seen = []
        with udp_server(c, lambda s, data, peer: (seen.append(data), s.sendto(lie, peer))) as port:
            fails(c.client("guess", port, "--auto"))
        expect(len(seen) <= 8, f"{len(seen)} guesses: {seen}")


# --- report-size ---

def report_size(c, serve_file, *args, stdin=b"", before=None, serve_hello=None):
    """How it went, what both heard, and whether hello had a connection before file was done."""
    connected, first = threading.Event(), []

    def hello(s):
        connected.set()
        heard = s.recv(1024)
        if heard:
            s.sendall(b'I got "' + heard + b'" from you and I am sending it back.')
        return heard + all_of(s)

    def file(s):
        first.append(connected.wait(1))
        return serve_file(s)
    with Server(c, serve_hello or hello) as one, Server(c, file) as other, tempfile.TemporaryDirectory() as here:
        if before is not None:
            pathlib.Path(here, "some name.txt").write_bytes(before)
        done = c.run("client", "report-size", *args, "--host", c.host, "--hello-port", one.port, "--file-port",
                     other.port, stdin=stdin, cwd=here)
        left = {name: pathlib.Path(here, name).read_bytes() for name in os.listdir(here)}
        expect(left == ({} if before is None else {"some name.txt": before}), f"leaves {sorted(left)} behind")
    return done, one.result(), other.result(), first


def sends_file(size):
    def serve(s):
        name = all_of(s)
        s.sendall(payload(size))
        return name
    return serve


def reports(c, size, *args, stdin=b"", before=None):
    done, hello, file, first = report_size(c, sends_file(size), *args, stdin=stdin, before=before)
    expect(done.returncode == 0, f"exit status {done.returncode}, stderr {show(done.stderr, 200)}")
    told = f"The size of some name.txt is {size}"
    heard_is(hello, told.encode())
    expect([name.removesuffix(b"\n") for name in file] == [b"some name.txt"], f"file heard {file}")
    expect(first == [True], "connects to file first")
    said = f'Server says: I got "{told}" from you and I am sending it back.\n'.encode()
    # A prompt and what connecting says may come before.
    expect(done.stdout.endswith(said) and done.stdout.count(b"Server says") == 1, f"stdout {show(done.stdout, 200)}")


for size in SIZES:
    checks.add(f"report-size-{size}", reports, size, "some name.txt")
checks.add("report-size-name-from-stdin", lambda c: reports(c, 55_696, stdin=b"some name.txt\n"))
checks.add("report-size-beside-a-file-of-that-name", lambda c: reports(c, 55_696, "some name.txt", before=b"older"))


def report_fails(c, serve_file, **more):
    done, hello, _, _ = report_size(c, serve_file, "some name.txt", "--timeout", 2, **more)
    fails(done, within=8)
    expect(b"Server says" not in done.stdout, f"stdout {show(done.stdout, 200)}")
    if not more:
        expect(not any(hello), f"hello heard {hello}")


checks.add("report-size-file-resets", report_fails, sends_then_resets(b""))
checks.add("report-size-file-resets-in-the-middle", report_fails, sends_then_resets(payload(100_000)))
checks.add("report-size-file-stalls", report_fails, stalls)
checks.add("report-size-hello-resets",
           lambda c: report_fails(c, sends_file(1000), serve_hello=sends_then_resets(b"")))
checks.add("report-size-hello-is-silent", lambda c: report_fails(c, sends_file(1000), serve_hello=silent))


@checks("report-size-refused")
def report_refused(c):
    with socket.socket(socket.AF_INET6 if ":" in c.host else socket.AF_INET) as closed:
        closed.bind((c.host, 0))
        port = closed.getsockname()[1]
        for service, serve in (("hello", echoes), ("file", sends_file(10))):
            with Server(c, serve) as server:
                ports = {"hello": port, "file": port} | {("file" if service == "hello" else "hello"): server.port}
                fails(c.run("client", "report-size", "some name.txt", "--host", c.host, "--hello-port", ports["hello"],
                            "--file-port", ports["file"]))


# --- connect ---

def connect_echo(c, data):
    with Server(c, echoes) as server:
        succeeds(c.run("connect", c.host, server.port, stdin=data), data)


for what, data in (("nothing", b""), ("a-line", b"hello\n"), ("no-newline", b"hello"), ("bytes", bytes(range(256))),
                   ("1-MB", payload(1_000_000))):
    checks.add(f"connect-{what}", connect_echo, data)


@checks("connect-shows-what-comes-after-its-end")
def connect_rest(c):
    def serve(s):
        data = all_of(s)
        time.sleep(0.5)  # a client that stops at its own end misses this
        s.sendall(b"got " + data)
    with Server(c, serve) as server:
        succeeds(c.run("connect", c.host, server.port, stdin=b"all of it"), b"got all of it")


def connect_send(c, text, data):
    with Server(c, echoes) as server:
        succeeds(c.run("connect", c.host, server.port, "--send", text), data)


checks.add("connect-send", connect_send, r"a\r\n", b"a\r\n")
checks.add("connect-send-bytes", connect_send, r"tab\t \xff\x00\x7A", b"tab\t \xff\0z")


# --- what fails ---

CLIENTS = {"echo": ("some text",), "hello": ("some text",), "file": ("name", "-o", "out.bin"), "upload": (__file__,),
           "typed": ("--string", "some text"), "message": ("some text",), "greet": ("some text",), "fixed": (__file__,),
           "date": (), "logdate": (), "knock": ("--count", 1)}


def each(c, port, service, **more):
    if service == "connect":
        return c.run("connect", c.host, port, stdin=b"some text", **more)
    return c.client(service, port, *CLIENTS[service], stdin=b"\n" if service == "knock" else b"", **more)


def client_reset(c, service, data):
    with Server(c, sends_then_resets(data)) as server:
        fails(each(c, server.port, service))


def client_refused(c, service):
    # Bound but not listening: nobody else takes the port, and connecting is refused.
    with socket.socket(socket.AF_INET6 if ":" in c.host else socket.AF_INET) as s:
        s.bind((c.host, 0))
        fails(each(c, s.getsockname()[1], service))


def client_unanswered(c, service):
    with Server(c, silent) as server:
        fails(c.client(service, server.port, *CLIENTS[service], "--timeout", 1), within=3.5)


for service in (*CLIENTS, "connect"):
    checks.add(f"{service}-refused", client_refused, service)
    if service == "knock":
        continue  # it sends nothing: it has resets and silence of its own above
    checks.add(f"{service}-reset-before-any-answer", client_reset, service, b"")
    if service != "file":
        checks.add(f"{service}-reset-in-the-middle", client_reset, service, b"some")
    if service != "connect":
        checks.add(f"{service}-no-answer", client_unanswered, service)


def wrong_usage(c, *args):
    done = c.run(*args)
    fails(done, 2)
    expect(not done.stdout, f"stdout {show(done.stdout)}")


for what, args in {"no-such-client": ("client", "nosuch"), "no-such-option": ("client", "echo", "--nosuch"),
                   "no-such-command": ("nosuch",), "port-no-number": ("client", "echo", "--port", "many"),
                   "connect-alone": ("connect",), "connect-without-port": ("connect", "127.0.0.1"),
                   "timeout-no-number": ("client", "hello", "x", "--timeout", "soon"),
                   "upload-no-such-option": ("client", "upload", "--nosuch", "x"),
                   "typed-no-such-schema": ("client", "typed", "--string", "x", "--schema", "nosuch"),
                   "typed-random-no-number": ("client", "typed", "--random", "many"),
                   "fixed-length-no-number": ("client", "fixed", "-", "--length", "many"),
                   "fixed-length-0": ("client", "fixed", "-", "--length", "0"),
                   "knock-count-no-number": ("client", "knock", "--count", "many"),
                   "guess-no-such-option": ("client", "guess", "--nosuch"),
                   "report-size-port-no-number": ("client", "report-size", "x", "--hello-port", "many"),
                   "typed-two-at-once": ("client", "typed", "--string", "x", "--random", "3")}.items():
    checks.add(f"usage-{what}", wrong_usage, *args)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="the client program, split as a shell does; may begin with a wrapper")
    parser.add_argument("--extra", default="", help="arguments to add to every call")
    parser.add_argument("--host", default="127.0.0.1", help="where the servers here listen")
    parser.add_argument("--only", help="run the checks whose name contains this (* and ? allowed)")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--frontend", choices=("std", "smoltcp"), default="std")
    args = parser.parse_args()
    if args.list:
        print(*(name for name, *_ in checks.chosen(args.only)), sep="\n")
        return 0
    if not args.program:
        parser.error("--program is needed")
    return checks.run(Context(args), args.only)


if __name__ == "__main__":
    sys.exit(main())
