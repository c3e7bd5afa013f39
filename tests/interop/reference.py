#!/usr/bin/env python3
"""Small servers and a client that follow the contract, to prove that suite.py and clients.py can pass; and, with
`--bug NAME`, break it in one place, to prove that they can fail. Not the product: no limits, a thread each.

    reference.py serve DIR                     prints `listening SERVICE PORT` lines, then runs until killed
    reference.py client ... | connect ...      as the contract's table
"""

import contextlib
import datetime
import io
import itertools
import os
import random
import re
import select
import socket
import stat
import string
import struct
import sys
import threading
import time

BUGS = set()
WIDTH = {1: 2, 2: 1, 3: 2, 4: 3, 5: 4, 6: 8}
MAX_FILE = 4 << 30
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?$", re.S)


# --- servers ---

def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def finish(s):
    """Shut down sending, read and discard until the peer ends, 1 MiB or 2 s, then close."""
    if "no-drain" not in BUGS:
        s.shutdown(socket.SHUT_WR)
        until, left = time.monotonic() + 2, 1 << 20
        if "drains-for-ever" in BUGS:
            until, left = time.monotonic() + 60, 1 << 60
        while left > 0 and (wait := until - time.monotonic()) > 0:
            s.settimeout(wait)
            try:
                data = s.recv(65536)
            except TimeoutError:
                break
            if not data:
                break
            left -= len(data)
    s.close()


def serve_echo(s):
    if "buffers-all" in BUGS:
        heap, some, ended = [], threading.Condition(), []

        def write():
            while True:
                with some:
                    some.wait_for(lambda: heap or ended)
                    if not heap:
                        return finish(s)
                    data = heap.pop(0)
                s.sendall(data)
        threading.Thread(target=write, daemon=True).start()
        while data := s.recv(65536):
            with some:
                heap.append(data)
                some.notify()
        with some:
            ended.append(1)
            some.notify()
        return
    while data := s.recv(65536):
        s.sendall(data.replace(b"\xff\xfe", b"??") if "text" in BUGS else data)
    finish(s)


def serve_hello(s):
    while data := s.recv(1025 if "overlong" in BUGS else 1024):
        if "text" in BUGS:
            data = data.decode(errors="replace").encode()
        s.sendall(b'I got "' + data + b'" from you and I am sending it back.')
        if "one-reply" in BUGS:
            break
    finish(s)


def read_name(s):
    name = b""
    while len(name) < 1024:
        # Silence ends a name, not the wait for one.
        s.settimeout(0.1 if name and "no-quiet" not in BUGS else 10)
        try:
            data = s.recv(1024 - len(name))
        except TimeoutError:
            break
        if not data:
            break
        name += data
        if b"\n" in name:
            name = name[:name.index(b"\n")].removesuffix(b"\r")
            break
    s.settimeout(60)
    return name


def allowed(raw):
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return False
    return (1 <= len(raw) <= 255 and not name.startswith(".") and not name.endswith((".", " "))
            and not re.search(r'[/\\\x00-\x1f\x7f-\x9f:*?"<>|]', name)
            and (not RESERVED.match(name) or "reserved" in BUGS))


def open_file(folder, name):
    if not allowed(name):
        raise OSError("this name is not allowed")
    follow = 0 if "follows-links" in BUGS else os.O_NOFOLLOW
    wait = 0 if "fifo" in BUGS else os.O_NONBLOCK
    f = os.open(os.path.join(folder, name), os.O_RDONLY | follow | wait)
    if not stat.S_ISREG(os.fstat(f).st_mode):
        os.close(f)
        raise OSError("no regular file")
    return os.fdopen(f, "rb")


def serve_file(s, folder):
    try:
        f = open_file(folder, read_name(s))
    except OSError:
        return finish(s) if "fin-on-absent" in BUGS else abort(s)
    with f:
        size = os.fstat(f.fileno()).st_size
        size -= "short" in BUGS
        while size > 0 and (data := f.read(min(65536, size))):
            s.sendall(data)
            size -= len(data)
    if size and "fin-on-short" not in BUGS:
        return abort(s)
    finish(s)


class Broken(OSError):
    pass


class Input:
    """What a peer sends, in frames."""

    def __init__(self, s):
        self.s, self.left = s, b""

    def some(self, most):
        """What one receive returns; nothing at the end."""
        data = self.left or self.s.recv(65536)
        self.left = data[most:]
        return data[:most]

    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.some(n - len(data))
            if not more or "one-receive" in BUGS and len(data + more) < n:
                raise Broken(f"ended after {len(data)} of {n} bytes")
            data += more
        return data

    def head(self, schema="sized"):
        """A tag and a length (no length: to the end), or None at the end."""
        if "forgets-what-is-left" in BUGS:
            self.left = b""
        tag = self.some(1)
        if not tag:
            return None
        tag = tag[0]
        self.s.settimeout(60 if "no-head-timeout" in BUGS else 10)
        if schema == "close" and tag != 1 and "close-is-sized" not in BUGS:
            if tag != 2:
                raise Broken(f"tag {tag}, allowed are 1 and 2")
            return tag, None
        if tag not in WIDTH:
            raise Broken(f"tag {tag}, allowed are 1 to 6")
        length = int.from_bytes(self.exactly(WIDTH[tag]), "big" if "big-endian" in BUGS else "little")
        if tag == 1 and length > 4096 and "long-string" not in BUGS:
            raise Broken(f"a STRING of {length} bytes, allowed are 4096")
        if tag != 1 and length > MAX_FILE - ("max-file-is-too-much" in BUGS) and "no-max-file" not in BUGS:
            raise Broken(f"{length} bytes, allowed are {MAX_FILE}")
        return tag, length & 0xffff_ffff if "length-of-32-bits" in BUGS else length

    def body(self, length, f):
        """Copies so many bytes, or all to the end, into a file."""
        self.s.settimeout(0.1 if "silence-is-end" in BUGS and length is None else 60)
        got = 0
        while length is None or got < length:
            try:
                data = self.some(65536 if length is None else min(65536, length - got))
            except ConnectionResetError:
                if "reset-is-end" in BUGS:
                    return
                raise
            except TimeoutError:
                if "silence-is-end" in BUGS:
                    return
                raise
            if not data:
                if length is None or "short-is-whole" in BUGS:
                    return
                raise Broken(f"ended after {got} of {length} bytes")
            f.write(data)
            got += len(data)


@contextlib.contextmanager
def temporary(folder, name=""):
    """A file to be linked or renamed, and gone afterwards in any case. A client can ask for no name of this kind."""
    path = os.path.join(folder, b"." + os.urandom(8).hex().encode() + b".part")
    if "one-temporary" in BUGS and name:
        path = os.path.join(folder, b"." + os.fsencode(name))
    if "overwrites" in BUGS and name:
        path = os.path.join(folder, os.fsencode(name))
    try:
        with open(path, "wb") as f:
            yield f
    finally:
        with contextlib.suppress(OSError):
            "leaves-temporaries" in BUGS or "overwrites" in BUGS or os.unlink(path)


def name_for_upload(folder, raw):
    if not allowed(raw) and "any-name" not in BUGS:
        raise OSError("this name is not allowed")
    path = os.path.join(folder, raw)
    if "replaces-links" not in BUGS and os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError("there is something of that name that is no regular file")
    return path


def store(f, path):
    f.flush()
    if "first-wins" in BUGS and os.path.exists(path):
        return
    if "stores-late" in BUGS:
        os.link(f.name, f.name + b".late")
        threading.Timer(0.2, os.replace, (f.name + b".late", path)).start()
        return
    os.replace(f.name, path)


def serve_upload(s, folder):
    came = Input(s)
    while head := came.head():
        if head[0] != 1:
            if "data-first" in BUGS:
                came.body(head[1], io.BytesIO())
                continue
            raise Broken("DATA before a name")
        raw = came.exactly(head[1])
        try:
            path = name_for_upload(folder, raw)
        except (OSError, ValueError) as e:
            if "err-then-reset" in BUGS:
                s.sendall(f"ERR {e}\n".encode())
                time.sleep(0.05)
                return abort(s)
            s.sendall(b"ERR\n" if "no-reason" in BUGS else f"ERR {e}\n".encode())
            return finish(s)
        with temporary(folder, raw) as f:
            if "ok-in-two" in BUGS:
                s.sendall(b"O")
                time.sleep(0.02)
                s.sendall(b"K")
            else:
                s.sendall(b"OK\n" if "ok-newline" in BUGS else b"OK")
            s.settimeout(60)
            head = came.head()
            while head and head[0] == 1 and "second-name" in BUGS:
                came.exactly(head[1])
                head = came.head()
            if not head and "end-after-ok" in BUGS:
                break
            if not head or head[0] == 1:
                raise Broken("no DATA behind the name")
            try:
                came.body(head[1], f)
            except OSError:
                if "keeps-short" in BUGS:
                    store(f, path)
                raise
            store(f, path)
        s.settimeout(60)
    finish(s)


def serve_typed(s, folder, schema):
    came = Input(s)
    if head := came.head(schema):
        tag, length = head
        if tag == 1:
            text = came.exactly(length)
            if "text" in BUGS:
                text.decode()
        else:
            with temporary(folder) as f:
                came.body(length, f)
                f.flush()
                if "empty-is-nothing" in BUGS and not f.tell():
                    return finish(s)
                while True:
                    name = "".join(random.choices(string.ascii_letters + string.digits, k=7 + ("seven" not in BUGS)))
                    name = "everyone.bin" if "one-name" in BUGS else name + ".bin"
                    try:
                        os.link(f.name, os.path.join(folder, os.fsencode(name)))
                        break
                    except FileExistsError:
                        if "one-name" in BUGS:
                            break
    elif "nothing-is-wrong" in BUGS:
        raise Broken("no message")
    finish(s)


def lines(s, most, quiet, drop, clean=lambda data: data):
    """`UntilQuiet` with newline: up to an LF, a silence, the end, or so many bytes."""
    text, dropping, after_cr, began = b"", False, False, 0.0
    while True:
        busy = (text or dropping) and "no-quiet" not in BUGS
        wait = quiet - (time.monotonic() - began if "quiet-from-the-first" in BUGS else 0)
        s.settimeout(max(wait, 0.001) if busy else 60)
        try:
            data = s.recv(65536)
            s.settimeout(60)  # for answers
        except TimeoutError:
            s.settimeout(60)
            if not busy:
                raise
            after_cr = text.endswith(b"\r") and "lf-after-quiet" not in BUGS
            if not dropping:
                yield text
            text, dropping = b"", "drops-to-the-newline" in BUGS and dropping
            continue
        began = began if busy else time.monotonic()
        if not data:
            if text and "no-last" not in BUGS:
                yield text
            return
        for byte in clean(data):
            if after_cr and byte == 10:
                after_cr = False
                continue
            after_cr = False
            if byte == 10:
                if not dropping and (text or "no-empty-lines" not in BUGS):
                    yield text if "keeps-cr" in BUGS else text.removesuffix(b"\r")
                text, dropping = b"", False
            elif not dropping:
                text += bytes([byte])
                if len(text) == most:
                    yield text
                    text, dropping = b"", drop
        if "one-receive" in BUGS and text:
            yield text
            text = b""


def serve_message(s):
    for text in lines(s, 4097 if "overlong" in BUGS else 4096, 0.05, "no-drop" not in BUGS):
        if "text" in BUGS:
            text = text.decode(errors="replace").encode()
        if "two-writes" in BUGS:
            s.sendall(b"Message: ")
            time.sleep(0.02)
            s.sendall(text)
        else:
            s.sendall(b"Message: " + text + b"\n" * ("adds-newline" in BUGS))
    finish(s)


class Telnet:
    """Leaves commands out, across whatever slices it is given."""

    def __init__(self, s):
        self.state, self.s = "data", s

    def __call__(self, data):
        if "no-telnet" in BUGS:
            return data
        if "telnet-forgets" in BUGS:
            self.state = "data"
        return bytes(byte for byte in data if self.keeps(byte))

    def keeps(self, byte):
        state, self.state = self.state, "data"
        if state == "data":
            if byte == 255:
                self.state = "iac"
            return byte != 255
        if state == "iac":
            if byte == 250 and "no-subnegotiation" not in BUGS:
                self.state = "sub"
            elif 251 <= byte <= 254:
                self.state = "option"
                if "negotiates" in BUGS:
                    self.s.sendall(bytes([255, 252, 1]))
            return byte == 255 and "drops-255" not in BUGS
        if state == "sub":
            self.state = "sub-iac" if byte == 255 else "sub"
        elif state == "sub-iac" and (byte != 240 or "sub-ends-late" in BUGS):
            self.state = "sub"
        elif state == "option" and byte == 10 and "option-10" in BUGS:
            return True
        return False


def serve_greet(s):
    telnet = Telnet(s)
    if "options-are-a-message" in BUGS:
        telnet = lambda data, keeps=telnet: keeps(data) or b"\n"  # noqa: E731
    for text in lines(s, 1025 if "overlong" in BUGS else 1024, 0.2, "drops" in BUGS, telnet):
        text = text if "255-alone" in BUGS else text.replace(b"\xff", b"\xff\xff")
        s.sendall(text + (b" Ali\n" if "lf-alone" in BUGS else b" Ali\r\n"))
    finish(s)


def serve_fixed(s):
    size, left = 1233 if "wrong-length" in BUGS else 1234, b""
    while data := s.recv(65536):
        left += data
        whole = len(left) // size * size
        if "waits-for-the-end" not in BUGS and whole:
            s.sendall(left[:whole])
            left = left[whole:]
        if "one-receive" in BUGS:
            left = b""
    if "waits-for-the-end" in BUGS:
        s.sendall(left)
    elif left and "short-is-whole" not in BUGS:
        raise Broken(f"ended after {len(left)} of {size} bytes")
    finish(s)


def serve_knock(s):
    if "waits-for-the-visitor" in BUGS:
        s.recv(1)
    if "says-something" in BUGS:
        s.sendall(b"Who is there?")
    finish(s)


def now():
    when = datetime.datetime.now().astimezone()
    if "utc" in BUGS:
        when = when.astimezone(datetime.timezone.utc)
    if "wrong-sign" in BUGS:
        when = when.replace(tzinfo=datetime.timezone(-when.utcoffset()))
    if "rounds" in BUGS:
        when += datetime.timedelta(seconds=0.7)
    text = when.isoformat(timespec="milliseconds" if "fraction" in BUGS else "seconds")
    return text.replace("T", " ") if "blank" in BUGS else text


def escaped(data):
    named = {10: b"\\n", 13: b"\\r", 9: b"\\t"}
    text = data.decode(errors="surrogateescape")
    return b"".join(ch.encode() if ch.isprintable() or ord(ch) > 0xa0 and not 0xdc80 <= ord(ch) < 0xdd00 else b"".join(
        named.get(b) or b"\\x%02x" % b for b in ch.encode(errors="surrogateescape")) for ch in text)


class Log:
    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.lock, self.number = folder, threading.Lock(), itertools.count()

    def write(self, line):
        with contextlib.nullcontext() if "no-lock" in BUGS else self.lock:
            for number in itertools.count() if BUGS & {"reuses-numbers", "no-lock"} else self.number:
                path = os.path.join(self.folder, b"log%d.txt" % number)
                if "no-lock" in BUGS and os.path.exists(path):
                    continue
                if "no-lock" in BUGS:
                    time.sleep(0.01)
                mode = "wb" if BUGS & {"no-lock", "overwrites"} else "xb"
                with contextlib.suppress(FileExistsError), open(path, mode) as f:
                    f.write(line)
                    return path


def serve_date(s, log=None):
    answer, path = now(), None
    while data := s.recv(1024):
        answer = answer if "clock-stops" in BUGS else now()
        line = b" ".join((now().encode(), b"" if "no-peer" in BUGS else str(s.getpeername()).encode(),
                          data if "raw" in BUGS else escaped(data))) + b"\n"
        if "log-late" in BUGS and log:
            threading.Timer(0.05, log.write, (line,)).start()
        elif log and ("one-log-each" not in BUGS or not path):
            path = log.write(line)
        s.sendall(answer.encode() + b"\n" * ("no-newline" not in BUGS))
        if "one-reply" in BUGS:
            break
    finish(s)


def answer_guess(data, secret):
    try:
        text = data.decode() if "no-strip" in BUGS else data.decode().strip()
    except UnicodeDecodeError:
        return b"INVALID: " + data if "echoes" in BUGS else b"INVALID: not UTF-8"
    if "python-int" in BUGS:
        with contextlib.suppress(ValueError):
            return b"HIGHER" if secret > int(text) else b"LOWER" if secret < int(text) else b"CORRECT"
    if not re.fullmatch(r"[0-9]+" if "no-sign" in BUGS else r"[+-]?[0-9]+", text):
        if "no-reason" in BUGS:
            return b"INVALID"
        return b"INVALID: " + (data if "echoes" in BUGS else b"no number")
    digits = text.lstrip("+-").lstrip("0") or "0"
    number = int(digits) if len(digits) < 100 else 10 ** 100
    number = -number if text[0] == "-" else number
    if "wraps" in BUGS:
        number = (number + (1 << 31)) % (1 << 32) - (1 << 31)
    if "range" in BUGS and not 1 <= number <= 99:
        return b"INVALID: not from 1 to 99"
    if "swapped" in BUGS:
        number, secret = secret, number
    if "newline" in BUGS and number == secret:
        return b"CORRECT\n"
    return b"HIGHER" if secret > number else b"LOWER" if secret < number else b"CORRECT"


def serve_guess(s):
    secret = random.randint(1, 99)
    while True:
        data, peer = s.recvfrom(65536)
        if "no-empty-datagram" in BUGS and not data:
            continue
        answer = answer_guess(data[:1472] if "cuts-datagrams" in BUGS else data, secret)
        if "redraws" in BUGS and answer == b"CORRECT":
            secret = secret % 99 + 1
        s.sendto(answer, peer)


def listen(name, serve, *args):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def one(s):
        try:
            s.settimeout(60)
            serve(s, *args)
        except (OSError, ValueError):
            if "fin-on-broken" in BUGS:
                return finish(s)
            abort(s)

    def loop():
        while True:
            s, _ = listener.accept()
            if "one-at-a-time" in BUGS:
                one(s)
            else:
                threading.Thread(target=one, args=(s,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    print("listening", name, listener.getsockname()[1], flush=True)
    return listener.getsockname()[1]


def serve(folder):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", listen("echo", serve_echo)))
    listen("hello", serve_hello)
    folder = os.fsencode(folder)
    listen("file", serve_file, folder)
    listen("upload", serve_upload, folder)
    listen("typed", serve_typed, folder, "sized")
    listen("typed-close", serve_typed, folder, "close")
    listen("message", serve_message)
    listen("fixed", serve_fixed)
    listen("knock", serve_knock)
    listen("greet", serve_greet)
    listen("date", serve_date)
    listen("logdate", serve_date, Log(os.path.join(folder, b"logs")))
    guess = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    guess.bind(("127.0.0.1", 0))
    print("listening guess", guess.getsockname()[1], flush=True)
    threading.Thread(target=serve_guess, args=(guess,), daemon=True).start()
    print("ready", flush=True)
    while True:
        data, peer = udp.recvfrom(65536)
        if data or "no-empty-datagram" not in BUGS:
            udp.sendto(data[:1472] if "cuts-datagrams" in BUGS else data, peer)


# --- client ---

def say(*text):
    sys.stdout.buffer.write(" ".join(map(str, text)).encode() + b"\n")
    sys.stdout.buffer.flush()


def text_of(arg):
    named = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|[nrt\\])", lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x"
                  else named[m[1].decode()], os.fsencode(arg))


class Usage(Exception):
    pass


def options(args, known):
    """Splits arguments into positional ones and options (`True`: takes a value)."""
    found, rest = {}, []
    args = iter(args)
    for arg in args:
        if arg.startswith("-") and arg != "-":
            if arg not in known:
                raise Usage(f"no option {arg}")
            found[arg.lstrip("-")] = next(args) if known[arg] else True
        else:
            rest.append(arg)
    return rest, found


def dial(host, port, timeout):
    s = socket.create_connection((host, port), timeout)
    s.settimeout(timeout)
    return s


def client_echo(host, port, timeout, rest, udp):
    text = rest[0] if rest else "Test message. This will be echoed"
    data = os.fsencode(text)
    if udp:
        say("Connecting to", host, "port", port)
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if "strangers" not in BUGS:
            s.connect((host, port))
        say("Sending", text)
        tries = 1 if "no-retry" in BUGS else 3
        for left in reversed(range(tries)):
            s.sendto(data, (host, port)) if "strangers" in BUGS else s.send(data)
            s.settimeout(timeout / tries)
            try:
                say("received", s.recv(65536).decode())
                break
            except TimeoutError:
                if not left:
                    raise
    else:
        say("Connecting to", host, "port", port)
        s = dial(host, port, timeout)
        say("Sending", text)
        s.sendall(data)
        left = len(data)
        while left:
            part = b""
            while len(part) < min(16, left):
                more = s.recv(min(16, left) - len(part))
                if not more:
                    raise OSError("the server ended before all came back")
                part += more
            left -= len(part)
            say("Received:", part.decode())
    say("Closing connection to the server")


def client_hello(host, port, timeout, rest):
    s = dial(host, port, timeout)
    say("Connected to:", host, port)
    text = rest[0] if rest else sys.stdin.readline().rstrip("\n")
    s.sendall(os.fsencode(text))
    s.shutdown(socket.SHUT_WR)
    reply = b""
    while data := s.recv(65536):
        reply += data
    say("Server says:", reply.decode(errors="replace"))


def frame_head(tag, length):
    return bytes([tag]) + length.to_bytes(WIDTH[tag], "little")


def frame_of(length):
    smallest = next(tag for tag in (2, 3, 4, 5, 6) if length < 1 << 8 * WIDTH[tag])
    return frame_head(5 if "always-tag-5" in BUGS else smallest, length)


def send_body(s, f):
    """All of the file; a server that ends meanwhile has not taken it."""
    while data := f.read(65536):
        if "blind" not in BUGS and select.select([s], [], [], 0)[0] and not s.recv(1, socket.MSG_PEEK):
            raise OSError("the server ended in the middle")
        s.sendall(data)


def complain(*text):
    print(*text, file=sys.stderr)
    return True


class Upload:
    """Files over one connection, each reported when the server's next word proves it."""

    def __init__(self, *where):
        self.where, self.s, self.waiting = where, None, None

    def proven(self):
        if self.waiting:
            say(self.waiting)
        self.waiting = None

    def reply(self):
        """OK, or all that comes to the end."""
        got = self.s.recv(4096)
        while "one-receive" not in BUGS and got and got != b"OK" and (more := self.s.recv(4096)):
            got += more
        return got

    def one(self, path):
        """Whether it was refused."""
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            if not self.s:
                self.s = dial(*self.where)
            name = os.fsencode(path if "sends-path" in BUGS else os.path.basename(path))
            self.s.sendall(frame_head(1, len(name)) + name)
            reply = self.reply()
            if reply.startswith(b"ERR ") and reply.endswith(b"\n"):
                self.proven()
                self.s.close()
                self.s = None
                return complain(f"{path}: {reply[4:].decode(errors='replace')}")
            if reply != b"OK":
                raise OSError(f"the server answers with {reply!r}")
            self.proven()
            self.s.sendall(frame_of(size))
            send_body(self.s, f)
            self.waiting = f"{path}: {size} bytes stored"
        if "reports-what-is-sent" in BUGS:
            self.proven()
        if "one-each" in BUGS:
            self.end()
        return False

    def end(self):
        if self.s:
            if "blind" not in BUGS and select.select([self.s], [], [], 0)[0]:
                self.s.recv(1)
                raise OSError("the server ended before we did")
            self.s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError) if "reset-is-end" in BUGS else contextlib.nullcontext():
                if self.s.recv(1):
                    raise OSError("more than was asked for")
            self.proven()
            self.s = None


def client_upload(host, port, timeout, rest):
    upload, wrong = Upload(host, port, timeout), False
    for path in rest or (line.rstrip("\n") for line in sys.stdin):
        if not os.path.isfile(path):
            wrong = complain(f"{path}: no such file")
        elif upload.one(path):
            wrong = True
            if "stops-at-err" in BUGS:
                break
    upload.end()
    return 1 if wrong else 0


def client_typed(host, port, timeout, found):
    schema = found.get("schema", "sized")
    if schema not in ("sized", "close") or len(found.keys() & {"string", "random", "file"}) != 1:
        raise Usage("--string, --random or --file, and --schema sized or close")
    text = os.fsencode(found.get("string", ""))
    if len(text) > 4096:
        raise Usage("a STRING has at most 4096 bytes")
    if "random" in found:
        f = io.BytesIO(os.urandom(int(found["random"])))
        size = len(f.getbuffer())
    elif "file" in found:
        f = open(found["file"], "rb")
        size = os.fstat(f.fileno()).st_size
    else:
        f, size = io.BytesIO(text), len(text)
    s = dial(host, port, timeout)
    to_the_end = schema == "close" and "string" not in found
    if to_the_end and "dies-with-an-end" not in BUGS:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.sendall(frame_head(1, size) if "string" in found else b"\2" if to_the_end else frame_of(size))
    send_body(s, f)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    s.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError) if "reset-is-end" in BUGS else contextlib.nullcontext():
        if s.recv(1):
            raise OSError("more than was asked for")
    say(f"{size} bytes sent, accepted")


def client_file(host, port, timeout, rest, out):
    name = rest[0] if rest else sys.stdin.readline().rstrip("\n")
    s = dial(host, port, timeout)
    s.sendall(os.fsencode(name) + (b"\n" if "sends-newline" in BUGS else b""))
    s.shutdown(socket.SHUT_WR)
    out, size = out or name, 0
    part = out if "keeps-partial" in BUGS else f".{out}.part"
    f = sys.stdout.buffer if out == "-" else open(part, "wb")
    try:
        while data := s.recv(65536):
            f.write(data)
            size += len(data)
        f.flush()
        if out != "-":
            os.replace(part, out)
            say("The size of", name, "is", size)
    except OSError:
        if "reset-is-end" in BUGS:
            return
        if out != "-" and "keeps-partial" not in BUGS:
            os.unlink(part)
        raise


def given(rest):
    """TEXT, or the lines of standard input."""
    return [os.fsencode(rest[0])] if rest else (line.removesuffix(b"\n") for line in sys.stdin.buffer)


def print_bytes(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def client_message(host, port, timeout, rest):
    s = dial(host, port, timeout)
    if "pipelines" in BUGS:
        rest = [b"\n".join(given(rest))]
    for line in given(rest):
        s.sendall(line[:4096] + b"\n" * ("no-newline" not in BUGS))
        reply = b""
        s.settimeout(0.2 if "impatient" in BUGS else timeout)
        with contextlib.suppress(TimeoutError) if "impatient" in BUGS else contextlib.nullcontext():
            reply = s.recv(65536)
        if not reply:
            raise OSError("the server ended without a reply")
        s.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while "one-receive" not in BUGS and (more := s.recv(65536)):
                reply += more
        print_bytes(reply + b"\n")


def client_greet(host, port, timeout, rest):
    s = dial(host, port, timeout)
    came = s.makefile("rb")
    for line in given(rest):
        s.sendall(line + b"\r\n")
        reply = s.recv(65536) if "one-receive" in BUGS else came.readline()
        if not reply.endswith(b"\n") and "one-receive" not in BUGS:
            raise OSError("the server ended inside an answer")
        print_bytes(reply)


def client_fixed(host, port, timeout, rest, length):
    if length < 1:
        raise Usage("--length from 1 to 65536")
    with contextlib.nullcontext(sys.stdin.buffer) if rest == ["-"] else open(rest[0], "rb") as f:
        body = f.read()
    count = -(-len(body) // length)
    if "no-padding" not in BUGS:
        body = body.ljust(count * length, b"\0")
    s = dial(host, port, timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump():
        with contextlib.suppress(OSError):
            s.sendall(body)
            s.shutdown(socket.SHUT_WR)
    pumping = threading.Thread(target=pump, daemon=True)
    pumping.start()
    if "sends-all-first" in BUGS:
        pumping.join(timeout)
        if pumping.is_alive():
            raise OSError("the server takes no more")
    got = bytearray()
    while data := s.recv(65536):
        got += data
    if got != body and "blind" not in BUGS:
        raise OSError("other bytes came back")
    say(count, "messages of", length, "bytes came back")


def client_knock(host, port, timeout, count):
    for turn in itertools.count():
        if turn == count or not sys.stdin.readline():
            break
        s = dial(host, port, timeout)
        say(f"Connected to {host}:{port}")
        with contextlib.suppress(ConnectionResetError) if "reset-is-end" in BUGS else contextlib.nullcontext():
            while "does-not-wait" not in BUGS and s.recv(65536):
                pass
        s.close()


def client_date(host, port, timeout):
    s = dial(host, port, timeout)
    s.sendall(b"What time is it?" + b"\n" * ("sends-newline" in BUGS))
    answer = b""
    while not answer.endswith(b"\n"):
        data = s.recv(65536)
        if not data:
            raise OSError("the server ended without an answer")
        answer += data
        if "one-receive" in BUGS:
            break
    print_bytes(answer)


def client_guess(host, port, timeout, auto):
    low, high = 1, 99
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        if auto and low > high:
            raise OSError("the server cheats")
        guess = low if "counts-up" in BUGS else (low + high) // 2
        line = str(guess) if auto else sys.stdin.readline().strip()
        if not line:
            return
        if "one-port" not in BUGS:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if "strangers" not in BUGS:
                s.connect((host, port))
        tries = 1 if "no-retry" in BUGS else 3
        for left in reversed(range(tries)):
            s.sendto(line.encode(), (host, port))
            s.settimeout(timeout / tries)
            try:
                answer = s.recv(65536).decode()
                break
            except TimeoutError:
                if not left:
                    raise
        say(line, answer)
        if answer == "CORRECT":
            return
        low, high = (guess + 1, high) if answer == "HIGHER" else (low, guess - 1)


def client_report_size(host, rest, hello, file, timeout):
    name = rest[0] if rest else sys.stdin.readline().rstrip("\n")
    if "file-first" not in BUGS:
        s = dial(host, hello, timeout)
    sizes = []

    def fetch():
        with contextlib.suppress(OSError) if "reset-is-end" in BUGS else contextlib.nullcontext():
            f, size = dial(host, file, timeout), 0
            f.sendall(os.fsencode(name))
            f.shutdown(socket.SHUT_WR)
            while data := f.recv(65536):
                size += len(data)
                if "keeps-file" in BUGS:
                    with open(name, "ab") as out:
                        out.write(data)
            sizes.append(size)
    wrong = []

    def fetches():
        try:
            fetch()
        except OSError as e:
            wrong.append(e)
    thread = threading.Thread(target=fetches)
    thread.start()
    thread.join()
    if wrong:
        raise wrong[0]
    if "file-first" in BUGS:
        s = dial(host, hello, timeout)
    s.sendall(os.fsencode(f"The size of {name} is {sum(sizes)}"))
    s.shutdown(socket.SHUT_WR)
    reply = b""
    while data := s.recv(65536):
        reply += data
    say("Server says:", reply.decode(errors="replace"))


def connect(host, port, timeout, send):
    s = dial(host, port, timeout)

    def pump():
        if send is not None:
            s.sendall(text_of(send))
        while data := sys.stdin.buffer.read1(65536):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=pump, daemon=True).start()
    while data := s.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def run_client(args):
    common = {"--host": True, "--port": True, "--timeout": True}
    if args[0] == "connect":
        rest, found = options(args[1:], {"--send": True, "--timeout": True})
        if len(rest) != 2:
            raise Usage("connect HOST PORT")
        return connect(rest[0], int(rest[1]), float(found.get("timeout", 5)), found.get("send"))
    service = args[1] if len(args) > 1 else None
    own = {"echo": {"--udp": False}, "hello": {}, "file": {"-o": True}, "upload": {},
           "message": {}, "greet": {}, "fixed": {"--length": True}, "knock": {"--count": True}, "date": {},
           "logdate": {}, "guess": {"--auto": False}, "report-size": {"--hello-port": True, "--file-port": True},
           "typed": dict.fromkeys(("--string", "--random", "--file", "--schema"), True)}
    if service not in own:
        raise Usage(f"no client {service}")
    rest, found = options(args[2:], common | own[service])
    where = found.get("host", "127.0.0.1"), int(found.get("port", 1)), float(found.get("timeout", 5))
    if service == "echo":
        client_echo(*where, rest, "udp" in found)
    elif service == "hello":
        client_hello(*where, rest)
    elif service == "message":
        client_message(*where, rest)
    elif service == "greet":
        client_greet(*where, rest)
    elif service == "fixed":
        client_fixed(*where, rest, int(found.get("length", 1234)))
    elif service == "knock":
        client_knock(*where, int(found.get("count", -1)))
    elif service in ("date", "logdate"):
        client_date(*where)
    elif service == "guess":
        client_guess(*where, "auto" in found)
    elif service == "report-size":
        client_report_size(where[0], rest, int(found["hello-port"]), int(found["file-port"]), where[2])
    elif service == "upload":
        return client_upload(*where, rest)
    elif service == "typed":
        client_typed(*where, found)
    else:
        client_file(*where, rest, found.get("o"))


def main():
    args = sys.argv[1:]
    while args[:1] == ["--bug"]:
        BUGS.add(args[1])
        args = args[2:]
    try:
        if args[:1] == ["serve"]:
            serve(args[1])
        elif args[:1] and args[0] in ("client", "connect"):
            return run_client(args) or 0
        else:
            raise Usage("serve, client or connect")
    except (Usage, ValueError) as e:
        print("usage:", e, file=sys.stderr)
        return 2
    except OSError as e:
        print("failed:", e or "no answer in time", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a thread may still wait on standard input
