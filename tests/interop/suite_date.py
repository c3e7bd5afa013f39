"""date and logdate: RFC 3339 by the local clock, and one file for each request."""

import contextlib
import datetime
import os
import re
import socket
import time

from target import checks
from wire import (STEP, Failed, at_once, cuts, exchange, expect, nothing_more, payload, read_to_end, reset, same, show)

QUESTION = b"What time is it?"
ANSWER = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d\n")
SERVICES = ("date", "logdate")


def moment(text, asked, slack=2.0):
    """The time that this is, which must be between our question and now by our clock, with our offset."""
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError as e:
        raise Failed(f"{text!r} is no time: {e}") from None
    here = datetime.datetime.fromtimestamp(when.timestamp()).astimezone()
    expect(when.utcoffset() == here.utcoffset(), f"{text} is not our offset: here it is {here.isoformat()}")
    expect(not text.endswith("-00:00"), f"{text}: the offset of UTC is +00:00, -00:00 is an unknown one")
    early, late = asked - when.timestamp(), when.timestamp() - time.time()
    # To the second, and by a clock that may be coarse.
    expect(early < 1.1, f"{text} is {early:.1f} s before we have asked")
    expect(late < slack, f"{text} is {late:.1f} s after it is here")
    return when.timestamp()


def right(line, asked):
    expect(ANSWER.fullmatch(line), f"answered with {show(line)}, expected a line like 2026-11-21T09:30:00+01:00")
    return moment(line[:-1].decode(), asked)


def rights(got, asked, least, most):
    """So many answers, all right, to what was asked then."""
    lines = got.splitlines(True)
    for line in lines:
        right(line, asked)
    expect(least <= len(lines) <= most, f"{len(lines)} answers, expected {least} to {most}")
    return len(lines)


@contextlib.contextmanager
def logged(c, service):
    """With logdate, all answers given here have a file each; the function tells it their number."""
    before, count = c.logs() if service == "logdate" else set(), []
    yield count.append
    if service == "logdate":
        new = c.logs() - before
        expect(len(new) == sum(count), f"{sum(count)} answers, but {len(new)} new files")
        expect(not before or min(new, default=max(before) + 1) > max(before), f"after {max(before, default=-1)}: {new}")


# --- both ---

def one_receive(c, service):
    with logged(c, service) as tell, c.date(service) as s:
        for request in (QUESTION, b"x", b"\n", b"\r\n", b"\0", b"\xff\xfe", bytes(range(256)), b"n" * 1024):
            asked = time.time()
            s.sendall(request)
            got = s.recv(1000)
            right(got[:26], asked)
            # What one receive returns is a message: on the way it may have been cut.
            while len(request) > 1 and len(got) % 26 == 0 and got and again(s):
                got += s.recv(1000)
            tell(rights(got, asked, 1, len(request)))


def again(s):
    s.settimeout(0.1)
    try:
        return s.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        s.settimeout(STEP)


def half_close(c, service, size, how):
    with logged(c, service) as tell, c.date(service) as s:
        asked = time.time()
        got, end = exchange(s, cuts(payload(size), how))
        expect(end == "FIN", f"{show(got)}, but then {end}")
        tell(rights(got, asked, -(-size // 1024), size))


def without_a_word(c, service):
    with logged(c, service), c.date(service) as s:
        nothing_more(s, 0.5)
        s.shutdown(socket.SHUT_WR)
        got, end = read_to_end(s)
        expect((got, end) == (b"", "FIN"), f"no request gets {show(got)} and {end}, expected FIN alone")


def no_waiting(c, service):
    # Quiet 0: nothing has to end a message, and nothing is waited for.
    with logged(c, service) as tell, c.date(service) as s:
        began = time.monotonic()
        for turn in range(20):
            asked = time.time()
            s.sendall(b"?")
            right(s.recv(1000), asked)
            tell(1)
        expect(time.monotonic() - began < 4, f"20 answers take {time.monotonic() - began:.1f} s")


def goes_on(c, service):
    times = []
    with logged(c, service) as tell, c.date(service) as s:
        for _ in range(3):
            asked = time.time()
            s.sendall(b"?")
            times.append(right(s.recv(1000), asked))
            tell(1)
            time.sleep(1.1)
    expect(times[0] < times[1] < times[2], f"1.1 s apart, it was {times}")


def to_the_second(c, service):
    # Not rounded up, and not a second behind.
    with logged(c, service) as tell, c.date(service) as s:
        for _ in range(30):
            before = int(time.time() - 0.02)  # a coarse clock may lag a little
            s.sendall(b"?")
            got = right(s.recv(1000), before)
            tell(1)
            expect(before <= got <= time.time(), f"{got:.0f}, when it was {before} to {time.time():.3f}")
            time.sleep(0.06)


def resets(c, service):
    for sent in (b"", b"?", b"x" * 5000):
        s = c.date(service)
        s.sendall(sent)
        reset(s)
    time.sleep(0.3)  # nothing tells us that the server has seen the last
    c.logs()
    half_close(c, service, 5, "whole")


def beside_idle(c, service):
    waiting = []
    try:
        for _ in range(100):
            waiting.append(c.date(service))
        half_close(c, service, 5, "whole")
    finally:
        for s in waiting:
            s.close()


def fifty(c, service):
    answered = []

    def work(turn):
        with c.date(service) as s:
            asked = time.time()
            got, end = exchange(s, [b"%d" % turn])
            answered.append(rights(got, asked, 1, 2))
            expect(end == "FIN", f"{show(got)}, but then {end}")
    with logged(c, service) as tell:
        at_once(50, work)
        tell(sum(answered))


for service in SERVICES:
    for what, function in {"in-one-receive": one_receive, "without-a-word": without_a_word, "at-once": no_waiting,
                           "goes-on": goes_on, "to-the-second": to_the_second, "client-resets": resets,
                           "beside-100-idle": beside_idle, "50-at-once": fifty}.items():
        checks.add(f"{service}-{what}", function, service)
    for size, how in ((0, "whole"), (1, "whole"), (16, "whole"), (16, "bytes"), (1024, "whole"), (1025, "whole"),
                      (5000, "random")):
        checks.add(f"{service}-half-close-{size}-{how}", half_close, service, size, how)
checks.add("date-half-close-300000-random", half_close, "date", 300_000, "random")


# --- logdate's files ---

def escaped(request):
    """As a log shows it: valid UTF-8 as it is, the rest and all control characters as \\n \\r \\t \\xNN."""
    named = {0x0a: "\\n", 0x0d: "\\r", 0x09: "\\t"}
    text = request.decode(errors="surrogateescape")
    return "".join(named.get(ord(ch)) or "".join(f"\\x{b:02x}" for b in ch.encode(errors="surrogateescape"))
                   if ord(ch) < 0x20 or 0x7f <= ord(ch) < 0xa0 or 0xdc80 <= ord(ch) < 0xdd00 else ch for ch in text)


def low(text):
    """\\xNN in small letters: which is right is left open."""
    return re.sub(r"\\x[0-9a-fA-F]{2}", lambda m: m[0].lower(), text)


def written(c, number, s, request, asked):
    """The file is there, with its one line: when, who, what."""
    name = f"log{number}.txt"
    with open(c.log(number), "rb") as f:
        raw = f.read()
    expect(raw.endswith(b"\n") and raw.count(b"\n") == 1, f"{name} is not one line: {show(raw, 200)}")
    try:
        line = raw[:-1].decode()
    except UnicodeDecodeError:
        raise Failed(f"{name} is not UTF-8: {show(raw, 200)}") from None
    expect(not re.search(r"[\x00-\x1f\x7f-\x9f]", line), f"{name} has control characters: {line!r}")
    found = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)", line)
    expect(found, f"{name} does not say when: {line!r}")
    moment(found[0], asked)
    host, port = s.getsockname()[:2]
    expect(host in line and re.search(rf"(?<!\d){port}(?!\d)", line), f"{name} does not name {host} {port}: {line!r}")
    expect(low(escaped(request)) in low(line), f"{name} has not {escaped(request)!r}: {line!r}")


def ask(c, s, request, look=True):
    """One request, its file there before its answer is; the file's number. Again if it was cut on the way."""
    for _ in range(5):
        before, asked = c.logs(), time.time()
        s.sendall(request)
        got = s.recv(1000)
        new = c.logs() - before
        rights(got, asked, 1, len(request))
        if len(got) == 26 and not (len(request) > 1 and again(s)):
            expect(len(new) == 1, f"answered, and new files are {sorted(new)}, expected one")
            [number] = new
            if look:
                written(c, number, s, request, asked)
            return number
        while again(s):
            s.recv(1000)
    raise Failed(f"{show(request)} was cut 5 times")


@checks("logdate-begins-with-log0")
def begins(c):
    before = c.logs()
    with c.date("logdate") as s:
        number = ask(c, s, QUESTION)
    expect(number == 0 if not before else number > max(before), f"log{number}.txt after {sorted(before)[-3:]}")


@checks("logdate-one-file-each")
def one_each(c):
    numbers = []
    for _ in range(3):
        with c.date("logdate") as s:
            for turn in range(5):
                numbers.append(ask(c, s, b"request %d" % turn))
    expect(numbers == sorted(set(numbers)), f"in this order: {numbers}")
    expect(numbers[-1] - numbers[0] == 14, f"numbers are left out: {numbers}")


@checks("logdate-request-is-escaped")
def is_escaped(c):
    with c.date("logdate") as s:
        for request in (QUESTION + b"\n", b"two\r\nlines\tand a tab", b"\x1b[31mred\x07\0\x7f", "grüße ✓ 漢".encode(),
                        b"\xff\xfe\x80 \xc3( \xed\xa0\x80", "\u0085\u009b31m".encode(), b" blanks  inside ",
                        b"\n", bytes(range(0x80, 0x100)), bytes(range(0x5c)), b"n" * 1024):
            ask(c, s, request)


@checks("logdate-a-number-is-not-given-again")
def not_again(c):
    with c.date("logdate") as s:
        numbers = [ask(c, s, QUESTION)]
        for _ in range(3):
            os.unlink(c.log(numbers[-1]))
            numbers.append(ask(c, s, QUESTION))
    for number in numbers[:-1]:
        expect(not os.path.exists(c.log(number)), f"log{number}.txt was deleted, and is there again")
    expect(numbers == sorted(set(numbers)), f"in this order: {numbers}")


@checks("logdate-leaves-what-others-wrote")
def others(c):
    with c.date("logdate") as s:
        last = ask(c, s, QUESTION)
        taken = [last + 1, last + 2, last + 3, last + 4]
        with open(c.log(last + 1), "wb") as f:
            f.write(b"another server's\n")
        os.mkdir(c.log(last + 2))
        os.symlink(os.path.join(c.log_folder, b"interop-nowhere"), c.log(last + 3))
        open(c.log(last + 4), "wb").close()
        try:
            c.logs()  # these are ours to remove
            for _ in range(3):
                number = ask(c, s, QUESTION)
                expect(number > last and number not in taken, f"log{number}.txt was taken")
                taken.append(number)
            with open(c.log(last + 1), "rb") as f:
                same(f.read(), b"another server's\n", "another server's file")
            expect(os.path.isdir(c.log(last + 2)) and os.path.islink(c.log(last + 3)), "a folder or link was replaced")
            expect(not os.path.exists(os.path.join(c.log_folder, b"interop-nowhere")), "a link was followed")
            expect(os.path.getsize(c.log(last + 4)) == 0, "an empty file was written to")
        finally:
            os.rmdir(c.log(last + 2))
            os.unlink(c.log(last + 3))


@checks("logdate-20-at-once")
def twenty(c):
    before, ports = c.logs(), {}

    def work(turn):
        with c.date("logdate") as s:
            asked = time.time()
            s.sendall(b"client <%d>" % turn)
            got = s.recv(1000)
            right(got[:26], asked)
            port = s.getsockname()[1]
            mine = [n for n in c.logs() - before if says(c, n, port)]
            expect(mine, "answered, and no file names it")
            expect(len(mine) == 1 or len(got) > 26, f"{len(mine)} files name it")
            ports[turn] = mine
            written(c, mine[0], s, b"client <%d>" % turn, asked)
    at_once(20, work)
    numbers = [n for mine in ports.values() for n in mine]
    new = c.logs() - before
    expect(len(set(numbers)) == len(numbers) == 20 and new == set(numbers),
           f"20 clients have the files {sorted(numbers)}, and new are {sorted(new)}")


def says(c, number, port):
    with open(c.log(number), "rb") as f:
        return re.search(rb"(?<!\d)%d(?!\d)" % port, f.read())
