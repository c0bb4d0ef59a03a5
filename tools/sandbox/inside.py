"""What runs inside the sandbox: takes programs from its one channel, runs them, and reports how they ended.

It is started as a script in the sandbox and imports nothing of this package. Nothing here protects the host: programs share this process and may
tamper with anything in it. It imports as little as it can, for that is most of a call's time.

A message is its length in 4 bytes, then fields, each with its length in 4 bytes before it; the first field is what the message is.
"""
# ruff: noqa: BLE001, S102, S112 - programs may raise anything, and running them is the purpose
# pyright: basic

import _ast
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ARGUMENTS = ("user", "memory", "file_bytes", "cpu", "processes", "value", "seed", "preload", "filter")


class Box:
    """One sandboxed interpreter: its channel, its modules' namespace, its settings."""

    def __init__(self, settings):
        self.settings = settings
        self.channel = os.dup(0)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        self.null = null
        self.read, self.write, self.leave = os.read, os.write, os._exit
        self.names = {}
        self.value = None
        self.modules = sys.modules
        self.number = 0

    def serve(self):
        self.greet()
        while True:
            size = self.exactly(4)
            body = self.exactly(int.from_bytes(size, "big"))
            fields = []
            while body:
                end = 4 + int.from_bytes(body[:4], "big")
                fields.append(body[4:end])
                body = body[end:]
            kind, *rest = fields
            getattr(self, "do_" + kind.decode())(*rest)

    def exactly(self, count):
        parts = []
        while count:
            part = self.read(self.channel, min(count, 1 << 16))
            if not part:
                self.leave(0)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def send(self, *fields):
        body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
        body = len(body).to_bytes(4, "big") + body
        while body:
            body = body[self.write(self.channel, body) :]

    def greet(self):
        """Say that programs can come, and give a handle of the file system that they write to, by which its files are counted outside."""
        if not os.path.ismount("/box"):
            self.send(b"ready")
            return
        import _socket

        wire = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, self.channel)
        handle = os.open("/box", os.O_PATH | os.O_DIRECTORY)
        rights = _socket.SOL_SOCKET, _socket.SCM_RIGHTS, handle.to_bytes(4, sys.byteorder)
        wire.sendmsg([b"\0\0\0\x09\0\0\0\x05ready"], [rights])
        wire.detach()
        os.close(handle)

    def do_file(self, name, text):
        path = os.path.join("/box" if os.path.isdir("/box") else os.getcwd(), name.decode())
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text)

    def do_stdin(self, text):
        with open(".stdin", "wb") as file:
            file.write(text)
        given = os.open(".stdin", os.O_RDONLY)
        os.unlink(".stdin")
        os.dup2(given, 0)
        os.close(given)

    def do_seed(self, modules):
        for name in modules.decode().split():
            try:
                module = __import__(name, fromlist=["seed"])
                module.seed(self.settings["seed"])
            except Exception:  # not there, or not seeded like that
                continue

    def do_quiet(self, source):
        """Run a snippet for what it leaves behind alone."""
        kept = os.dup(1), os.dup(2)
        os.dup2(self.null, 1)
        os.dup2(self.null, 2)
        self.run(source, "exec")
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)
        self.send(b"quiet")

    def do_run(self, source):
        status, value, error = self.run(source, "value")
        self.send(b"run", status, value, error)

    def do_test(self, nonce, source):
        """Run one test; the nonce comes back, so that a report written before the test is known for a forgery."""
        status, value, error = self.run(source, "exec")
        self.send(b"test", nonce, status, value, error)

    def do_value(self, nonce, source):
        """Evaluate an expression; what it should be is not known in here."""
        status, value, error = self.run(source, "plain")
        self.send(b"test", nonce, status, value, error)

    def do_equal(self, nonce, literal):
        """Compare the last value of `do_value` with a literal, where its type has none but is a module's that the program only imported."""
        kind = type(self.value)
        home = self.modules.get(str(getattr(kind, "__module__", "")))
        known = home not in (None, self.modules["__main__"]) and getattr(home, kind.__name__, None) is kind
        source = f"assert __value__ == {literal.decode()}".encode()
        self.names["__value__"] = self.value
        status, value, error = self.run(source, "exec")
        if not known:
            status, error = b"error", b"AssertionError: the value is of a type of the program's own"
        self.send(b"test", nonce, status, value, error)

    def run(self, source, mode):
        """Return status, value and traceback of one snippet."""
        self.number += 1
        name = f"<step {self.number}>"
        value = error = b""
        try:
            text = source.decode("utf-8", "surrogatepass")
            result = self.execute(text, name, mode)
            self.value = result
            if result is not None:
                value = literal(result) if mode == "plain" else repr(result)
                value = value[: self.settings["value"]].encode("utf-8", "replace")
            status = b"ok"
        except SystemExit as ended:
            status = b"ok" if ended.code in (None, 0) else b"error"
            error = b"" if status == b"ok" else f"SystemExit: {ended.code}".encode("utf-8", "replace")
        except MemoryError:
            status, error = b"memory", b"MemoryError"
        except BaseException as raised:
            status, error = b"error", self.trace(raised, name, source)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:  # closed, replaced or broken by the program
                continue
        return status, value, error

    def execute(self, text, name, mode):
        tree: Any = compile(text, name, "exec", _ast.PyCF_ONLY_AST, True)
        last = None
        if mode != "exec" and tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = _ast.Expression(tree.body.pop().value)
        exec(compile(tree, name, "exec", 0, True), self.names)
        return None if last is None else eval(compile(last, name, "eval", 0, True), self.names)

    def trace(self, raised, name, source):
        try:
            import linecache
            import traceback

            lines = source.decode("utf-8", "replace").splitlines(True)
            linecache.cache[name] = len(source), None, lines, name
            frames = raised.__traceback__
            while frames is not None and not frames.tb_frame.f_code.co_filename.startswith("<step "):
                frames = frames.tb_next
            text = "".join(traceback.format_exception(type(raised), raised, frames, limit=-20))
        except BaseException:  # an exception that cannot even be shown
            text = type(raised).__name__
        if len(text) > self.settings["value"]:
            text = text[: self.settings["value"] // 2] + "\n...\n" + text[-self.settings["value"] // 2 :]
        return text.encode("utf-8", "replace")


def literal(value):
    """Return `plain`, whatever the value does."""
    try:
        return plain(value)
    except BaseException:
        return "<no literal>"


def plain(value, depth=0):
    """Return a literal of what a value of built-in type, or of a kind of such a type, holds; for others a text that is no literal."""
    if value is None or value is True or value is False or value is Ellipsis:
        return repr(value)
    if depth < 50:
        for kind in (int, float, complex, str, bytes):
            if isinstance(value, kind):
                written = kind.__repr__  # not that of a class that only says it is one
                return written(value)  # type: ignore[arg-type]
        if isinstance(value, dict):
            pairs = dict.items(value)
            return "{" + ", ".join(f"{plain(k, depth + 1)}: {plain(v, depth + 1)}" for k, v in pairs) + "}"
        for kind, left, right in (
            (list, "[", "]"),
            (tuple, "(", ",)"),
            (set, "{", "}"),
            (frozenset, "{", "}"),
        ):
            if isinstance(value, kind):
                items = kind.__iter__
                inner = [plain(item, depth + 1) for item in items(value)]  # type: ignore[arg-type]
                return (
                    left + ", ".join(inner) + right if inner else kind.__name__.replace("frozen", "") + "()"
                )
    return f"<{type(value).__name__}>"


def confine(settings):
    """Become nobody and lower every limit, both for good, before any program runs."""
    import resource

    user = settings["user"]
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        if os.getresuid() != (user,) * 3 or os.getresgid() != (user,) * 3 or os.getgroups():
            raise PermissionError("this process is still another user's")
    for name, value in (
        ("RLIMIT_AS", settings["memory"]),
        ("RLIMIT_FSIZE", settings["file_bytes"]),
        ("RLIMIT_CPU", settings["cpu"]),
        ("RLIMIT_NPROC", settings["processes"]),
        ("RLIMIT_NOFILE", 64),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MSGQUEUE", 0),
        ("RLIMIT_MEMLOCK", 0),
    ):
        if value >= 0:
            resource.setrlimit(getattr(resource, name), (value, value))


def load_filter(program):
    """Have the kernel refuse system calls from now on (seccomp), where nobody outside does it."""
    import ctypes

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    given = Filter(len(program) // 8, program)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.addressof(given), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


def main():
    """Serve the program that started this until it hangs up."""
    settings: dict = dict(zip(ARGUMENTS, sys.argv[1:], strict=True))
    for name in ARGUMENTS[:7]:
        settings[name] = int(settings[name])
    box = Box(settings)
    confine(settings)
    for name in settings["preload"].split():
        try:
            __import__(name)
        except ImportError:
            continue
    if settings["filter"]:
        load_filter(bytes.fromhex(settings["filter"]))
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    box.names = module.__dict__
    __builtins__.exit = __builtins__.quit = sys.exit  # as the module site does
    sys.argv[:] = ["program"]
    box.serve()


if __name__ == "__main__":
    main()
