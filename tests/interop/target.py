"""The servers under test, the files put there for the checks, and the table that all checks are in."""

import contextlib
import os
import re
import shutil
import time

from wire import Checks, dial, exchange, expect, payload, same

SIZES = {"interop-0.bin": 0, "interop-1.bin": 1, "interop-55696.bin": 55_696, "interop-583163.bin": 583_163}
SMALL, BIG = "interop-55696.bin", "interop-583163.bin"
checks = Checks()


class Context:
    """The servers under test, the folder that file, upload and typed share, and that of logdate's files."""

    def __init__(self, args):
        self.host, self.folder, self.frontend = args.host, os.fsencode(args.dir), args.frontend
        self.echo_port, self.hello_port, self.file_port = args.echo_port, args.hello_port, args.file_port
        self.upload_port, self.typed_port = args.upload_port, args.typed_port
        self.typed_close_port = args.typed_close_port
        self.message_port, self.fixed_port, self.knock_port = args.message_port, args.fixed_port, args.knock_port
        self.date_port, self.logdate_port, self.greet_port = args.date_port, args.logdate_port, args.greet_port
        self.guess_port, self.guess_secret = args.guess_port, args.guess_secret
        self.log_folder = os.fsencode(args.log_dir or os.path.join(args.dir, "logs"))
        self.ours, self.older_logs = [], set()
        self.older_logs = self.logs()
        self.ours.clear()

    def echo(self, **sizes):
        return dial(self.host, self.echo_port, **sizes)

    def hello(self):
        return dial(self.host, self.hello_port)

    def file(self, **sizes):
        return dial(self.host, self.file_port, **sizes)

    def upload(self, **sizes):
        return dial(self.host, self.upload_port, **sizes)

    def typed(self, schema="sized", **sizes):
        return dial(self.host, self.typed_port if schema == "sized" else self.typed_close_port, **sizes)

    def message(self):
        return dial(self.host, self.message_port)

    def fixed(self, **sizes):
        return dial(self.host, self.fixed_port, **sizes)

    def knock(self):
        return dial(self.host, self.knock_port)

    def date(self, service="date"):
        return dial(self.host, self.date_port if service == "date" else self.logdate_port)

    def greet(self):
        return dial(self.host, self.greet_port)

    def path(self, name):
        """Where a name lies in the folder; removed at the end unless it was there before."""
        path = os.path.join(self.folder, os.fsencode(name))
        if not os.path.lexists(path) and path not in self.ours:
            self.ours.append(path)
        return path

    def put(self, name, data):
        """A file made whole under a name; one that is there already (`CON`) is left as it is."""
        path = self.path(name)
        if path in self.ours:
            with open(path, "wb") as f:
                f.write(data)

    def sparse(self, name, size):
        """A big file that takes no room, with a mark at its end."""
        path = self.path(name)
        with open(path, "wb") as f:
            f.truncate(size - 16)
            f.seek(size - 16)
            f.write(b"the very end.\n\0\xff")
        return path

    def listing(self):
        return set(os.listdir(self.folder))

    @contextlib.contextmanager
    def leaves(self, *names):
        """What is done here leaves nothing new in the folder but these, temporary files neither."""
        before = self.listing() | {os.path.basename(self.path(name)) for name in names}
        with self.adopts(before):
            yield
        self.settles(before)

    @contextlib.contextmanager
    def adopts(self, before):
        """If this fails, what it left is removed at the end."""
        try:
            yield
        except BaseException:
            self.ours += [os.path.join(self.folder, name) for name in self.listing() - before]
            raise

    def settles(self, names):
        """Only these names lie in the folder, at the latest after a moment: what an abort removes may take that."""
        until = time.monotonic() + 2
        while (left := self.listing() - names) and time.monotonic() < until:
            time.sleep(0.01)
        self.ours += [os.path.join(self.folder, name) for name in left]
        expect(not left, f"left in the folder: {sorted(left)[:5]}")

    def drawn(self, before):
        """The bodies that lie under names of the typed service's making, and were not there before."""
        names = [name for name in self.listing() - before if re.fullmatch(rb"[A-Za-z0-9]{8}\.bin", name)]
        return {name: self.read(name) for name in names}

    @contextlib.contextmanager
    def stores(self, *bodies):
        """What is done here leaves these bodies in new files that typed has named, at once, and nothing else."""
        before = self.listing()
        with self.adopts(before):
            yield
        found = self.drawn(before)
        self.ours += [os.path.join(self.folder, name) for name in found]
        sizes, want = sorted(map(len, found.values())), sorted(map(len, bodies))
        expect(sorted(found.values()) == sorted(bodies), f"stored files of {sizes[:9]} bytes, expected {want[:9]}, "
               f"or other bytes; new: {sorted(self.listing() - before)[:5]}")
        self.settles(before | set(found))

    def read(self, name):
        with open(os.path.join(self.folder, os.fsencode(name)), "rb") as f:
            return f.read()

    def logs(self):
        """The numbers of logdate's files; what is new is removed at the end."""
        names = os.listdir(self.log_folder) if os.path.isdir(self.log_folder) else []
        found = {int(m[1]) for name in names if (m := re.fullmatch(rb"log(0|[1-9][0-9]*)\.txt", name))}
        self.ours += [path for n in found - self.older_logs if (path := self.log(n)) not in self.ours]
        return found

    def log(self, number):
        return os.path.join(self.log_folder, b"log%d.txt" % number)

    def clean(self):
        for path in reversed(self.ours):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.lexists(path):
                os.unlink(path)


def content(name):
    return payload(SIZES[name])


def serves_file(c, name=SMALL):
    """The file service works, now."""
    with c.file() as s:
        got, end = exchange(s, [name.encode() + b"\n"], half_close=False)
    same(got, content(name), name)
    expect(end == "FIN", f"{name} whole, but then {end}")
