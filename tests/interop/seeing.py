#!/usr/bin/env python3
"""Checks what a server tells of itself: its metrics, scraped and parsed strictly, and its log of JSON objects.

Python 3.11's standard library only. It starts the servers itself. One line per check; exit status 1 if any failed.
"""

import argparse
import contextlib
import datetime
import http.client
import json
import math
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from wire import STEP, Checks, Failed, asks, at_once, data, dial, expect, payload, read_to_end, reset, show, string

checks = Checks()

# Seconds within which a scrape must ask.
ASKING = 1


def equal(got, want, what):
    expect(got == want, f"{what}: {show(got, 300) if isinstance(got, bytes) else got}, expected {want}")


# --- Prometheus' text format, version 0.0.4 ---

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Family:
    def __init__(self, name, words):
        self.name, self.help, self.type, self.samples = name, words, None, {}


def parse_sample(line):
    """Name, labels in their order, value."""
    name = NAME.match(line)
    expect(name, f"no name: {line!r}")
    at, labels = name.end(), []
    if line[at:at + 1] == "{":
        at += 1
        while line[at:at + 1] != "}":
            label = LABEL.match(line, at)
            expect(label, f"no label at {at}: {line!r}")
            at = label.end()
            expect(label[1] not in dict(labels), f"a label twice: {line!r}")
            labels.append((label[1], re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), label[2])))
            expect(line[at:at + 1] in ",}", f"neither , nor }} at {at}: {line!r}")
            at += line[at] == ","
        at += 1
    expect(line[at:at + 1] == " ", f"no space before the value: {line!r}")
    value = line[at + 1:]
    expect(NUMBER.fullmatch(value), f"no number: {line!r}")
    return name[0], labels, float(value.replace("Inf", "inf"))


def parse(text):
    """The families of an exposition, by name. Whatever is not as the format wants it is an error, also what a scraper would let pass."""
    expect(text.endswith("\n"), "the last line has no newline")
    families, family = {}, None
    for line in text[:-1].split("\n"):
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            expect(len(words) == 4 and NAME.fullmatch(words[2]), f"no help: {line!r}")
            expect(words[2] not in families, f"described twice: {words[2]}")
            expect(not re.search(r"\\[^\\n]", words[3]), f"a backslash that escapes nothing: {line!r}")
            family = families[words[2]] = Family(words[2], words[3])
        elif words[:2] == ["#", "TYPE"]:
            expect(family and family.name == words[2] and family.type is None and not family.samples,
                   f"a type out of place: {line!r}")
            expect(words[3:] and words[3] in TYPES, f"no type: {line!r}")
            family.type = words[3]
        else:
            expect(line and not line.startswith("#"), f"neither a sample nor a description: {line!r}")
            name, labels, value = parse_sample(line)
            expect(family and family.type, f"a sample before its description: {line!r}")
            suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
            expect(name in [family.name + suffix for suffix in suffixes], f"not of {family.name}: {line!r}")
            key = name, frozenset(labels)
            expect(key not in family.samples, f"twice: {line!r}")
            family.samples[key] = value
    for family in families.values():
        expect(family.type, f"{family.name} has no type")
        expect(family.samples, f"{family.name} has no sample")
        expect((family.type == "counter") == family.name.endswith("_total"), f"{family.name} is a {family.type}")
        if family.type in ("counter", "histogram"):
            expect(all(v >= 0 for v in family.samples.values()), f"{family.name} is negative")
        if family.type == "histogram":
            check_histogram(family)
    return families


def check_histogram(family):
    """Of each label set: buckets that add up, to infinity, and a sum and a count that fit."""
    series = {}
    for (name, labels), value in family.samples.items():
        labels = dict(labels)
        le = labels.pop("le", None)
        expect((le is None) != name.endswith("_bucket"), f"le in the wrong place: {name}")
        one = series.setdefault(frozenset(labels.items()), {"buckets": []})
        if le is None:
            one[name[len(family.name) + 1:]] = value
        else:
            one["buckets"].append((math.inf if le == "+Inf" else float(le), value))
    for labels, one in series.items():
        bounds, counts = zip(*one["buckets"])
        expect(list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, f"{family.name}: bounds {bounds}")
        expect(list(counts) == sorted(counts), f"{family.name}: {counts} do not add up")
        expect(counts[-1] == one["count"], f"{family.name}: {counts[-1]} in all, counted {one['count']}")
        expect((one["sum"] > 0) == (one["count"] > 0), f"{family.name}: {one['count']} took {one['sum']} s")


GOOD = "# HELP a_total Words.\n# TYPE a_total counter\na_total{b=\"\\\\ \\\" \\n\",c=\"\"} 1\na_total 2e-7\n"
H = "# HELP h Words.\n# TYPE h histogram\n"
BAD = [GOOD[:-1], GOOD + "\n", GOOD + GOOD, GOOD.replace("TYPE", "KIND"), GOOD.replace(" counter", ""), GOOD.replace("counter", "gauge"),
       GOOD.replace("# TYPE a_total counter\n", ""), GOOD + "a_total 3\n", GOOD + "b_total 3\n", GOOD.replace("c=", "b="),
       GOOD.replace('""', '"\\x"'), GOOD.replace('""', '"\n"'), GOOD.replace('",c', '"c'), GOOD.replace("} 1", "}1"),
       GOOD.replace("} 1", "} one"), GOOD.replace(" 1\n", " -1\n"), GOOD + "# EOF\n", GOOD.replace(" Words.", ""),
       "# HELP a_total Words.\n# TYPE a_total counter\n", H + "h_sum 1\nh_count 1\n",
       H + 'h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n', H + 'h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
       H + 'h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n', H + 'h_bucket{le="+Inf"} 1\nh_sum 0\nh_count 1\n',
       H + 'h_bucket{le="2"} 1\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n', H + "h 1\n"]


@checks("parser-is-strict")
def parser(c):
    family = parse(GOOD)["a_total"]
    equal(sorted(family.samples.values()), [2e-7, 1.0], "values")
    expect(("a_total", frozenset([("b", '\\ " \n'), ("c", "")])) in family.samples, f"labels: {family.samples}")
    parse(H + 'h_bucket{le="0.1"} 1\nh_bucket{le="+Inf"} 3\nh_sum 1.5\nh_count 3\n')
    for text in BAD:
        try:
            parse(text)
        except (Failed, ValueError, KeyError, IndexError):
            continue
        raise Failed(f"accepted: {text!r}")


# --- servers ---

class Server:
    """A server with its log as JSON and with metrics, and what it has logged so far."""

    def __init__(self, context, *args, metrics="127.0.0.1:0", dir=None):
        words = [*context.program, "serve", *args, "--log-format", "json", "--dir", dir, *context.extra]
        words += ["--metrics", metrics] if metrics else []
        self.context, self.log, self.ports, self.url = context, [], {}, None
        self.reads = threading.Event()
        self.reads.set()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        for _ in range(sum(2 if "echo" in word else 1 for word in args if "=0" in word)):
            line = self.process.stdout.readline().decode()
            expect(line.startswith("listening "), f"{line!r} and {self.log}")
            _, service, protocol, address = line.split()
            self.ports[service, protocol] = int(address.rpartition(":")[2])
        if metrics:
            self.url = self.logged(lambda o: "url" in o)["url"]

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            self.reads.wait()

    def objects(self):
        return [parse_line(line) for line in list(self.log)]

    def logged(self, wanted):
        """The first object that is wanted, once it is there."""
        return until(lambda: next((o for o in self.objects() if wanted(o)), None), f"nothing of it in {self.log}")

    def dial(self, service, **options):
        return dial(self.context.host, self.ports[service, "tcp"], **options)

    def scrape(self):
        while True:
            begun = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=30) as answer:
                    equal(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8", "the content type")
                    return Numbers(parse(answer.read().decode()))
            except ConnectionResetError:
                # Whoever takes so long to ask is turned away, and this machine may have been busy for so long.
                if time.monotonic() - begun < ASKING:
                    raise

    def address(self):
        url = urllib.parse.urlsplit(self.url)
        return url.hostname, url.port

    def once(self, wanted):
        """The first scrape that is as wanted."""
        return until(lambda: (n := self.scrape()) and wanted(n) and n, "the metrics do not get there")

    def stop(self):
        """Stops it in good order; returns what it has logged in all."""
        self.process.send_signal(signal.SIGTERM)
        expect(self.process.wait(STEP) == 0, f"exit status {self.process.returncode}, log {self.log}")
        self.reader.join()
        return self.objects()


class Numbers:
    def __init__(self, families):
        self.families = families

    def __call__(self, name, service=None, family=None, **labels):
        labels |= {"service": service} if service else {}
        samples = self.families[family or name].samples
        key = name, frozenset(labels.items())
        expect(key in samples, f"no {name} of {labels}")
        return samples[key]

    def series(self, name, service):
        return {tuple(v for k, v in sorted(labels) if k not in ("service", "le")): value
                for (_, labels), value in self.families[name].samples.items() if dict(labels).get("service") == service}

    def ended(self, service):
        """How conversations have ended that have: {("finished",): 1}."""
        return {key: n for key, n in self.series("anywire_connections_ended_total", service).items() if n}

    def bytes(self, service):
        return tuple(self("anywire_bytes_total", service, direction=way) for way in ("in", "out"))


def until(look, why):
    deadline = time.monotonic() + 3 * STEP
    while not (found := look()):
        expect(time.monotonic() < deadline, why)
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def serving(context, *args, **options):
    with tempfile.TemporaryDirectory() as dir:
        server = Server(context, *args, dir=dir, **options)
        server.dir = dir
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()


def parse_line(line):
    """A line of the log: one object, and nothing in it that could be taken for another, or that acts on a terminal."""
    text = line.decode()
    expect(text.endswith("}\n") and text.startswith('{"time":"') and len(text.splitlines()) == 1, f"no line: {line!r}")
    # The joiner, in emoji, does nothing by itself.
    expect(text[:-1].replace("\u200d", "").isprintable(), f"unprintable: {line!r}")

    def unique(pairs):
        expect(len(dict(pairs)) == len(pairs), f"a member twice: {line!r}")
        return dict(pairs)
    o = json.loads(text, object_pairs_hook=unique, parse_constant=lambda word: expect(False, f"{word}: {line!r}"))
    when = datetime.datetime.strptime(o["time"], "%Y-%m-%dT%H:%M:%S.%f%z")
    expect(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z", o["time"]), f"time {o['time']}")
    off = datetime.datetime.now(datetime.timezone.utc) - when
    expect(abs(off) < datetime.timedelta(minutes=5), f"time {o['time']}")
    expect(o["level"] in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR"), f"level {o['level']}")
    return o


def udp(server, service, question):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(STEP)
        s.connect((server.context.host, server.ports[service, "udp"]))
        s.send(question)
        return s.recv(65536)


def finish(s):
    s.shutdown(socket.SHUT_WR)
    equal(read_to_end(s), (b"", "FIN"), "the end")
    s.close()


# --- metrics ---

EVERY = ("echo", "hello", "message", "fixed", "knock", "typed", "upload", "file", "date", "logdate", "guess", "greet")


@checks("metrics-of-nothing")
def nothing(c):
    with serving(c, *[f"{service}=0" for service in EVERY]) as server:
        numbers = server.scrape()
        for name, family in numbers.families.items():
            mine = name.startswith("anywire_")
            expect(mine or name.startswith("process_"), name)
            expect(not mine or not any(family.samples.values()), f"{name}: {family.samples}")
            services = {dict(labels).get("service") for _, labels in family.samples}
            expect(services <= {*EVERY, None}, f"{name} of {services}")
        # What a service can have it has, from the beginning, and nothing else.
        for name, has in (("anywire_connections_total", set(EVERY) - {"guess"}), ("anywire_datagrams_total", {"echo", "guess"}),
                          ("anywire_files_stored_total", {"typed", "upload", "file"})):
            equal({service for service in EVERY if numbers.series(name, service)}, has, name)
        for service, has in (("file", True), ("echo", False)):
            ends = numbers.series("anywire_connections_ended_total", service)
            expect(("aborted", "head_timeout") in ends and (("refused", "not_found") in ends) == has, f"{service}: {list(ends)}")
        begun = numbers("process_start_time_seconds")
        expect(0 <= time.time() - begun < 60, f"began at {begun}")
        pid = server.process.pid
        expect(abs(numbers("process_open_fds") - len(os.listdir(f"/proc/{pid}/fd"))) <= 2, "descriptors")
        rss = int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
        expect(rss / 2 < numbers("process_resident_memory_bytes") < rss * 2, "memory")
        expect(numbers("process_max_fds") >= 1024, "limit of descriptors")


@checks("metrics-are-exact")
def exact(c):
    with serving(c, "echo=0", "hello=0", "upload=0", "file=0", "guess=0", "--secret", "42") as server:
        for _ in range(3):
            with server.dial("echo") as s:
                asks(s, b"12345", b"12345")
                finish(s)
        equal(udp(server, "echo", b"123"), b"123", "echo")
        equal(udp(server, "guess", b"42"), b"CORRECT", "guess")
        body = payload(100_000)
        with server.dial("upload") as s:
            asks(s, string("one"), b"OK")
            s.sendall(data(body))
            s.sendall(string(".no"))
            got, end = read_to_end(s)
            expect(got.startswith(b"ERR ") and end == "FIN", f"{got} and {end}")
        with server.dial("file") as s:
            s.sendall(b"one\n")
            got, end = read_to_end(s)
            equal((len(got), end), (len(body), "FIN"), "file")
        with server.dial("file") as s:
            s.sendall(b"two\n")
            equal(read_to_end(s), (b"", "RST"), "no file")
        with server.dial("echo") as s:
            asks(s, b"x", b"x")
            reset(s)
        open_one = server.dial("hello")
        asks(open_one, b"World", b'I got "World" from you and I am sending it back.')
        # A child tells of an open conversation a few times a second.
        n = server.once(lambda n: [n("anywire_connections_open", name) for name in ("echo", "upload", "file", "hello")] == [0, 0, 0, 1]
                        and n.bytes("hello")[0] == 5)
        want = {"echo": 4, "hello": 1, "upload": 1, "file": 2}
        equal({name: n("anywire_connections_total", name) for name in want}, want, "connections")
        equal(n.ended("echo"), {("finished",): 3, ("reset",): 1}, "echo ended")
        equal(n.ended("upload"), {("finished",): 1}, "upload ended")
        equal(n.ended("file"), {("finished",): 1, ("refused", "not_found"): 1}, "file ended")
        equal(n.ended("hello"), {}, "hello ended")
        equal(n("anywire_requests_refused_total", "upload", reason="name"), 1, "refused names")
        equal(n("anywire_requests_refused_total", "file", reason="not_found"), 1, "refused files")
        equal(n("anywire_files_stored_total", "upload"), 1, "files")
        equal((n("anywire_datagrams_total", "echo"), n("anywire_datagrams_total", "guess")), (1, 1), "datagrams")
        equal(n.bytes("echo"), (19, 19), "bytes of echo")
        equal(n.bytes("guess"), (2, 7), "bytes of guess")
        # The conversation is open, and yet it is in it.
        equal(n.bytes("hello"), (5, 48), "bytes of hello")
        frames = len(string("one")) + len(data(body)) + len(string(".no"))
        equal(n.bytes("upload")[0], frames, "bytes of upload")
        equal(n.bytes("file"), (8, len(body)), "bytes of file")
        steps = {name: n("anywire_step_seconds_count", name, "anywire_step_seconds") for name in want}
        expect(steps["echo"] >= 8 and steps["hello"] >= 1 and steps["upload"] >= 4, f"steps: {steps}")
        again = server.scrape()
        equal(again.bytes("echo"), (19, 19), "bytes of echo, once more")
        log = server.stop()
        summary = {o["service"]: o for o in log if o["message"] == "served in all"}
        equal(set(summary), {"echo", "hello", "upload", "file", "guess"}, "services in the summary")
        # What is told at the end is what was scraped.
        for name, o in summary.items():
            equal((o["received"], o["sent"]), n.bytes(name), f"bytes of {name} in the summary")
        equal([summary["echo"][k] for k in ("conversations", "finished", "reset", "datagrams", "files")], [4, 3, 1, 1, 0], "echo")
        equal([summary["file"][k] for k in ("conversations", "finished", "refused")], [2, 1, 1], "file")
        equal((summary["hello"]["stopped"], summary["upload"]["files"]), (1, 1), "hello and upload")


@checks("metrics-of-a-body-as-it-comes")
def body(c):
    with serving(c, "upload=0") as server:
        whole = data(payload(1 << 20))
        with server.dial("upload") as s:
            asks(s, string("one"), b"OK")
            half = len(string("one")) + (len(whole) >> 1)
            s.sendall(whole[:len(whole) >> 1])
            server.once(lambda n: n.bytes("upload")[0] == half and n("anywire_connections_open", "upload") == 1)
            reset(s)
        n = server.once(lambda n: n("anywire_connections_open", "upload") == 0)
        equal(n.ended("upload"), {("aborted", "cut"): 1}, "ended")
        ended = server.logged(lambda o: o.get("end"))
        equal((ended["end"], ended["reason"], ended["stored"]), ("aborted", "cut", 0), "the log")
        equal((ended["received"], ended["sent"]), n.bytes("upload"), "bytes")
        equal(n("anywire_files_stored_total", "upload"), 0, "files")


@checks("metrics-of-time-limits")
def limits(c):
    with serving(c, "echo=0", "upload=0", "--idle-timeout", "0.3", "--head-timeout", "0.3") as server:
        with server.dial("echo") as s:
            equal(read_to_end(s), (b"", "FIN"), "one that is idle")
        with server.dial("upload") as s:
            s.sendall(string("half of a name")[:5])
            equal(read_to_end(s), (b"", "RST"), "one with half a name")
        with server.dial("upload") as s:
            asks(s, string("one"), b"OK")
            s.sendall(data(b"half of a body")[:9])
            equal(read_to_end(s), (b"", "RST"), "one with half a body")
        # It takes nothing of its answers.
        with server.dial("echo", rcvbuf=4096, sndbuf=4096) as s:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while True:
                    s.send(bytes(65536))
            n = server.once(lambda n: sum(sum(n.ended(name).values()) for name in ("echo", "upload")) == 4)
        equal(n.ended("echo"), {("idle",): 1, ("aborted", "unread"): 1}, "echo ended")
        equal(n.ended("upload"), {("aborted", "head_timeout"): 1, ("aborted", "stalled"): 1}, "upload ended")


@checks("metrics-of-a-shortage")
def shortage(c):
    with serving(c, "echo=0") as server:
        if c.system:
            pid = server.process.pid
            limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, limit[1]))
            with server.dial("echo") as s:
                server.logged(lambda o: o["level"] == "WARN" and o["message"].startswith("connections cannot be accepted"))
                # Whoever operates it sees that there are none left, and some that say nothing do not keep others from that.
                silent = [socket.create_connection(server.address()) for _ in range(3)]
                for _ in range(3):
                    n = server.scrape()
                    expect(n("anywire_accept_errors_total") > 0, "no error is counted")
                    equal(n("process_max_fds"), used, "limit of descriptors")
                    expect(n("process_open_fds") >= used - 8, f"{n('process_open_fds')} of {used} descriptors")
                    n("process_resident_memory_bytes")
                for one in silent:
                    one.close()
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
                asks(s, b"x", b"x")
        n = server.scrape()
        equal(n("anywire_accept_errors_total") > 0, c.system, "errors at accept")
        equal(n("anywire_connections_total", "echo"), int(c.system), "connections")


@checks("metrics-of-a-log-that-nobody-reads")
def lost(c):
    with serving(c, "echo=0", "-v") as server:
        server.reads.clear()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(STEP)
            s.connect((c.host, server.ports["echo", "udp"]))
            for turn in range(10_000):
                s.send(b"x")
                s.recv(2)
        lost = server.once(lambda n: n("anywire_log_lines_lost_total") > 0)("anywire_log_lines_lost_total")
        server.reads.set()
        # What the server logs while it stops finds room again.
        line = b'"message":"\\"x\\", '
        until(lambda: sum(line in read for read in list(server.log)) == 10_000 - lost, "lines are missing")
        log = server.stop()
        told = [o["lost"] for o in log if "lost" in o]
        equal(told, [lost], "lost lines in the log")
        equal(sum(o["message"].startswith('"x", ') for o in log) + lost, 10_000, "lines")


# --- scrapes ---

def ask_http(server, raw, rest=True):
    host, port = server.url.split("/")[2].split(":")
    s = dial(host, int(port))
    s.sendall(raw)
    return read_to_end(s)[0] if rest else s


@checks("scrapes-by-the-rules")
def rules(c):
    with serving(c, "echo=0") as server:
        place = server.url.split("/")[2]
        connection = http.client.HTTPConnection(place, timeout=STEP)
        connection.request("HEAD", "/metrics")
        answer = connection.getresponse()
        equal((answer.status, answer.read()), (200, b""), "HEAD")
        expect(int(answer.headers["content-length"]) > 1000, "the length of what is not sent")
        for method, path, status in (("POST", "/metrics", 405), ("GET", "/", 404), ("GET", "/metrics/x", 404), ("DELETE", "/", 404)):
            connection = http.client.HTTPConnection(place, timeout=STEP)
            connection.request(method, path)
            equal(connection.getresponse().status, status, f"{method} {path}")
        # The older protocol, too.
        expect(ask_http(server, b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK\r\n"), "HTTP/1.0")
        parse(ask_http(server, b"GET /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")[2].decode())


@checks("scrapes-that-are-hostile")
def hostile(c):
    with serving(c, "echo=0") as server:
        before = server.scrape()("process_resident_memory_bytes")
        with server.dial("echo") as s:
            for garbage in (b"\0" * 9, b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", payload(50_000), b"G" * 100_000,
                            b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
                            b"GET /metrics HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n",
                            b"GET /metrics HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
                with contextlib.suppress(ConnectionError):
                    got = ask_http(server, garbage)
                    expect(b" 200 " not in got.partition(b"\r\n")[0], f"{show(garbage)} gets {show(got)}")
                asks(s, b"x", b"x")
            # More than are answered at once, that say nothing, or read nothing: the next one has to wait, and gets its turn.
            held = [ask_http(server, b"", rest=False) for _ in range(60)]
            held += [ask_http(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", rest=False) for _ in range(60)]
            asks(s, b"y", b"y")
            server.scrape()
            asks(s, b"z", b"z")
            for one in held:
                one.close()
            at_once(20, lambda turn: [server.scrape() for _ in range(100)])
            asks(s, b"!", b"!")
            n = server.once(lambda n: n("process_open_fds") < 64)
            grown = n("process_resident_memory_bytes") - before
            expect(grown < 16 << 20, f"{grown} bytes more than before")
            equal(n.ended("echo"), {}, "echo ended")
        log = server.stop()
        # Nothing of all this is worth a line.
        equal([o["message"] for o in log if o["level"] != "INFO"], [], "warnings")


@checks("metrics-port-in-use")
def in_use(c):
    with socket.create_server(("127.0.0.1", 0)) as taken, tempfile.TemporaryDirectory() as dir:
        port = taken.getsockname()[1]
        words = [*c.program, "serve", "hello=0", "--metrics", f"127.0.0.1:{port}", "--log-format", "json", "--dir", dir, *c.extra]
        done = subprocess.run(words, capture_output=True, timeout=STEP)
        equal((done.returncode, done.stdout), (1, b""), "status and output")
        problem, instead = map(parse_line, done.stderr.splitlines(keepends=True))
        equal((problem["level"], instead["level"]), ("ERROR", "ERROR"), "levels")
        expect(f"cannot serve metrics on 127.0.0.1:{port}: " in problem["message"], problem["message"])
        words = shlex.split(instead["command"])
        expect("hello=0" in words and "json" in words, instead["command"])
        # The line that is proposed works.
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            expect(process.stdout.readline().startswith(b"listening hello tcp "), "it does not listen")
        finally:
            process.kill()
            process.wait()


@checks("metrics-beyond-this-machine")
def beyond(c):
    with serving(c, "hello=0", metrics="0.0.0.0:0") as server:
        warned = server.logged(lambda o: o["level"] == "WARN")
        expect("metrics are served on 0.0.0.0, beyond this machine" in warned["message"], warned["message"])
        server.scrape()


@checks("log-of-what-keeps-it-from-starting")
def cannot(c):
    dir = b'/proc/no"\\\n{"\xff\xe2\x80\xa8\x1b[2J'
    words = [*c.program, "serve", "file=0", "--log-format", "json", "--dir", dir, *c.extra]
    done = subprocess.run(words, capture_output=True, timeout=STEP)
    equal((done.returncode, done.stdout), (1, b""), "status and output")
    problem, = map(parse_line, done.stderr.splitlines(keepends=True))
    # What is no UTF-8 is so in Rust's words already.
    equal(problem["level"], "ERROR", "level")
    expect('cannot keep files in /proc/no"\\\\n{"' in problem["message"] and r"\xe2\x80\xa8\x1b[2J: " in problem["message"], problem["message"])


# --- the log ---

HOSTILE = [b'plain', b'"}\n{"time":"2026-01-01T00:00:00.000000Z","level":"ERROR","message":"forged"}\n', b"\\", b'\\"', b"\\u000a", b"\xff\xfe\x80",
           "\u2028\u2029\x85\u202e\u2066".encode(), b"\x1b[2J\x1b]0;x\x07", b"\0\x01\x1f\x7f", "é世界👩‍💻".encode(), b"\xed\xa0\x80", b"{}[],:"]


def says(server, service, *parts):
    """A conversation that may be refused in the middle."""
    with server.dial(service) as s:
        with contextlib.suppress(OSError):
            for part in parts:
                s.sendall(part)
            s.shutdown(socket.SHUT_WR)
        read_to_end(s)


@checks("log-is-objects")
def objects(c):
    with serving(c, "hello=0", "upload=0", "file=0", "typed=0", "logdate=0", "echo=0", "-v", metrics=None) as server:
        for name in HOSTILE:
            says(server, "hello", name)
            says(server, "upload", string(name), data(b"body"))
            says(server, "file", name.replace(b"\n", b" ") + b"\n")
            says(server, "typed", string(name))
            says(server, "logdate", name)
            equal(udp(server, "echo", name), name, "echo")
        log = server.stop()
        ended = [o for o in log if "end" in o]
        for service in ("hello", "upload", "file", "typed", "logdate"):
            mine = [o for o in ended if o["service"] == service]
            equal(len(mine), len(HOSTILE), f"ends of {service}")
            for o in mine:
                expect(re.fullmatch(r"[0-9.]+:[0-9]+", o["peer"]), f"peer {o['peer']}")
                numbers = [o[k] for k in ("received", "sent", "messages", "files", "stored", "ms")]
                expect(all(type(n) is int for n in numbers), f"numbers: {o}")
        said = [o["message"] for o in ended if o["service"] == "hello"]
        for want in (r'"plain", ', r'"\xff\xfe\x80", ', r'"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\xe2\x80\xae\xe2\x81\xa6", ', r'"\x1b[2J\x1b]0;x\x07", ',
                     r'"\x00\x01\x1f\x7f", ', '"é世界👩‍💻", '):
            expect(any(m.startswith(want) for m in said), f"no {want} in {said}")
        stored = {o["name"]: o["len"] for o in log if o["message"].startswith("stored ")}
        equal(stored, {"plain": 4, "é世界👩‍💻": 4}, "names of files")
        refused = {o["reason"] for o in ended if o["end"] == "refused"}
        expect(refused <= {"name", "not_found"} and refused, f"refused: {refused}")
        equal([o["message"] for o in log if o["level"] == "ERROR"], [], "errors")


@checks("log-is-quiet-when-told")
def quiet(c):
    with serving(c, "hello=0", "-q", metrics=None) as server:
        with server.dial("hello") as s:
            finish(s)
        equal(server.stop(), [], "the log")


@checks("metrics-say-where-they-are-when-all-is-quiet")
def quiet_metrics(c):
    with serving(c, "hello=0", metrics=None) as server:
        server.stop()
        equal(server.process.stdout.read(), b"", "behind the listening lines")
    with serving(c, "hello=0", "-q", "--metrics", "127.0.0.1:0", metrics=None) as server:
        words = server.process.stdout.readline().decode().split()
        equal(words[:3], ["listening", "metrics", "tcp"], "the last listening line")
        server.url = f"http://{words[3]}/metrics"
        equal(server.scrape()("anywire_connections_total", "hello"), 0, "connections")
        equal(server.stop(), [], "the log")
        equal(server.process.stdout.read(), b"", "behind the listening lines")


class Context:
    def __init__(self, args):
        self.program, self.extra, self.host = shlex.split(args.program), shlex.split(args.extra), args.host
        # A stack of its own needs no descriptor for a connection.
        self.system = args.host == "127.0.0.1"


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--program", required=True)
    args.add_argument("--extra", default="")
    args.add_argument("--host", default="127.0.0.1", help="where the program's servers are")
    args.add_argument("--only", default="")
    args.add_argument("--list", action="store_true")
    args = args.parse_args()
    if args.list:
        print("\n".join(name for name, *_ in checks.chosen(args.only)))
        return 0
    return checks.run(Context(args), args.only)


if __name__ == "__main__":
    sys.exit(main())
