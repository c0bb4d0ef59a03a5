"""The sandboxed process: what it answers, what of one call the next sees, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_host import needs_sandbox

from thoughtgraph.graph.errors import ToolError, UserError
from thoughtgraph.tools.base import Call
from thoughtgraph.tools.calling import call_tool
from thoughtgraph.tools.sandbox import boundary
from thoughtgraph.tools.sandbox.limits import Limits, clean, message
from thoughtgraph.tools.sandbox.process import Sandbox, sandboxed_python

pytestmark = needs_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(Limits(seconds=10)) as made:
        yield made


def _children() -> set[str]:
    """Processes of this one, zombies included."""
    found: set[str] = set()
    for thread in os.listdir("/proc/self/task"):
        found |= set(Path(f"/proc/self/task/{thread}/children").read_text().split())
    return found


@pytest.mark.parametrize(
    ("code", "stdout", "value"),
    [
        ("print(1)\n1 + 1", "1\n", "2"),
        ("x = 3", "", None),
        ("None", "", None),
        ("", "", None),
        ("# nothing", "", None),
        ("'\u00e9\u4e2d'", "", "'\u00e9\u4e2d'"),
        ("if __name__ == '__main__':\n    print('main')", "main\n", None),
        ("import sys\nprint('x')\nsys.exit()", "x\n", None),
        ("exit(0)", "", None),
        ("(1,\n 2)  # a comment", "", "(1, 2)"),
        ("import dataclasses\n@dataclasses.dataclass\nclass A:\n    b: int\nA(1)", "", "A(b=1)"),
        ("import asyncio\nasync def f(): return 7\nasyncio.run(f())", "", "7"),
        ("import pickle\nclass A: pass\nlen(pickle.dumps(A())) > 0", "", "True"),
    ],
)
async def test_answers(sandbox: Sandbox, code: str, stdout: str, value: str | None) -> None:
    finished = await sandbox.run(code)
    assert (finished.status, finished.stdout, finished.value, finished.error) == ("ok", stdout, value, "")


async def test_errors_show_the_programs_own_lines(sandbox: Sandbox) -> None:
    finished = await sandbox.run("def f(x):\n    return 1 / x\nprint('before')\nf(0)")
    assert finished.status == "error"
    assert finished.stdout == "before\n"
    assert "return 1 / x" in finished.error
    assert finished.error.endswith("ZeroDivisionError: division by zero\n")
    assert "inside.py" not in finished.error


@pytest.mark.parametrize("code", ["def f(:", "x = '", "\0", "'\ud800'.encode()", "(" * 1000])
async def test_malformed_programs_are_errors(sandbox: Sandbox, code: str) -> None:
    assert (await sandbox.run(code)).status == "error"


async def test_exit_with_a_status_is_an_error(sandbox: Sandbox) -> None:
    assert (await sandbox.run("import sys\nsys.exit('no')")).error == "SystemExit: no"


async def test_numpy_and_sympy(sandbox: Sandbox) -> None:
    pytest.importorskip("numpy")
    assert (await sandbox.run("import numpy\nint(numpy.linalg.det(2 * numpy.eye(3)).round())")).value == "8"
    if pytest.importorskip("sympy"):
        assert (await sandbox.run("import sympy\nx = sympy.Symbol('x')\nsympy.diff(x**3)")).value == "3*x**2"


async def test_files_and_standard_input(sandbox: Sandbox) -> None:
    files = {"data.txt": "7", "sub/helper.py": "def f(): return 8"}
    code = "from sub.helper import f\nprint(open('data.txt').read(), f(), input(), input())"
    assert (await sandbox.run(code, files=files, stdin="9\n10")).stdout == "7 8 9 10\n"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
async def test_files_stay_in_the_folder(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(UserError, match="paths below its folder"):
        await sandbox.run("1", files={name: ""})


async def test_state_is_the_paths(sandbox: Sandbox) -> None:
    root, left, right = "x = [1]\nprint('once')", "x.append(2)", "x.append(3)"
    assert (await sandbox.run("x", earlier=[root, left])).text() == "[1, 2]"
    assert (await sandbox.run("x", earlier=[root, right])).text() == "[1, 3]"
    assert (await sandbox.run("x")).status == "error"


async def test_errors_of_earlier_snippets_are_swallowed(sandbox: Sandbox) -> None:
    assert (await sandbox.run("x", earlier=["x = 1", "x = 2\n1 / 0", "def f(:"])).value == "2"


async def test_snippets_that_did_not_end_are_as_if_never_run() -> None:
    sandbox = Sandbox(Limits(seconds=0.4))
    earlier = ["x = 1", "x = 2\nwhile True: pass", "x += 10", "import os\nx = 3\nos._exit(0)"]
    assert (await sandbox.run("x", earlier=earlier)).value == "11"
    began = time.monotonic()
    assert (await sandbox.run("x", earlier=earlier)).value == "11"
    assert time.monotonic() - began < 5  # and they are not tried again


async def test_replay_does_the_same_again(sandbox: Sandbox) -> None:
    code = "import random\nx = random.random()\ny = hash('text')\nz = list({'a', 'b', 'c', 'd'})"
    values = {(await sandbox.run("x, y, z", earlier=[code])).value for _ in range(3)}
    assert len(values) == 1


async def test_text_is_safe_to_show(sandbox: Sandbox) -> None:
    code = (
        r"print('\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00\x08 \u202eevil\u202c')"
        + "\nimport os\nos.write(1, b'\\xff\\xed\\xa0\\x80')"
    )
    text = (await sandbox.run(code)).text()
    assert "red   evil\n" in text
    text.encode()
    assert not any(ord(c) < 32 and c != "\n" for c in text)


def test_clean_keeps_what_is_harmless() -> None:
    assert clean("a\tb\nc\r\nd \u00e9 \N{GRINNING FACE}") == "a\tb\nc\nd \u00e9 \N{GRINNING FACE}"
    assert clean("\x1b[1;31mx\x1b]8;;http://e\x1b\\y\x9b31m\ud800") == "xy31m\N{REPLACEMENT CHARACTER}"


def test_messages_keep_the_end_of_the_error() -> None:
    text = message("o" * 5000, "first\n" + "e" * 5000 + "last")
    assert len(text) <= 2000
    assert text.startswith("ooo")
    assert text.endswith("last")


async def test_output_is_kept_up_to_its_limit() -> None:
    finished = await Sandbox(Limits(seconds=10, output_bytes=1000)).run("while True: print('x' * 99)")
    assert finished.status == "output"
    assert len(finished.stdout) == 1000
    assert "more than 1000 bytes" in finished.error


async def test_threads_where_they_are_allowed() -> None:
    code = "import threading\nt = threading.Thread(target=print, args=(1,))\nt.start()\nt.join()"
    assert (await Sandbox(Limits(seconds=10)).run(code)).status == "error"
    assert (await Sandbox(Limits(seconds=10, threads=True)).run(code)).stdout == "1\n"


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.05, 0.3])
async def test_cancelling_ends_the_process(wait: float) -> None:
    sandbox, before, held = Sandbox(Limits(seconds=30)), _children(), len(os.listdir("/proc/self/fd"))
    task = asyncio.create_task(sandbox.run("while True: pass"))
    await asyncio.sleep(wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _children() <= before
    assert len(os.listdir("/proc/self/fd")) == held


async def test_nothing_stays_behind() -> None:
    gc.collect()
    async with Sandbox(Limits(seconds=1)) as sandbox:
        await sandbox.run("1")
        before, held = _children(), len(os.listdir("/proc/self/fd"))
        for code in (
            "1",
            "while True: pass",
            "1 / 0",
            "import os\nos._exit(1)",
            "while True: print('x' * 1000)",
        ):
            await sandbox.run(code)
        assert _children() <= before
        assert len(os.listdir("/proc/self/fd")) == held


async def test_processes_die_with_the_host(tmp_path: Path) -> None:
    code = """
    import asyncio
    from thoughtgraph.tools.sandbox.limits import Limits
    from thoughtgraph.tools.sandbox.process import Sandbox
    async def main():
        async with Sandbox(Limits(seconds=600), warm=1) as sandbox:
            await sandbox.warm_up()
            print("ready", flush=True)
            await sandbox.run("x = 'MARKER'\\nwhile True: pass")
    asyncio.run(main())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    await asyncio.sleep(0.5)
    held = _tree(process.pid)
    assert len(held) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for _ in range(100):
        if not any(_alive(pid) for pid in held):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("a sandboxed process outlives its host")


def _tree(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *_tree(int(child))]
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_many_at_once() -> None:
    async with Sandbox(Limits(seconds=30)) as sandbox:
        finished = await asyncio.gather(*(sandbox.run(f"print({n})\n{n} ** 2") for n in range(64)))
    assert [f.stdout for f in finished] == [f"{n}\n" for n in range(64)]
    assert [f.value for f in finished] == [str(n**2) for n in range(64)]


async def test_warm_processes_are_used_once() -> None:
    async with Sandbox(Limits(seconds=10), warm=2, preload=["json"]) as sandbox:
        await sandbox.warm_up()
        assert (await sandbox.run("import sys\nx = 5\n'json' in sys.modules")).value == "True"
        for _ in range(4):
            assert (await sandbox.run("x")).status == "error"
    assert not sandbox._warm  # pyright: ignore[reportPrivateUsage]


async def test_warm_processes_end_with_the_sandbox() -> None:
    before, held = _children(), len(os.listdir("/proc/self/fd"))
    async with Sandbox(warm=2) as sandbox:
        await sandbox.warm_up()
        assert len(_children() - before) == 2
    assert _children() <= before
    assert len(os.listdir("/proc/self/fd")) == held


async def test_the_tool() -> None:
    tool = sandboxed_python(limits=Limits(seconds=10))
    assert (tool.name, tool.language, tool.stateful, tool.trusted, tool.effect) == (
        "python",
        "python",
        True,
        False,
        "pure",
    )
    earlier = ({"code": "x = 20"}, {"code": "print('old')"})
    assert (await call_tool(tool, Call({"code": "print('new')\nx + 1"}, earlier))).text == "new\n21"
    assert (await call_tool(tool, Call({"code": "x = 1"}))).text == "(no output)"
    with pytest.raises(ToolError, match=r"(?s)before.*ZeroDivisionError"):
        await call_tool(tool, Call({"code": "print('before')\n1 / 0"}))
    assert tool.close is not None
    await tool.close()


async def test_an_interpreter_that_cannot_start_says_so() -> None:
    with pytest.raises(ToolError, match="did not start"):
        await Sandbox(Limits(memory_mb=64), preload=["x" * 100_000]).run(
            "1"
        ) if False else await _broken().run("1")


def _broken() -> Sandbox:
    sandbox = Sandbox()
    sandbox._mounts = sandbox._mounts[:1]  # pyright: ignore[reportPrivateUsage]
    return sandbox


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"memory_mb": 1}, {"disk_mb": 0}, {"output_bytes": 0}])
def test_impossible_limits(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no program can run"):
        Limits(**wrong)


async def test_accepting_less_is_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the operator says so: limits, a clean environment and the filter hold, but files of the host are there."""
    nothing = boundary.Boundary("", False, "bubblewrap is not installed; apt install bubblewrap")
    monkeypatch.setattr(boundary, "probe", lambda: nothing)
    monkeypatch.setenv("THOUGHTGRAPH_PROBE", "bait")
    with pytest.raises(UserError, match=r"apt install bubblewrap.*accept='rlimits'"):
        Sandbox()
    sandbox = Sandbox(Limits(seconds=1), accept="rlimits")
    assert sandbox.tier.startswith("rlimits")
    assert (await sandbox.run("1 + 1")).value == "2"
    assert (await sandbox.run("import os\nlen(open('/etc/passwd').read()) > 0")).value == "True"
    assert (await sandbox.run("import os\n'bait' in str(os.environ)")).value == "False"
    assert (await sandbox.run("x = bytearray(10 ** 10)")).status == "memory"
    assert (await sandbox.run("while True: pass")).status == "timeout"
    if sandbox.tier == "rlimits+seccomp":
        assert "BlockingIOError" in (await sandbox.run("import os\nos.fork()")).error
        assert "PermissionError" in (await sandbox.run("import socket\nsocket.socket()")).error
        assert "PermissionError" in (await sandbox.run("import os\nos.execv('/bin/true', ['x'])")).error
    folder = (await sandbox.run("import os\nopen('f', 'w').close()\nprint(os.getcwd())")).stdout.strip()
    assert folder
    assert not Path(folder).exists()


def test_unknown_acceptance() -> None:
    with pytest.raises(UserError, match="nothing that can be accepted"):
        boundary.require("docker")  # type: ignore[arg-type]


async def test_files_are_counted_whatever_made_them(sandbox: Sandbox) -> None:
    """Past the limit the answer comes at once, and nothing stays: no process, no descriptor, no thread."""
    descriptors, children = len(os.listdir("/proc/self/fd")), _children()
    finished = await sandbox.run("n = 0\nwhile True:\n    open(f'f{n}', 'w').close()\n    n += 1")
    assert (finished.status, finished.error) == ("files", "stopped: there were more than 10,000 files")
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(10)
    assert (len(os.listdir("/proc/self/fd")), _children()) == (descriptors, children)
    assert (await sandbox.run("for n in range(5000): open(f'f{n}', 'w').close()")).ok


async def test_too_many_files_of_an_earlier_snippet(sandbox: Sandbox) -> None:
    earlier = ["x = 1", "import os\nn = 0\nwhile True:\n    os.mkdir(f'{n}')\n    n += 1"]
    assert (await sandbox.run("x", earlier=earlier)).value == "1"
