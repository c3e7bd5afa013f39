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
    ("short-is-whole", "upload-end-*", {"upload-end-at-every-byte-tag-2", "upload-end-at-every-byte-tag-6",
                                        "upload-end-after-ok"}),
    ("keeps-short", "upload-client-resets-in*", {"upload-client-resets-in-the-body"}),
    ("keeps-short", "upload-end-after-ok", {"upload-end-after-ok"}),
    ("end-after-ok", "upload-end-after-ok", {"upload-end-after-ok"}),
    ("fin-on-broken", "upload-unknown-tag*", {"upload-unknown-tag", "upload-unknown-tag-after-ok"}),
    ("overwrites", "upload-unseen*", {"upload-unseen-until-whole"}),
    ("overwrites", "upload-older-stays*", {"upload-older-stays-until-whole"}),
    ("one-temporary", "upload-two-of-one*", {"upload-two-of-one-name-the-last-wins"}),
    ("one-temporary", "upload-many-of-one*", {"upload-many-of-one-name-at-once"}),
    ("first-wins", "upload-two-of-one*", {"upload-two-of-one-name-the-last-wins"}),
    ("leaves-temporaries", "upload-client-resets-in*", {"upload-client-resets-in-the-body"}),
    ("second-name", "upload-second-name", {"upload-second-name"}),
    ("data-first", "upload-data-before*", {"upload-data-before-a-name"}),
    ("stores-late", "upload-5-bytes-tag-2", {"upload-5-bytes-tag-2"}),
    ("stores-late", "upload-several-on*", {"upload-several-on-one-connection"}),
    ("ok-in-two", "upload-1-bytes*", {"upload-1-bytes-tag-2"}),
    ("ok-newline", "upload-1-bytes*", {"upload-1-bytes-tag-2"}),
    ("err-then-reset", "upload-name-bad-up-*", {"upload-name-bad-up-and-down"}),
    ("no-reason", "upload-name-bad-up-*", {"upload-name-bad-up-and-down"}),
    ("no-drain", "upload-refused-with*", {"upload-refused-with-a-body-behind"}),
    ("any-name", "upload-name-climbs-out", {"upload-name-climbs-out"}),
    ("any-name", "upload-name-every*", {"upload-name-every-control-character"}),
    ("replaces-links", "upload-name-of*", {"upload-name-of-a-symbolic-link", "upload-name-of-a-fifo",
                                          "upload-name-of-a-folder"}),
    ("long-string", "*-string-of*4097", {"upload-string-of-4097"}),
    ("no-max-file", "upload-length-over*", {"upload-length-over-4-GiB"}),
    ("length-of-32-bits", "upload-length-of*", {"upload-length-of-4-GiB-begins"}),
    ("max-file-is-too-much", "upload-length-of*", {"upload-length-of-4-GiB-begins"}),
    ("big-endian", "upload-256-bytes*", {"upload-256-bytes-tag-3"}),
    ("one-receive", "upload-bytes-with-pauses", {"upload-bytes-with-pauses"}),
    ("one-receive", "typed*-bytes-with*", {"typed-bytes-with-pauses", "typed-close-bytes-with-pauses"}),
    ("forgets-what-is-left", "upload-pipelined-whole", {"upload-pipelined-whole"}),
    ("one-at-a-time", "upload-beside*", {"upload-beside-100-idle"}),
    ("short-is-whole", "typed-ends-*tag-4", {"typed-ends-at-every-byte-tag-4"}),
    ("fin-on-broken", "typed*-unknown*", {"typed-unknown-tag", "typed-close-unknown-tag"}),
    ("long-string", "typed*over-4096", {"typed-string-over-4096", "typed-close-string-over-4096"}),
    ("text", "typed-string", {"typed-string"}),
    ("nothing-is-wrong", "typed*-no-byte*", {"typed-no-byte-at-all", "typed-close-no-byte-at-all"}),
    ("no-drain", "typed*-bytes-behind*", {"typed-bytes-behind-a-string", "typed-close-bytes-behind-a-string",
                                         "typed-bytes-behind-data"}),
    ("empty-is-nothing", "typed-tag-2-0*", {"typed-tag-2-0-bytes"}),
    ("seven", "typed-tag-2-5-*", {"typed-tag-2-5-bytes"}),
    ("one-name", "typed-50*", {"typed-50-at-once"}),
    ("no-max-file", "typed-length*", {"typed-length-over-4-GiB"}),
    ("close-is-sized", "typed-close-3000*", {"typed-close-3000-bytes-bytes"}),
    ("close-is-sized", "typed-close-unknown*", {"typed-close-unknown-tag"}),
    ("reset-is-end", "typed-close-client*", {"typed-close-client-resets"}),
    ("silence-is-end", "typed-close-goes*", {"typed-close-goes-on-to-the-end"}),
    ("no-head-timeout", "half-a-head", {"upload-and-typed-half-a-head-is-aborted"}),
]
CLIENT_BUGS = [
    ("no-retry", "echo-udp-first*", {"echo-udp-first-datagram-is-lost"}),
    ("strangers", "echo-udp-*stranger*", {"echo-udp-a-stranger-answers-first", "echo-udp-only-a-stranger-answers"}),
    ("sends-newline", "file-asks*", {"file-asks-with-the-name-and-a-half-close"}),
    ("keeps-partial", "file-reset-in-the-middle", {"file-reset-in-the-middle",
                                                  "file-reset-in-the-middle-over-an-older-file"}),
    ("reset-is-end", "file-reset-before-any-byte", {"file-reset-before-any-byte",
                                                   "file-reset-before-any-byte-over-an-older-file"}),
    ("reports-what-is-sent", "upload-reset-behind*", {"upload-reset-behind-the-body", "upload-reset-behind-our-end"}),
    ("reports-what-is-sent", "upload-no-ok-for*", {"upload-no-ok-for-the-next"}),
    ("reset-is-end", "upload-reset-behind-the*", {"upload-reset-behind-the-body"}),
    ("one-each", "upload-over-one*", {"upload-over-one-connection"}),
    ("always-tag-5", "*-smallest*", {"upload-smallest-tag-that-fits", "typed-smallest-tag-that-fits"}),
    ("stops-at-err", "upload-err-goes*", {"upload-err-goes-on-with-the-next"}),
    ("sends-path", "upload-of-a-path*", {"upload-of-a-path-sends-the-name"}),
    ("one-receive", "upload-ok-in*", {"upload-ok-in-single-bytes"}),
    ("blind", "*d-server-ends-in*", {"upload-server-ends-in-the-body", "typed-server-ends-in-the-body"}),
    ("reset-is-end", "typed-sized-string*", {"typed-sized-string-reset-behind-it"}),
    ("dies-with-an-end", "typed-close-killed*", {"typed-close-killed-in-the-body"}),
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
            result = run(["suite.py", *args, "--dir", folder], only, bug)
            left = not bug and os.listdir(folder)
        finally:
            server.kill()
            server.wait()
    return result + ([f"suite.py leaves {left}"] if left else [])


def client_checks(bug, only):
    program = [*REFERENCE, *(["--bug", bug] if bug else [])]
    return run(["clients.py", "--program", shlex.join(program)], only, bug)


def run(command, only, bug):
    """Runs a suite; returns the names that failed."""
    patience = {"INTEROP_STEP": "3"} if bug else {}  # many a bug is seen by nothing happening
    if only:
        command += ["--only", only]
    done = subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], stdout=subprocess.PIPE, text=True,
                          env=os.environ | patience)
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
