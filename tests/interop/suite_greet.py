"""greet: telnet negotiation is left out, and the limit of 1024 counts what is left."""

import time

from suite_message import Greet, says
from target import checks
from wire import asks, cuts, expect, nothing_more, payload, same, without_silence

GREET, FULL = Greet(), bytes(97 + i % 23 for i in range(1024))
IAC, WILL, WONT, DO, DONT = b"\xff", b"\xfb", b"\xfc", b"\xfd", b"\xfe"
SB, SE, NOP, AYT = b"\xfa", b"\xf0", b"\xf1", b"\xf6"
WINDOW = IAC + SB + b"\x1f\x00\x50\x00\x18" + IAC + SE
HELLO = b"".join((IAC + DO + b"\3", IAC + WILL + b"\x18", IAC + WILL + b"\x1f", IAC + DONT + b"\1",
                  IAC + WONT + b"\x22", WINDOW, IAC + NOP))  # what a telnet client may begin with

# --- cut anywhere, whole and byte by byte ---

for what, (sent, *texts) in {
        "options-first": (HELLO + b"hello\r\n", b"hello"), "options-alone": (HELLO,),
        "one-option-alone": (IAC + DO + b"\1",),
        "options-inside": (b"he" + HELLO + b"llo\n", b"hello"), "options-behind": (b"hello\n" + HELLO, b"hello"),
        "options-before-the-newline": (b"hello" + HELLO + b"\r\n", b"hello"),
        "options-between-cr-and-lf": (b"hello\r" + HELLO + b"\nnext\r" + IAC + NOP + b"\n", b"hello", b"next"),
        "options-and-an-empty-line": (HELLO + b"\r\n" + HELLO + b"\n", b"", b""),
        "options-between-lines": ((HELLO + b"a\r\n") * 3, b"a", b"a", b"a"),
        "options-before-the-end": (b"hello" + HELLO, b"hello"),
        "each-command-of-two-bytes": (b"".join(b"<" + IAC + bytes([code]) + b">" for code in range(241, 250)) + b"\n",
                                      b"<>" * 9),
        "each-command-of-three-bytes": (b"".join(b"<" + IAC + verb + b"\1>" for verb in (WILL, WONT, DO, DONT)) + b"\n",
                                        b"<>" * 4),
        "every-option": (b"".join(IAC + DO + bytes([n]) for n in range(256)) + b"x\n", b"x"),
        "option-10-is-no-newline": (b"a" + IAC + WILL + b"\n" + b"b" + IAC + DO + b"\r" + b"\n", b"ab"),
        "option-255-is-one-byte": (b"a" + IAC + WILL + b"\xff" + b"b\n", b"ab"),
        "subnegotiation": (b"a" + WINDOW + b"b\n", b"ab"),
        "subnegotiation-with-newlines": (b"a" + IAC + SB + b"\x18\0x\r\ny\n" + IAC + SE + b"b\n", b"ab"),
        "subnegotiation-with-255": (b"a" + IAC + SB + b"\x18" + IAC + IAC + SE + b"!" + IAC + IAC + IAC + SE + b"b\n",
                                    b"ab"),
        "subnegotiation-empty": (b"a" + IAC + SB + b"\x18" + IAC + SE + b"b\n", b"ab"),
        "subnegotiation-of-5000": (b"a" + IAC + SB + b"\x18" + b"s" * 5000 + IAC + SE + b"b\n", b"ab"),
        "se-alone": (b"a" + IAC + SE + b"b\n", b"ab"),
        "255": (IAC + IAC + b"\n", b"\xff"), "255-inside": (b"a" + IAC + IAC + b"b\n", b"a\xffb"),
        "255-twice": (IAC * 4 + b"\n", b"\xff\xff"), "255-then-a-command": (IAC * 3 + AYT + b"x\n", b"\xffx"),
        "255-then-253": (IAC + IAC + DO + b"\1\n", b"\xff\xfd\1"),
        "commands-without-iac": (DO + b"\1" + SB + SE + b"\n", b"\xfd\1\xfa\xf0"),
        "255-before-the-end": (b"a" + IAC + IAC, b"a\xff"), "cr-255-lf": (b"a\r" + IAC + IAC + b"\n", b"a\r\xff"),
        "half-a-command-at-the-end": (b"hi\n" + IAC, b"hi"), "half-an-option-at-the-end": (b"hi\n" + IAC + DO, b"hi"),
        "half-a-subnegotiation-at-the-end": (b"hi\n" + IAC + SB + b"\x18x", b"hi")}.items():
    checks.add(f"greet-telnet-{what}", says, GREET, sent, *texts)


@checks("greet-telnet-with-silence-at-every-byte")
def split_by_silence(c):
    # Longer than the silence that ends a message: what was begun stays begun.
    with c.greet() as s:
        for byte in cuts(IAC + DO + b"\3" + IAC + SB + b"\x18\n" + IAC + SE + IAC, "bytes"):
            s.sendall(byte)
            time.sleep(0.3)
        asks(s, NOP + b"hello\r\n", GREET.answer(b"hello"))
        asks(s, b"ab" + IAC, GREET.answer(b"ab"))
        time.sleep(0.3)
        s.sendall(DO)
        time.sleep(0.3)
        asks(s, b"\1cd\n", GREET.answer(b"cd"))
        asks(s, b"hello\r", GREET.answer(b"hello\r"))
        s.sendall(HELLO + b"\n")  # the LF of that CR, all the same
        nothing_more(s)
        asks(s, b"\n", GREET.answer(b""))


@checks("greet-telnet-negotiates-nothing")
def no_negotiation(c):
    with c.greet() as s:
        nothing_more(s, 0.3)
        s.sendall(HELLO)
        nothing_more(s, 0.5)
        asks(s, b"now\r\n", GREET.answer(b"now"))
        s.sendall(IAC + AYT)
        nothing_more(s, 0.5)


# --- 1024, and the next begins there ---

@checks("greet-1024-splits")
def splits(c):
    says(c, GREET, FULL, FULL)
    says(c, GREET, FULL + b"y", FULL, b"y")
    says(c, GREET, FULL + b"y\n", FULL, b"y")
    says(c, GREET, FULL + FULL, FULL, FULL)
    says(c, GREET, FULL + FULL + b"tail\r\nnext\n", FULL, FULL, b"tail", b"next")
    says(c, GREET, FULL + b"\r", FULL, b"\r")


@checks("greet-lf-right-behind-1024-is-empty")
def lf_behind(c):
    says(c, GREET, FULL + b"\nnext\n", FULL, b"", b"next")
    says(c, GREET, FULL + b"\r\nnext\n", FULL, b"", b"next")
    says(c, GREET, FULL + b"\n", FULL, b"")


@checks("greet-1024-counts-what-is-left")
def filtered(c):
    says(c, GREET, HELLO * 100 + FULL[:1023] + HELLO + b"\n", FULL[:1023])
    says(c, GREET, FULL[:500] + HELLO * 100 + FULL[500:] + HELLO, FULL)
    says(c, GREET, FULL + HELLO + b"\n", FULL, b"")
    says(c, GREET, IAC * 2046 + b"\n", IAC * 1023)
    says(c, GREET, IAC * 2048 + b"y\n", IAC * 1024, b"y")
    says(c, GREET, IAC * 2050 + b"\n", IAC * 1024, IAC)


@checks("greet-1024-is-answered-without-an-end")
def full_at_once(c):
    with c.greet() as s:
        asks(s, FULL, GREET.answer(FULL))
        nothing_more(s)
        asks(s, FULL + b"tail", GREET.answer(FULL, b"tail"))


@checks("greet-300000-bytes-in-one-line")
def long_line(c):
    text = payload(300_000).translate(bytes(97 + b % 26 for b in range(256)))
    got, end = without_silence(c.greet, [text, b"\n"], GREET.quiet)
    same(got, GREET.answer(*(text[at:at + 1024] for at in range(0, len(text), 1024))), "the answers to 300000 bytes")
    expect(end == "FIN", f"all answers came, but then {end}")
