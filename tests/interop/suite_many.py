"""Many connections at once: one must not hold up another."""

import threading
import time

from suite_echo import echo_tcp
from suite_file import file_served, refused
from suite_hello import hello_half_close
from target import BIG, SMALL, checks, serves_file
from wire import STEP, Failed, dial, exchange, expect, payload, reset, same


def pace(sock, stop, rounds):
    """Ping-pong on an echo connection; how long each round took."""
    data = payload(64)
    try:
        while not stop.is_set():
            began, got = time.monotonic(), b""
            sock.sendall(data)
            while len(got) < len(data):
                part = sock.recv(4096)
                if not part:
                    raise Failed("the other connection was ended")
                got += part
            if got != data:
                raise Failed("the other connection got wrong bytes")
            rounds.append(time.monotonic() - began)
    except Exception as e:
        rounds.append(e)


@checks("echo-sends-for-ever-and-never-reads")
def echo_hog(c):
    block, cap = payload(999_983), 96_000_000
    hogs = [c.echo(rcvbuf=65536, sndbuf=65536) for _ in range(4)]
    stop, rounds = threading.Event(), []
    try:
        with c.echo() as other:
            pinger = threading.Thread(target=pace, args=(other, stop, rounds), daemon=True)
            pinger.start()
            for s in hogs:
                s.setblocking(False)
            sent, moved = dict.fromkeys(hogs, 0), time.monotonic()
            while time.monotonic() - moved < 2:
                before = sum(sent.values())
                for s in hogs:
                    try:
                        sent[s] += s.send(memoryview(block)[sent[s] % len(block):])
                    except BlockingIOError:
                        continue
                    expect(sent[s] < cap, f"{sent[s]} bytes taken from one that never reads: buffered without bound?")
                if sum(sent.values()) > before:
                    moved = time.monotonic()
                else:
                    time.sleep(0.01)
            stop.set()
            pinger.join(STEP + 1)
        broken = [r for r in rounds if isinstance(r, Exception)]
        expect(not broken and rounds, f"the other connection: {broken or 'no round at all'}")
        expect(max(rounds) < 1, f"the other connection waited {max(rounds):.1f} s for a round")
        expect(len(rounds) > 50, f"the other connection came to {len(rounds)} rounds in more than 2 s")
        hog = hogs[0]  # and when it reads at last, nothing is lost
        got, end = exchange(hog, [])
        want = (block * (sent[hog] // len(block) + 1))[:sent[hog]]
        same(got, want, "echo when it reads at last")
        expect(end == "FIN", f"all came back, but then {end}")
    finally:
        stop.set()
        for s in hogs:
            s.fileno() != -1 and reset(s)


def idle(c, port, work):
    quiet = []
    try:
        for _ in range(100):
            quiet.append(dial(c.host, port))
        work(c)
        for s in quiet:
            s.setblocking(False)
            try:
                expect(False, f"an idle connection got {s.recv(100)!r}")
            except BlockingIOError:
                pass
            s.settimeout(STEP)
        return [exchange(s, [])[1] for s in quiet[:5]]
    finally:
        for s in quiet:
            s.close()


@checks("echo-beside-100-idle")
def echo_idle(c):
    expect(idle(c, c.echo_port, lambda c: echo_tcp(c, 1_000_000, "random")) == ["FIN"] * 5, "an idle one got a RST")


@checks("hello-beside-100-idle")
def hello_idle(c):
    ends = idle(c, c.hello_port, lambda c: hello_half_close(c, 5000, "random"))
    expect(ends == ["FIN"] * 5, "an idle one got a RST")


@checks("file-beside-100-idle")
def file_idle(c):
    idle(c, c.file_port, lambda c: serves_file(c, BIG))  # how a client that names nothing is ended is left open


@checks("all-at-once")
def all_at_once(c):
    jobs = [(echo_tcp, 200_000, "random"), (hello_half_close, 20_000, "random"), (file_served, BIG, "newline", "whole"),
            (file_served, SMALL, "silence", "whole"), (refused, "interop-absent.bin", ("newline",))] * 6
    errors = []

    def work(job, *args):
        try:
            job(c, *args)
        except Exception as e:
            errors.append(f"{job.__name__}: {e}")
    threads = [threading.Thread(target=work, args=job, daemon=True) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(not errors, "; ".join(errors)[:500])
