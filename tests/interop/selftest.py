#!/usr/bin/env python3
"""Proves suite.py and clients.py on the small reference programs of reference.py: all checks pass there, and each
bug put into them is caught by the check that is meant for it.

    selftest.py [--jobs N] [WORD...]     with words, only the checks, and the bugs for checks, with one in their names
"""

import argparse
import concurrent.futures
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
    ("no-quiet", "message-silence", {"message-silence", "message-silence-alone-is-none",
                                      "message-silence-ends-what-is-dropped"}),
    ("quiet-from-the-first", "message-silence-counts*", {"message-silence-counts-from-the-last-byte"}),
    ("no-last", "message-ended-by*", {"message-ended-by-the-end"}),
    ("keeps-cr", "message-crlf", {"message-crlf"}),
    ("no-empty-lines", "message-empty-line", {"message-empty-line", "message-empty-lines"}),
    ("lf-after-quiet", "message-lf-behind*", {"message-lf-behind-a-quiet-cr"}),
    ("one-receive", "message-a-line", {"message-a-line"}),
    ("text", "message-not-utf-8", {"message-not-utf-8"}),
    ("adds-newline", "message-a-line", {"message-a-line"}),
    ("two-writes", "message-one-receive*", {"message-one-receive-has-the-answer"}),
    ("no-drop", "message-of-5000*", {"message-of-5000-bytes-is-cut"}),
    ("overlong", "message-of-409[67]*", {"message-of-4096-bytes-is-cut", "message-of-4097-bytes-is-cut"}),
    ("drops-to-the-newline", "message-silence-ends*", {"message-silence-ends-what-is-dropped"}),
    ("one-at-a-time", "message-beside*", {"message-beside-100-idle"}),
    ("no-telnet", "greet-telnet-options-first", {"greet-telnet-options-first"}),
    ("telnet-forgets", "greet-telnet-options-inside", {"greet-telnet-options-inside"}),
    ("telnet-forgets", "greet-telnet-with-silence*", {"greet-telnet-with-silence-at-every-byte"}),
    ("255-alone", "greet-telnet-255-inside", {"greet-telnet-255-inside"}),
    ("drops-255", "greet-telnet-255-inside", {"greet-telnet-255-inside"}),
    ("options-are-a-message", "greet-telnet-one-option*", {"greet-telnet-one-option-alone"}),
    ("negotiates", "greet-telnet-negotiates*", {"greet-telnet-negotiates-nothing"}),
    ("no-subnegotiation", "greet-telnet-subnegotiation-e*", {"greet-telnet-subnegotiation-empty"}),
    ("sub-ends-late", "greet-telnet-subnegotiation-e*", {"greet-telnet-subnegotiation-empty"}),
    ("option-10", "greet-telnet-option-10*", {"greet-telnet-option-10-is-no-newline"}),
    ("lf-alone", "greet-a-line", {"greet-a-line"}),
    ("drops", "greet-1024-splits", {"greet-1024-splits"}),
    ("drops", "greet-lf-right*", {"greet-lf-right-behind-1024-is-empty"}),
    ("overlong", "greet-1024-counts*", {"greet-1024-counts-what-is-left"}),
    ("one-at-a-time", "greet-3-at*", {"greet-3-at-once"}),
    ("wrong-length", "fixed-each*", {"fixed-each-message-at-once"}),
    ("waits-for-the-end", "fixed-each*", {"fixed-each-message-at-once"}),
    ("one-receive", "fixed-2-messages-bytes", {"fixed-2-messages-bytes"}),
    ("short-is-whole", "fixed-ends-after-1*",
     {f"fixed-ends-after-1-messages-and-{n}-bytes" for n in (1, 2, 617, 1233)}),
    ("waits-for-the-end", "fixed-sends-for*", {"fixed-sends-for-ever-and-never-reads"}),
    ("waits-for-the-visitor", "knock-says*", {"knock-says-nothing"}),
    ("says-something", "knock-says*", {"knock-says-nothing"}),
    ("no-drain", "knock-what*", {"knock-what-is-sent-is-discarded"}),
    ("drains-for-ever", "knock-s*-for-ever", {"knock-sends-for-ever", "knock-stays-for-ever"}),
    ("one-at-a-time", "knock-beside*", {"knock-beside-100-who-stay"}),
    ("utc", "date-at-once", {"date-at-once", "logdate-at-once"}),
    ("wrong-sign", "date-at-once", {"date-at-once", "logdate-at-once"}),
    ("fraction", "date-at-once", {"date-at-once", "logdate-at-once"}),
    ("blank", "date-at-once", {"date-at-once", "logdate-at-once"}),
    ("no-newline", "date-at-once", {"date-at-once", "logdate-at-once"}),
    ("rounds", "date-to-the*", {"date-to-the-second", "logdate-to-the-second"}),
    ("clock-stops", "date-goes*", {"date-goes-on", "logdate-goes-on"}),
    ("one-reply", "date-goes*", {"date-goes-on", "logdate-goes-on"}),
    ("log-late", "logdate-one-file*", {"logdate-one-file-each"}),
    ("one-log-each", "logdate-one-file*", {"logdate-one-file-each"}),
    ("no-peer", "logdate-one-file*", {"logdate-one-file-each"}),
    ("raw", "logdate-request*", {"logdate-request-is-escaped"}),
    ("reuses-numbers", "logdate-a-number*", {"logdate-a-number-is-not-given-again"}),
    ("overwrites", "logdate-leaves*", {"logdate-leaves-what-others-wrote"}),
    ("no-lock", "logdate-20*", {"logdate-20-at-once"}),
    ("swapped", "guess-halving*", {"guess-halving-finds-it"}),
    ("newline", "guess-halving*", {"guess-halving-finds-it"}),
    ("redraws", "guess-stays*", {"guess-stays-after-correct"}),
    ("wraps", "guess-numbers*", {"guess-numbers-of-any-length"}),
    ("range", "guess-outside*", {"guess-outside-1-to-99"}),
    ("no-sign", "guess-signs*", {"guess-signs-and-white-space"}),
    ("no-strip", "guess-signs*", {"guess-signs-and-white-space"}),
    ("python-int", "guess-invalid-u*", {"guess-invalid-underscore"}),
    ("no-reason", "guess-invalid-words", {"guess-invalid-words", "guess-invalid-words-then-number"}),
    ("echoes", "guess-invalid-control", {"guess-invalid-control"}),
    ("echoes", "guess-invalid-not-utf-8", {"guess-invalid-not-utf-8", "guess-invalid-not-utf-8-behind"}),
    ("no-empty-datagram", "guess-invalid-empty", {"guess-invalid-empty"}),
    ("cuts-datagrams", "guess-65507*", {"guess-65507-bytes"}),
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
    ("no-newline", "message-two-words", {"message-two-words"}),
    ("pipelines", "message-stdin-lines", {"message-stdin-lines"}),
    ("one-receive", "message-reply-in*", {"message-reply-in-pieces"}),
    ("impatient", "message-slow*", {"message-slow-replies"}),
    ("one-receive", "greet-answer*", {"greet-answer-in-single-bytes"}),
    ("no-padding", "fixed-file-of-1235", {"fixed-file-of-1235"}),
    ("blind", "fixed-byte-1234*", {"fixed-byte-1234-comes-back-changed"}),
    ("blind", "fixed-server-ends-after-1234", {"fixed-server-ends-after-1234"}),
    ("sends-all-first", "fixed-much", {"fixed-much"}),
    ("does-not-wait", "knock-waits*", {"knock-waits-for-the-end"}),
    ("reset-is-end", "knock-reset", {"knock-reset"}),
    ("sends-newline", "date-prints*", {"date-prints-the-answer", "logdate-prints-the-answer"}),
    ("one-receive", "date-answer*", {"date-answer-in-single-bytes", "logdate-answer-in-single-bytes"}),
    ("counts-up", "guess-auto-50", {"guess-auto-50"}),
    ("one-port", "guess-each*", {"guess-each-from-a-fresh-port"}),
    ("one-port", "guess-late*", {"guess-late-answers-are-not-the-next"}),
    ("no-retry", "guess-a-datagram*", {"guess-a-datagram-is-lost"}),
    ("strangers", "guess-a-stranger*", {"guess-a-stranger-answers-first"}),
    ("keeps-file", "report-size-55696", {"report-size-55696"}),
    ("file-first", "report-size-55696", {"report-size-55696"}),
    ("reset-is-end", "report-size-file-resets-in*", {"report-size-file-resets-in-the-middle"}),
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
            left = not bug and set(os.listdir(folder)) - {"logs"} | set(os.listdir(os.path.join(folder, "logs")))
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
    if not bug:
        print(*(line for line in done.stdout.splitlines() if not line.startswith("ok ")), sep="\n", flush=True)
    if not done.stdout.endswith(f" passed, {len(failed)} failed\n") or done.returncode != (1 if failed else 0):
        failed.append(f"{command[0]} itself: exit status {done.returncode}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="so many bugs at once")
    parser.add_argument("words", nargs="*", metavar="WORD")
    args = parser.parse_args()
    os.environ["TZ"] = "NST3:30"  # an offset that is easily got wrong
    wrong = 0
    for name, suite, bugs in (("suite.py", server_checks, SERVER_BUGS), ("clients.py", client_checks, CLIENT_BUGS)):
        print(f"{name} on a reference that is right:", flush=True)
        for word in args.words or [None]:
            named = subprocess.run([sys.executable, str(HERE / name), "--list", *(["--only", word] if word else [])],
                                   stdout=subprocess.PIPE, check=True)
            wrong += bool(named.stdout.strip() and suite(None, word))
        bugs = [bug for bug in bugs if not args.words or any(word in bug[1] for word in args.words)]
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for (bug, _, expected), failed in zip(bugs, pool.map(lambda bug: set(suite(*bug[:2])), bugs)):
                caught = failed == expected
                wrong += not caught
                print("ok" if caught else "FAIL",
                      f"{name} meets the bug {bug}: {', '.join(sorted(failed)) or 'unseen'}", flush=True)
    print("the suites are right" if not wrong else f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
