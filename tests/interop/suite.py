#!/usr/bin/env python3
"""Checks running servers against the contract, from outside, with plain blocking sockets.

Python 3.11's standard library only. One line per check; exit status 1 if any failed.
"""

import argparse
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from target import SIZES, Context, checks, content
from wire import expect, payload, same

LAB = pathlib.Path(__file__).resolve().parent / "lab"
STD_ONLY = {"echo-udp-1473", "echo-udp-9000", "echo-udp-65507", "file-slow-reader-of-100-MB",
            "upload-16777216-bytes-tag-5", "guess-65507-bytes"}
# Those without a port are left out.
OPTIONAL = ("upload", "typed-close", "typed", "message", "fixed", "knock", "date", "logdate", "greet", "guess")


# --- the labs' programs, unchanged ---

def lab(c, program, port, *args, text=""):
    done = subprocess.run([sys.executable, str(LAB / program), c.host, str(port), *args], input=text,
                          capture_output=True, text=True, timeout=25)
    expect(done.returncode == 0, f"{program} exits {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout


@checks("lab-echo-tcp")
def lab_echo_tcp(c):
    out = lab(c, "echo_tcp_client.py", c.echo_port).splitlines()
    got = "".join(line.removeprefix("Received: ") for line in out if line.startswith("Received: "))
    expect(got == "Test message. This will be echoed", f"the client shows {out}")


@checks("lab-echo-udp")
def lab_echo_udp(c):
    out = lab(c, "echo_udp_client.py", c.echo_port)
    expect("received This is the message. It will be repeated.\n" in out, f"the client shows {out!r}")


@checks("lab-hello")
def lab_hello(c):
    out = lab(c, "hello_client.py", c.hello_port, text="Hello, it is me\n")
    expect('Server says: I got "Hello, it is me" from you and I am sending it back.\n' in out, f"shows {out!r}")


@checks("lab-file")
def lab_file(c):
    for name, size in SIZES.items():
        with tempfile.NamedTemporaryFile() as to:
            out = lab(c, "file_client.py", c.file_port, name, to.name)
            same(to.read(), content(name), name)
        expect(out == f"The size of {name} is {size}\n", f"the client shows {out!r}")


@checks("lab-upload")
def lab_upload(c):
    with tempfile.TemporaryDirectory() as here:
        files = [os.path.join(here, f"interop-lab-{size}.bin") for size in SIZES.values()]
        for file, size in zip(files, SIZES.values()):
            pathlib.Path(file).write_bytes(payload(size, 3))
        with c.leaves(*map(os.path.basename, files)):
            out = lab(c, "upload_client.py", c.upload_port, *files)
            for file, size in zip(files, SIZES.values()):
                same(c.read(os.path.basename(file)), payload(size, 3), file)
        expect(out == "OK\n" * len(files), f"the client shows {out!r}")
        out = lab(c, "upload_client.py", c.upload_port, os.path.join(here, ".."))
        expect(out.startswith("ERR ") and out.endswith("\n"), f"the client shows {out!r}")


@checks("lab-typed")
def lab_typed(c):
    with c.stores():
        out = lab(c, "typed_client.py", c.typed_port, text="STRING\nHello, grüße\n")
        expect("Sent 14 bytes\n" in out, f"the client shows {out!r}")
    for kind, size in (("DATA_1B", 0), ("DATA_1B", 255), ("DATA_2B", 65_535), ("DATA_3B", 583_163), ("DATA_4B", 5)):
        with tempfile.NamedTemporaryFile() as file:
            pathlib.Path(file.name).write_bytes(payload(size, 4))
            with c.stores(payload(size, 4)):
                out = lab(c, "typed_client.py", c.typed_port, text=f"{kind}\n{file.name}\n")
            expect(f"Sent {size} bytes\n" in out, f"the client shows {out!r}")


@checks("lab-typed-close")
def lab_typed_close(c):
    for size in SIZES.values():
        with tempfile.NamedTemporaryFile() as file:
            pathlib.Path(file.name).write_bytes(payload(size, 5))
            with c.stores(payload(size, 5)):
                out = lab(c, "typed_client.py", c.typed_close_port, text=f"DATA\n{file.name}\n")
            expect(f"Sent {size} bytes\n" in out, f"the client shows {out!r}")


@checks("lab-message")
def lab_message(c):
    out = lab(c, "message_client.py", c.message_port, text="Hello, grüße\ntwo words\n")
    expect(out.endswith("\nMessage: Hello, grüße\nMessage: \nMessage: two words\nMessage: "), f"shows {out!r}")


@checks("lab-fixed")
def lab_fixed(c):
    out = lab(c, "fixed_client.py", c.fixed_port, "Hello", "", "n" * 1234)
    expect(out == "the same\n" * 3, f"the client shows {out!r}")


@checks("lab-knock")
def lab_knock(c):
    out = lab(c, "knock_client.py", c.knock_port, "3", text="\n" * 3)
    expect(out == f"Connected to {c.host}:{c.knock_port}\n" * 3, f"the client shows {out!r}")


def lab_date(c, service):
    asked = time.time()
    out = lab(c, "date_client.py", c.date_port if service == "date" else c.logdate_port)
    suite_date.right(out.encode(), asked)
    if service == "logdate":
        c.logs()


checks.add("lab-date", lab_date, "date")
checks.add("lab-logdate", lab_date, "logdate")


@checks("lab-guess")
def lab_guess(c):
    out = lab(c, "guess_client.py", c.guess_port)
    expect(re.search(r" CORRECT\nFound in [1-7] guesses\n$", out), f"the client shows {out!r}")


# The rest, each file adding its own to the table, in this order.
import suite_echo  # noqa: E402, F401
import suite_hello  # noqa: E402, F401
import suite_file  # noqa: E402, F401
import suite_many  # noqa: E402, F401
import suite_upload  # noqa: E402, F401
import suite_typed  # noqa: E402, F401
import suite_message  # noqa: E402, F401
import suite_greet  # noqa: E402, F401
import suite_fixed  # noqa: E402, F401
import suite_date  # noqa: E402, F401
import suite_guess  # noqa: E402, F401


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    for service in ("echo", "hello", "file"):
        parser.add_argument(f"--{service}-port", type=int)
    for service in OPTIONAL:
        parser.add_argument(f"--{service}-port", type=int, help=f"without it, no checks of {service}")
    parser.add_argument("--dir", help="the folder that file, upload and typed share")
    parser.add_argument("--log-dir", help="the folder of logdate's files; DIR/logs by default")
    parser.add_argument("--guess-secret", type=int, help="the number to be found, if it is known")
    parser.add_argument("--only", help="run the checks whose name contains this (* and ? allowed)")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--frontend", choices=("std", "smoltcp"), default="std")
    args = parser.parse_args()
    if args.frontend == "smoltcp":
        checks.leave_out(STD_ONLY)
    for service in OPTIONAL:
        if not args.list and not getattr(args, f"{service}_port".replace("-", "_")):
            # typed-close is not typed.
            others = [other for other in OPTIONAL if other != service and service in other]
            bare = {name: functools.reduce(lambda text, other: text.replace(other, ""), others, name)
                    for name, *_ in checks.all}
            checks.leave_out({name for name in bare if re.search(rf"(^|lab-|and-){service}\b", bare[name])})
            print(f"not checked without a port: {service}", file=sys.stderr)
    if args.list:
        print(*(name for name, *_ in checks.chosen(args.only)), sep="\n")
        return 0
    if not (args.dir and args.echo_port and args.hello_port and args.file_port):
        parser.error("--dir and the three ports are needed")
    context = Context(args)
    try:
        for name in SIZES:
            context.put(name, content(name))
        os.makedirs(context.path("interop-dir"), exist_ok=True)
        context.put("interop-dir/b", b"never to be seen")
        return checks.run(context, args.only)
    finally:
        context.clean()


if __name__ == "__main__":
    sys.exit(main())
