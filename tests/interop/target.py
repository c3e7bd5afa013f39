"""The servers under test, the files put there for the checks, and the table that all checks are in."""

import os
import shutil

from wire import Checks, dial, exchange, expect, payload, same

SIZES = {"interop-0.bin": 0, "interop-1.bin": 1, "interop-55696.bin": 55_696, "interop-583163.bin": 583_163}
SMALL, BIG = "interop-55696.bin", "interop-583163.bin"
checks = Checks()


class Context:
    """The servers under test, and the folder that the file service serves."""

    def __init__(self, args):
        self.host, self.folder, self.frontend = args.host, os.fsencode(args.dir), args.frontend
        self.echo_port, self.hello_port, self.file_port = args.echo_port, args.hello_port, args.file_port
        self.ours = []

    def echo(self, **sizes):
        return dial(self.host, self.echo_port, **sizes)

    def hello(self):
        return dial(self.host, self.hello_port)

    def file(self, **sizes):
        return dial(self.host, self.file_port, **sizes)

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
