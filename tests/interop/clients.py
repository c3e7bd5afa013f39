#!/usr/bin/env python3
"""Checks our client program against Python servers: the labs' own, and ones that misbehave in known ways.

Python 3.11's standard library only. One line per check; exit status 1 if any failed.
"""

import argparse
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import time

from peers import Server, all_of, echoes, lab, sends_then_resets, silent, stalls, udp_server, udp_socket
from wire import Checks, cuts, expect, payload, same, show

SIZES = (0, 1, 55_696, 583_163)
TEXT = "Test message. This will be echoed"
checks = Checks()


class Context:
    def __init__(self, args):
        # The client runs in a folder of its own: the paths in its command must hold from there.
        self.program = [os.path.abspath(t) if os.path.isfile(t) else t for t in shlex.split(args.program)]
        self.extra, self.host = shlex.split(args.extra), args.host

    def run(self, *args, stdin=b"", cwd=None, wait=30):
        """Runs the client; its result has `took`, in seconds. Without `cwd`, in an empty folder that must stay so."""
        with tempfile.TemporaryDirectory() as empty:
            began = time.monotonic()
            done = subprocess.run([*self.program, *map(str, args), *self.extra], input=stdin, capture_output=True,
                                  cwd=cwd or empty, timeout=wait)
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

CLIENTS = {"echo": ("some text",), "hello": ("some text",), "file": ("name", "-o", "out.bin")}


def each(c, port, service, **more):
    if service == "connect":
        return c.run("connect", c.host, port, stdin=b"some text", **more)
    return c.client(service, port, *CLIENTS[service], **more)


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
                   "timeout-no-number": ("client", "hello", "x", "--timeout", "soon")}.items():
    checks.add(f"usage-{what}", wrong_usage, *args)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="the client program, split as a shell does; may begin with a wrapper")
    parser.add_argument("--extra", default="", help="arguments to add to every call")
    parser.add_argument("--host", default="127.0.0.1", help="where the servers here listen")
    parser.add_argument("--only", help="run the checks whose name contains this (* and ? allowed)")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print(*(name for name, *_ in checks.chosen(args.only)), sep="\n")
        return 0
    if not args.program:
        parser.error("--program is needed")
    return checks.run(Context(args), args.only)


if __name__ == "__main__":
    sys.exit(main())
