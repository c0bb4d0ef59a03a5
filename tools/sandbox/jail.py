"""The command line that starts an interpreter behind bubblewrap: new namespaces, an empty file system, and what Python itself needs of the real one.

/usr/lib, /usr/lib64   of the host, read-only: the C library
/opt/python            interpreter and standard library, read-only, without its site-packages
/opt/packages          the packages that are granted, each by itself, read-only
/box                   the only place that can be written, a file system in memory of limited size; also home and /tmp
/proc                  of the new process namespace
/dev                   null, zero, random and urandom
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import marshal
import os
import shutil
import sys
import sysconfig
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...graph.errors import UserError
from .limits import Limits

PACKAGES = ("numpy", "sympy", "mpmath")
"""What programs can import besides the standard library, where it is installed."""
SEED = 0
"""Seed of hashes, of `random` and of NumPy's global generator: a snippet that is run again does the same."""

_LOADER = """
import marshal, os
size, code = int.from_bytes(os.read(0, 4), "big"), b""
while len(code) < size:
    code += os.read(0, size - len(code)) or os._exit(0)
exec(marshal.loads(code))
"""
"""Runs `inside.py` as it comes through the channel, compiled: to compile it takes as long as a third of the interpreter's start."""
NOBODY = 65534
"""User and group of programs."""
_LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
_ENVIRONMENT = {
    "HOME": "/box",
    "LANG": "C.UTF-8",
    "PATH": "/nonexistent",
    "PYTHONHASHSEED": str(SEED),
    "PYTHONUTF8": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_THREADS = 2048
"""Threads that all programs together may have where threads are allowed."""
_CPU = 60
"""Seconds of processor time beyond which the kernel kills a process, should nobody else: for each second of its limit."""
_FOLDERS = (
    "/usr",
    "/usr/lib",
    "/dev",
    "/opt",
    "/opt/packages",
    "/opt/python",
    "/opt/python/bin",
    "/opt/python/lib",
)
_DEVICES = ("null", "zero", "random", "urandom")


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host, shown read-only."""

    source: Path
    target: str


def drops_user() -> bool:
    """Whether the sandbox is started by root, and then becomes another user for good before it takes a program.

    In a user namespace of its own a program of root's would still be root to the kernel where files of root's are concerned: it could write settings below
    /proc/sys. So root needs no such namespace, and its programs get no more than anybody's.
    """
    return os.geteuid() == 0


def package_mounts(packages: Sequence[str]) -> list[Mount]:
    """Return what must be shown of each package that is installed: its folder or file, and the shared libraries that its wheel brought.

    Raises:
        UserError: on a name that is no package's.
    """
    found: list[Mount] = []
    for name in packages:
        if not name.isidentifier():
            raise UserError(
                f"{name!r} is no package that a sandbox can show; give names of packages as they are imported"
            )
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or spec.origin in ("built-in", "frozen"):
            continue
        origin = Path(spec.origin)
        place = origin.parent if spec.submodule_search_locations else origin
        sources = (place, place.with_name(f"{name}.libs"))
        found += [
            Mount(source.resolve(), f"/opt/packages/{source.name}") for source in sources if source.exists()
        ]
    return found


def interpreter_mounts() -> tuple[str, list[Mount]]:
    """Return the interpreter's path in the sandbox and what must be shown for it.

    The interpreter is the one that this process runs on, without its virtual environment.
    """
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    prefix = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(prefix), "base": str(prefix)}))
    target = f"/opt/python/bin/{executable.name}"
    mounts = [Mount(executable, target), Mount(library.resolve(), f"/opt/python/{_LIBRARY}")]
    shared = sysconfig.get_config_var("INSTSONAME")
    folder = sysconfig.get_config_var("LIBDIR")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and shared and folder:
        source = Path(folder) / shared
        if not str(source).startswith("/usr/lib"):
            mounts.append(Mount(source.resolve(), f"/opt/python/lib/{shared}"))
    return target, mounts


@contextlib.contextmanager
def jail_command(
    mounts: Sequence[Mount], limits: Limits, refused: bytes, program: Sequence[str]
) -> Generator[tuple[list[str], tuple[int, ...]]]:
    """Give the command that runs a program in the jail, and the descriptors that it must inherit.

    Its options, which tell paths of the host, come through one of them: the program can read the command line of bubblewrap, as its process 1.

    Args:
        mounts: what of the host is shown.
        limits: of the program.
        refused: the filter of system calls.
        program: the command that is run in there.
    """
    with _readable(refused) as filter_fd:
        options = jail_options(mounts, limits, filter_fd)
        with _readable(
            b"".join(option.encode("utf-8", "surrogateescape") + b"\0" for option in options)
        ) as fd:
            yield [shutil.which("bwrap") or "bwrap", "--args", str(fd), *program], (filter_fd, fd)


@contextlib.contextmanager
def _readable(data: bytes) -> Generator[int]:
    """Give a descriptor from which this can be read. It is no pipe, which holds but a page where its user has many."""
    with os.fdopen(os.memfd_create("given"), "r+b", buffering=0) as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def jail_options(mounts: Sequence[Mount], limits: Limits, filter_fd: int) -> list[str]:
    """Return bubblewrap's options for the jail; its descriptor `filter_fd` must give the filter of system calls."""
    command = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--hostname", "box", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if drops_user():
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    for folder in _FOLDERS:  # those that bubblewrap makes in passing are its user's alone
        command += ["--dir", folder]
    command += _libraries()
    for mount in mounts:
        command += ["--ro-bind", str(mount.source), mount.target]
    hidden = f"/opt/python/{_LIBRARY}/site-packages"
    if any((m.source / "site-packages").is_dir() for m in mounts if m.target == f"/opt/python/{_LIBRARY}"):
        command += ["--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden]
    command += ["--proc", "/proc"]
    # the kernel lets real root write settings, whatever its capabilities: nothing of them is there
    command += ["--size", "4096", "--tmpfs", "/proc/sys", "--remount-ro", "/proc/sys"]
    # how the host was started is empty; that its mounts are told (/proc/self/mountinfo, with the folders they come from) cannot be helped
    command += ["--dev-bind", "/dev/null", "/proc/cmdline"]
    for device in _DEVICES:
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    command += [
        "--perms",
        "0777",
        "--size",
        str(limits.disk_mb << 20),
        "--tmpfs",
        "/box",
        "--symlink",
        "box",
        "/tmp",
    ]
    # the root is a file system in memory too, of half the machine's
    return [*command, "--remount-ro", "/", "--chdir", "/box", "--seccomp", str(filter_fd)]


def _libraries() -> list[str]:
    """Return what shows the host's shared libraries."""
    several = sysconfig.get_config_var("MULTIARCH")
    own = f"/usr/lib/{several}"
    places = [own if several and os.path.isdir(own) else "/usr/lib", "/usr/lib64", "/lib", "/lib64"]
    options: list[str] = []
    for place in places:
        if os.path.islink(place):  # where /lib is only another name
            options += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            options += ["--ro-bind", place, place]
    return options


def interpreter_command(interpreter: str, arguments: Sequence[str]) -> list[str]:
    """Return the command that starts the interpreter on what runs in the sandbox; it must be sent `inside` first."""
    return [interpreter, "-P", "-s", "-S", "-B", "-c", _LOADER, *arguments]


@functools.cache
def inside() -> bytes:
    """Return what runs in the sandbox, compiled for this interpreter, with its length in 4 bytes before it."""
    source = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
    code = marshal.dumps(compile(source, "inside.py", "exec", dont_inherit=True))
    return len(code).to_bytes(4, "big") + code


def environment() -> dict[str, str]:
    """Return the whole environment of a program."""
    places = {"PYTHONPATH": "/opt/packages:/box", "LD_LIBRARY_PATH": "/opt/python/lib", "TMPDIR": "/tmp"}
    return {**_ENVIRONMENT, **places}


def arguments(limits: Limits, preload: str = "", refused: bytes | None = None) -> list[str]:
    """Return what `inside.py` is told, in its order.

    Args:
        limits: of the program.
        preload: modules to import, separated by blanks.
        refused: the filter that it must set itself, or b"" for none, in a plain process; None in the jail.
    """
    jailed = refused is None
    numbers = (
        NOBODY if jailed and drops_user() else 0,
        limits.memory_mb << 20,
        limits.disk_mb << 20,
        int(_CPU * max(1.0, limits.seconds)),
        # counted over all processes of the user where there is no namespace of users
        _THREADS if limits.threads and jailed else -1,
        limits.value_chars,
        SEED,
    )
    return [*map(str, numbers), preload, (refused or b"").hex()]


def plain_environment(mounts: Sequence[Mount], folder: str) -> dict[str, str]:
    """Return the environment of a program in a plain process whose folder this is."""
    places = sorted(
        {str(mount.source.parent) for mount in mounts if mount.target.startswith("/opt/packages")}
    )
    own = {"HOME": folder, "TMPDIR": folder, "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    return {**_ENVIRONMENT, **own, "PYTHONPATH": ":".join([*places, folder])}
