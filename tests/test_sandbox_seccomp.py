"""The filter of system calls, run here as the kernel would run it, for both processors; and what the host is told where it lacks a boundary."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tools.sandbox import boundary, jail
from thoughtgraph.tools.sandbox.limits import Limits
from thoughtgraph.tools.sandbox.seccomp import REFUSED, seccomp_filter

ALLOW, KILL, EPERM, EAGAIN, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x0005000B, 0x00050026
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def _verdict(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    data = struct.pack("=IIQ6Q", number, architecture, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    instructions = list(struct.iter_unpack("=HBBI", program))
    value = at = 0
    while True:
        code, yes, no, operand = instructions[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, operand)
            case 0x15:
                at += yes if value == operand else no
            case 0x35:
                at += yes if value >= operand else no
            case 0x45:
                at += yes if value & operand else no
            case 0x06:
                return operand
            case _:
                raise AssertionError(hex(code))


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_refused(machine: str) -> None:
    column, architecture = MACHINES[machine]
    program = seccomp_filter(machine=machine)
    for name, numbers in REFUSED.items():
        number = numbers[column]
        assert number is None or _verdict(program, architecture, number) == EPERM, name


@pytest.mark.parametrize(
    ("name", "x86", "arm", "arguments", "verdict"),
    [
        ("read", 0, 63, [], ALLOW),
        ("write", 1, 64, [], ALLOW),
        ("mmap", 9, 222, [], ALLOW),
        ("exit_group", 231, 94, [], ALLOW),
        ("openat", 257, 56, [], ALLOW),
        ("clone: fork", 56, 220, [17], EAGAIN),
        ("clone: thread", 56, 220, [0x3D0F00], EAGAIN),
        ("clone3", 435, 435, [], ENOSYS),
        ("socketpair: unix", 53, 199, [1], ALLOW),
        ("socketpair: inet", 53, 199, [2], EPERM),
        ("ioctl: TCGETS", 16, 29, [0, 0x5401], ALLOW),
        ("ioctl: TIOCSTI", 16, 29, [0, 0x5412], EPERM),
        ("ioctl: TIOCSTI, high bits set", 16, 29, [0, 0x5412 | 1 << 40], EPERM),
        ("ioctl: TIOCLINUX", 16, 29, [0, 0x541C], EPERM),
        ("execve", 59, 221, [], ALLOW),
        ("newer", 451, 451, [], ENOSYS),
        ("newest", 0x3FFFFFFF, 0x3FFFFFFF, [], ENOSYS),
    ],
)
def test_verdicts(name: str, x86: int, arm: int, arguments: list[int], verdict: int) -> None:
    for machine, number in (("x86_64", x86), ("aarch64", arm)):
        program = seccomp_filter(machine=machine)
        assert _verdict(program, MACHINES[machine][1], number, arguments) == verdict, (name, machine)


def test_threads_where_they_are_allowed() -> None:
    for machine, number in (("x86_64", 56), ("aarch64", 220)):
        program = seccomp_filter(threads=True, machine=machine)
        assert _verdict(program, MACHINES[machine][1], number, [0x3D0F00]) == ALLOW
        assert _verdict(program, MACHINES[machine][1], number, [17]) == EPERM


def test_execution_can_be_refused() -> None:
    for machine, numbers in (("x86_64", (59, 322)), ("aarch64", (221, 281))):
        program = seccomp_filter(execute=False, machine=machine)
        assert {_verdict(program, MACHINES[machine][1], number) for number in numbers} == {EPERM}


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_other_processors_calls_kill(architecture: int, number: int) -> None:
    for machine, (_, own) in MACHINES.items():
        if architecture != own:
            assert _verdict(seccomp_filter(machine=machine), architecture, number) == KILL


@given(st.integers(0x40000000, 2**32 - 1))
def test_x32_calls_kill(number: int) -> None:
    assert _verdict(seccomp_filter(machine="x86_64"), 0xC000003E, number) == KILL
    assert _verdict(seccomp_filter(machine="aarch64"), 0xC00000B7, number) == ENOSYS


@given(st.integers(0, 450), st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_every_call_gets_a_verdict(number: int, arguments: list[int]) -> None:
    for machine, (_, own) in MACHINES.items():
        assert _verdict(seccomp_filter(machine=machine), own, number, arguments) in (
            ALLOW,
            EPERM,
            EAGAIN,
            ENOSYS,
        )


def test_unknown_processors() -> None:
    with pytest.raises(UserError, match="no table of system calls for the processor 'riscv64'"):
        seccomp_filter(machine="riscv64")


@pytest.fixture
def fresh() -> None:
    boundary.probe.cache_clear()


@pytest.fixture(autouse=True)
def _again() -> object:
    yield
    boundary.probe.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_bubblewrap_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert boundary.probe().why.startswith("bubblewrap is not installed; apt install bubblewrap")
    with pytest.raises(UserError, match="apt install bubblewrap"):
        boundary.require()
    assert len(boundary.report()) == 3


@pytest.mark.usefixtures("fresh")
def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert "it needs Linux" in boundary.probe().why
    assert "embedded_python" in boundary.probe().describe()


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        (
            "apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("max_user_namespaces", "0", "sysctl -w user.max_user_namespaces"),
    ],
)
@pytest.mark.usefixtures("fresh")
def test_bubblewrap_that_cannot_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, advice: str
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap 9 && exit\necho "bwrap: setting up uid map: Permission denied" >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def read(path: str) -> str | None:
        return value if path.endswith(setting) else None

    monkeypatch.setattr(boundary, "_setting", read)
    found = boundary.probe()
    assert not found.works
    assert "setting up uid map: Permission denied" in found.why
    assert advice in found.why


def test_the_jail_shows_nothing_else() -> None:
    """Every folder of the host that is shown is read-only, and is the libraries, the interpreter's or a granted package."""
    _, mounts = jail.interpreter_mounts()
    command = jail.jail_options([*mounts, *jail.package_mounts(jail.PACKAGES)], Limits(), 9)
    shown = [command[at + 1] for at, word in enumerate(command) if word == "--ro-bind"]
    assert "--bind" not in command
    names = {Path(path).name for path in shown}
    allowed = {
        "numpy",
        "numpy.libs",
        "sympy",
        "mpmath",
        "lib",
        "lib64",
        "x86_64-linux-gnu",
        "aarch64-linux-gnu",
    }
    own = {mount.source.name for mount in mounts}
    assert names <= allowed | own
    assert "site-packages" not in own


def test_packages_have_names() -> None:
    with pytest.raises(UserError, match="no package that a sandbox can show"):
        jail.package_mounts(["../secret"])
    assert jail.package_mounts(["not_installed_anywhere", "sys"]) == []
