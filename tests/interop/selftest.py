#!/usr/bin/env python3
"""Proves suite.py and clients.py on the small reference programs of reference.py: all checks pass there, and each
bug put into them is caught by the check that is meant for it."""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = [sys.executable, str(HERE / "reference.py")]

# bug, checks to run, checks that must fail
SERVER_BUGS = [
    ("fin-on-absent", "file-absent", {"file-absent"}),
    ("fin-on-short", "file-that-*", {"file-that-shrinks-meanwhile"}),
    ("short", "file-583163-newline", {"file-583163-newline"}),
    ("no-drain", "file-bytes-behind*", {"file-bytes-behind-the-name-are-ignored"}),
    ("no-drain", "file-unread-input*", {"file-unread-input-leaves-the-end-a-fin"}),
    ("no-quiet", "file-1-silence", {"file-1-silence"}),
    ("reserved", "file-name-bad-con*", {"file-name-bad-con", "file-name-bad-con-txt", "file-name-bad-con-small"}),
    ("follows-links", "file-symbolic*", {"file-symbolic-link-to-outside"}),
    ("fifo", "file-fifo", {"file-fifo"}),
    ("text", "hello-not-utf-8", {"hello-not-utf-8"}),
    ("text", "echo-tcp-65536-whole", {"echo-tcp-65536-whole"}),
    ("overlong", "hello-102?-bytes", {"hello-1025-bytes"}),
    ("one-reply", "hello-several", {"hello-several-messages"}),
    ("buffers-all", "echo-sends-for-ever*", {"echo-sends-for-ever-and-never-reads"}),
    ("one-at-a-time", "echo-beside*", {"echo-beside-100-idle"}),
    ("no-empty-datagram", "echo-udp-[01]", {"echo-udp-0"}),
    ("cuts-datagrams", "echo-udp-147?", {"echo-udp-1473"}),
]
CLIENT_BUGS = [
    ("no-retry", "echo-udp-first*", {"echo-udp-first-datagram-is-lost"}),
    ("strangers", "echo-udp-*stranger*", {"echo-udp-a-stranger-answers-first", "echo-udp-only-a-stranger-answers"}),
    ("sends-newline", "file-asks*", {"file-asks-with-the-name-and-a-half-close"}),
    ("keeps-partial", "file-reset-in-the-middle", {"file-reset-in-the-middle",
                                                  "file-reset-in-the-middle-over-an-older-file"}),
    ("reset-is-end", "file-reset-before-any-byte", {"file-reset-before-any-byte",
                                                   "file-reset-before-any-byte-over-an-older-file"}),
]


def server_checks(bug, only):
    flags = ["--bug", bug] if bug else []
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([*REFERENCE, *flags, "serve", folder], stdout=subprocess.PIPE, text=True,
                                  stderr=sys.stderr if not bug else subprocess.DEVNULL)
        try:
            ports = {}
            for line in iter(server.stdout.readline, "ready\n"):
                if not line:
                    raise SystemExit("the reference server does not start")
                _, service, port = line.split()
                ports[service] = port
            args = [f"--{service}-port={port}" for service, port in ports.items()]
            result = run(["suite.py", *args, "--dir", folder], only)
            left = os.listdir(folder)
        finally:
            server.kill()
            server.wait()
    return result + ([f"suite.py leaves {left}"] if left else [])


def client_checks(bug, only):
    program = [*REFERENCE, *(["--bug", bug] if bug else [])]
    return run(["clients.py", "--program", shlex.join(program)], only)


def run(command, only):
    """Runs a suite; returns the names that failed."""
    if only:
        command += ["--only", only]
    done = subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], stdout=subprocess.PIPE, text=True)
    failed = [line.split(":")[0].split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL ")]
    if not only:
        print(*(line for line in done.stdout.splitlines() if not line.startswith("ok ")), sep="\n", flush=True)
    if not done.stdout.endswith(f" passed, {len(failed)} failed\n") or done.returncode != (1 if failed else 0):
        failed.append(f"{command[0]} itself: exit status {done.returncode}")
    return failed


def main():
    wrong = 0
    for name, suite, bugs in (("suite.py", server_checks, SERVER_BUGS), ("clients.py", client_checks, CLIENT_BUGS)):
        print(f"{name} on a reference that is right:", flush=True)
        wrong += bool(suite(None, None))
        for bug, only, expected in bugs:
            failed = set(suite(bug, only))
            caught = failed == expected
            wrong += not caught
            print("ok" if caught else "FAIL", f"{name} meets the bug {bug}: {', '.join(sorted(failed)) or 'unseen'}",
                  flush=True)
    print("the suites are right" if not wrong else f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
