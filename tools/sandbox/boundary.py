"""What the host can give to hold a program: asked once, and said in words that help.

There is no fallback. Where bubblewrap cannot work the sandbox refuses, unless the operator accepts less by name:

    rlimits    a plain process with resource limits, a clean environment, a folder of its own, a time limit, and the filter of system calls where the
               kernel takes it. It is NOT a boundary: the program reads every file that this user can read, writes where this user can write, and (without
               the filter) opens connections and starts processes that outlive it. For programs you would run yourself.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from ...graph.errors import UserError
from . import jail
from .limits import Limits
from .seccomp import seccomp_filter

Tier = Literal["bubblewrap", "rlimits+seccomp", "rlimits"]
"""What holds a program; only the first is a boundary."""
Acceptance = Literal["rlimits"]
"""What an operator may accept instead of a boundary."""

_PROBE_SECONDS = 30.0
_UBUNTU = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_DEBIAN = "/proc/sys/kernel/unprivileged_userns_clone"
_MOST = "/proc/sys/user/max_user_namespaces"


@dataclass(frozen=True, slots=True)
class Boundary:
    """What this host gives."""

    bubblewrap: str
    """Version of bubblewrap; "" if it is not there."""
    works: bool
    """Whether a program can be run behind it, filter of system calls included."""
    why: str
    """What stands in the way, and what to do about it; "" where it works."""

    def describe(self) -> str:
        """Return one line for a person."""
        if self.works:
            return f"sandboxed Python: {self.bubblewrap}, own namespaces, seccomp filter"
        return f"sandboxed Python: not available: {self.why}"


@functools.cache
def probe() -> Boundary:
    """Try it: start an interpreter behind the whole boundary once. The answer is kept."""
    if sys.platform != "linux":
        return Boundary("", False, f"it needs Linux, and this is {platform.system()}; {_ELSEWHERE}")
    path = shutil.which("bwrap")
    if path is None:
        return Boundary(
            "", False, "bubblewrap is not installed; apt install bubblewrap (or dnf, pacman, apk add)"
        )
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS)  # noqa: PLW1510 - what it says is what counts
    except (OSError, subprocess.SubprocessError) as error:
        return Boundary("", False, f"{path} does not run: {error}")
    version = done.stdout.strip()
    try:
        program = seccomp_filter()
    except UserError as error:
        return Boundary(version, False, str(error))
    said = _tried(program)
    return Boundary(version, said is None, "" if said is None else _advice(said))


def require(accept: Acceptance | None = None) -> Tier:
    """Return what will hold a program.

    Raises:
        UserError: if it is no boundary and that was not accepted, or what was accepted does not exist.
    """
    if accept not in (None, "rlimits"):
        raise UserError(f"{accept!r} is nothing that can be accepted for a boundary; 'rlimits' is")
    found = probe()
    if found.works:
        return "bubblewrap"
    if accept is None:
        raise UserError(
            f"the Python sandbox cannot be had here: {found.why}; or accept a plain process, which is no boundary, with accept='rlimits'"
        )
    if sys.platform == "win32":
        raise UserError(f"resource limits need a Unix; {_ELSEWHERE}")
    return plain_tier()


@functools.cache
def plain_tier() -> Tier:
    """Return what holds a plain process on this host."""
    try:
        seccomp_filter()
    except UserError:
        return "rlimits"
    mode = "/proc/sys/kernel/seccomp/actions_avail"
    return "rlimits+seccomp" if sys.platform == "linux" and os.path.exists(mode) else "rlimits"


def report() -> list[str]:
    """Return lines that say what this host can do for sandboxed Python, and what to do for more."""
    lines = [
        probe().describe(),
        "embedded Python: pydantic-monty in worker processes of its own, needs nothing of the host",
    ]
    if not probe().works:
        lines.append(f"accept='rlimits' would give: {plain_tier()}, which is no boundary")
    return lines


_ELSEWHERE = "use the embedded interpreter (embedded_python), or run in a Linux container or virtual machine"


def _tried(program: bytes) -> str | None:
    """Return what is said where an interpreter cannot be started behind the boundary; None where it can."""
    interpreter, mounts = jail.interpreter_mounts()
    ours, theirs = socket.socketpair()
    ours.settimeout(_PROBE_SECONDS)
    limits = Limits()
    try:
        program_line = jail.interpreter_command(interpreter, jail.arguments(limits))
        with jail.jail_command(mounts, limits, program, program_line) as (command, given):
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=given,
                env={},
            )
        theirs.close()
        try:
            ours.sendall(jail.inside())
            said = ours.recv(64)
        except OSError as error:
            said = str(error).encode()
        ours.close()  # it ends when nobody is there any more
        _, errors = process.communicate(timeout=_PROBE_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        for end in (ours, theirs):
            end.close()
    if said.endswith(b"ready"):
        return None
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"bwrap ended with status {process.returncode}"


def _advice(said: str) -> str:
    """Return what bubblewrap said, and what to do about it, as far as the host tells."""
    if _setting(_UBUNTU) == "1":
        what = "unprivileged user namespaces are restricted by AppArmor; sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give bwrap an AppArmor profile that has 'userns'"
    elif _setting(_DEBIAN) == "0":
        what = "unprivileged user namespaces are off; sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif _setting(_MOST) == "0":
        what = "user namespaces are off; sudo sysctl -w user.max_user_namespaces=15000"
    elif os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        what = "the container does not let it; start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined, or run outside it"
    else:
        what = "it needs user namespaces and seccomp; run `bwrap --ro-bind / / --unshare-all true` to see"
    return f"bubblewrap cannot work ({said}): {what}"


def _setting(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None
