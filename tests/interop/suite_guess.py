"""guess: numbers of any length, what is none, and the secret found by halving."""

import re
import socket
import threading

from target import checks
from wire import STEP, Failed, at_once, expect, payload, same, show

WORDS = (b"HIGHER", b"LOWER", b"CORRECT")


def peer(c):
    family, kind, proto, _, address = socket.getaddrinfo(c.host, c.guess_port, type=socket.SOCK_DGRAM)[0]
    s = socket.socket(family, kind, proto)
    s.settimeout(STEP)
    s.connect(address)
    return s


def ask(c, guess):
    """The answer; asked from a fresh port, up to three times, as a datagram may be lost."""
    sent = guess if isinstance(guess, bytes) else b"%d" % guess
    for _ in range(3):
        with peer(c) as s:
            s.settimeout(2)
            s.send(sent)
            try:
                return s.recv(65536)
            except TimeoutError:
                continue
    raise Failed(f"no answer to {show(sent)}, sent 3 times")


def halve(c, ask=ask):
    """The secret, and how many guesses it took."""
    low, high, guesses = 1, 99, 0
    while low <= high:
        guess, guesses = (low + high) // 2, guesses + 1
        got = ask(c, guess)
        expect(got in WORDS, f"{guess} is answered with {show(got)}")
        if got == b"CORRECT":
            expect(guesses <= 7, f"found only after {guesses} guesses")
            return guess
        if got == b"HIGHER":
            low = guess + 1
        else:
            high = guess - 1
    raise Failed("the answers leave no number from 1 to 99")


def right(number, secret):
    return b"HIGHER" if secret > number else b"LOWER" if secret < number else b"CORRECT"


def same_as(c, guess, want):
    sent = guess if isinstance(guess, bytes) else b"%d" % guess
    got = ask(c, sent)
    expect(got == want, f"{show(sent)} is answered with {show(got)}, expected {want!r}")


@checks("guess-halving-finds-it")
def halving(c):
    secret = halve(c)
    expect(c.guess_secret in (None, secret), f"found {secret}, and it is {c.guess_secret}")


@checks("guess-every-number")
def every(c):
    secret = halve(c)
    for number in range(-5, 106):
        same_as(c, number, right(number, secret))


@checks("guess-stays-after-correct")
def stays(c):
    secret = halve(c)
    for _ in range(20):
        same_as(c, secret, b"CORRECT")
    expect(halve(c) == secret, "another number after CORRECT")


@checks("guess-outside-1-to-99")
def outside(c):
    for number in (100, 101, 127, 128, 200, 255, 256, 300, 999, 1000, 32_768, 65_536, 65_586, 100_000):
        same_as(c, number, b"LOWER")
        same_as(c, -number, b"HIGHER")
    for sent in (b"0", b"-0", b"+0", b"000", b"-1", b"-99"):
        same_as(c, sent, b"HIGHER")


@checks("guess-numbers-of-any-length")
def any_length(c):
    secret = halve(c)
    for bits in (31, 32, 63, 64, 127, 128, 256):
        for off in (-1, 0, 1, 50, secret):  # what wraps around may look right
            same_as(c, (1 << bits) + off, b"LOWER")
            same_as(c, -(1 << bits) - off, b"HIGHER")
    for digits in (20, 40, 309, 310, 1000, 1400):
        same_as(c, b"9" * digits, b"LOWER")
        same_as(c, b"+" + b"1" * digits, b"LOWER")
        same_as(c, b"-" + b"9" * digits, b"HIGHER")
        for number in (0, 1, secret - 1, secret, secret + 1, 99, 100):
            same_as(c, b"%d" % number if not digits else b"0" * digits + b"%d" % number, right(number, secret))
        same_as(c, b"-" + b"0" * digits + b"%d" % secret, b"HIGHER")
        same_as(c, b"-" + b"0" * digits, b"HIGHER")


@checks("guess-signs-and-white-space")
def signs(c):
    secret = halve(c)
    for number in {1, secret, 50, 99, 1000}:
        want = right(number, secret)
        for sent in (b"+%d", b" %d", b"%d ", b"%d\n", b"%d\r\n", b"\t%d\t", b" \r\n\t+%d \r\n\t", b"0%d", b"+00%d"):
            same_as(c, sent % number, want)
        for sent in (b"-%d", b" -%d\n", b"-0%d"):
            same_as(c, sent % number, b"HIGHER")
    same_as(c, b" " * 700 + b"%d" % secret + b"\n" * 700, b"CORRECT")


def invalid(c, sent):
    got = ask(c, sent)
    expect(got.startswith(b"INVALID: "), f"{show(sent)} is answered with {show(got)}, not INVALID: and a reason")
    try:
        reason = got[9:].decode()
    except UnicodeDecodeError:
        raise Failed(f"{show(sent)}: the reason is not UTF-8: {show(got)}") from None
    expect(reason.strip(), f"{show(sent)} is answered with {show(got)}, and no reason")
    expect(not re.search(r"[\x00-\x1f\x7f-\x9f]", reason), f"{show(sent)}: control characters in {show(got)}")


INVALID = {
    "empty": b"", "blank": b" ", "white-space": b" \r\n\t", "words": b"fifty", "number-then-words": b"50 or so",
    "words-then-number": b"is it 50", "two-numbers": b"50 51", "two-lines": b"50\n51\n", "fraction": b"50.0",
    "comma": b"50,0", "point-alone": b".", "exponent": b"5e1", "hexadecimal": b"0x32", "underscore": b"5_0",
    "plus-alone": b"+", "minus-alone": b"-", "two-signs": b"--5", "plus-minus": b"+-5", "sign-behind": b"5-",
    "nul-behind": b"50\0", "nul": b"\0", "not-utf-8": b"\xff\xfe", "not-utf-8-behind": b"50\xff",
    "control": b"\x1b[31m50", "nan": b"NaN", "inf": b"inf", "own-word": b"CORRECT", "1400-letters": b"n" * 1400,
    "1400-digits-and-a-letter": b"9" * 1400 + b"x", "1400-control": b"\x1b" * 1400, "half": "½".encode(),
    "minus-sign-of-unicode": "−5".encode()}
for what, sent in INVALID.items():
    checks.add(f"guess-invalid-{what}", invalid, sent)


@checks("guess-65507-bytes")
def biggest(c):
    secret, most = halve(c), 65_507
    same_as(c, b"9" * most, b"LOWER")
    same_as(c, b"-" + b"9" * (most - 1), b"HIGHER")
    for number in (secret - 1, secret, secret + 1):
        same_as(c, (b"%d" % number).zfill(most), right(number, secret))
        same_as(c, (b"%d" % number).center(most), right(number, secret))
    for sent in (b"\0" * most, b" " * most, b"9" * (most - 1) + b"x", payload(most), b"\xff" * most, b"-" * most):
        invalid(c, sent)


@checks("guess-each-datagram-has-an-answer")
def each(c):
    secret = halve(c)
    with peer(c) as s:
        for turn in range(20):
            for sent in (b"0", b"", b"100", b"%d" % secret):
                s.send(sent)
            got = sorted(s.recv(65536).split(b":")[0] for _ in range(4))
            expect(got == [b"CORRECT", b"HIGHER", b"INVALID", b"LOWER"], f"4 datagrams are answered with {got}")


@checks("guess-100-peers")
def hundred(c):
    secret = halve(c)

    def work(turn):
        def from_here(c, guess):
            for _ in range(3):
                s.send(b"%d" % guess)
                try:
                    return s.recv(65536)
                except TimeoutError:
                    continue
            raise Failed(f"no answer to {guess}, sent 3 times")
        with peer(c) as s:
            s.settimeout(3)
            expect(halve(c, from_here) == secret, f"{turn} finds another number than {secret}")
            s.send(b"nonsense")
            got = s.recv(65536)
            expect(got.startswith(b"INVALID: "), f"nonsense is answered with {show(got)}")
    at_once(100, work)


@checks("guess-beside-a-flood")
def flood(c):
    # Who never reads the answers holds up nobody.
    secret, stop = halve(c), threading.Event()

    def pour():
        with peer(c) as s:
            while not stop.is_set():
                s.send(b"nonsense" * 10)
                stop.wait(0.0005)
    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    try:
        for number in (1, 99, secret) * 5:
            same_as(c, number, right(number, secret))
    finally:
        stop.set()
        thread.join(STEP)
