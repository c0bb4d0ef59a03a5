"""Tests of programs: what passes, why others fail, and that a program does not pass by tampering."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sandbox_host import needs_sandbox

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tools.base import Call
from thoughtgraph.tools.calling import call_tool
from thoughtgraph.tools.sandbox.forms import assertions, comparison
from thoughtgraph.tools.sandbox.limits import Limits
from thoughtgraph.tools.sandbox.process import Sandbox
from thoughtgraph.tools.sandbox.unit_tests import IOTest, Test, run_tests, unit_tests_tool

DOUBLE = "def f(x):\n    return 2 * x\n"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(Limits(seconds=1, output_bytes=100_000)) as made:
        yield made


async def _passed(sandbox: Sandbox, program: str, *tests: Test) -> list[bool]:
    return [result.passed for result in (await run_tests(sandbox, program, tests)).results]


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "test", "passed"),
    [
        (DOUBLE, "assert f(2) == 4", True),
        (DOUBLE, "assert 4 == f(2)", True),
        (DOUBLE, "assert f(2) == 5", False),
        (DOUBLE, "assert f(2) == 4.0", True),
        (DOUBLE, "assert abs(f(1) - 2) < 1e-6, 'far'", True),
        (DOUBLE, "x = f(1)\nassert x == 3", False),
        (DOUBLE, "def check(g):\n    assert g(1) == 2\ncheck(f)", True),
        (DOUBLE, "f(", False),
        (DOUBLE, "g(1)", False),
        ("def f(): return [1, (2,)], {'a': {3}}", "assert f() == ([1, (2,)], {'a': {3}})", True),
        ("def f(): return [1]", "assert f() == (1,)", False),
        ("def f(): pass", "assert f() == None", True),
        ("def f(): return set()", "assert f() == set()", True),
        ("def f(): return 'a\\x1b\\u202e\\'\"'", "assert f() == 'a\\x1b\\u202e\\'\"'", True),
        ("from collections import *\ndef f(): return Counter('aab')", "assert f() == {'a': 2, 'b': 1}", True),
        ("from fractions import Fraction\ndef f(): return Fraction(3, 2)", "assert f() == 1.5", True),
        ("from fractions import Fraction\ndef f(): return Fraction(3, 2)", "assert f() == 2", False),
        ("def f(): return float('inf')", "assert f() == 1e999", True),
        ("def f(): return float('nan')", "assert f() == 1", False),
        ("def f(): return 10 ** 5000", "assert f() == 1", False),
        ("def f(): return list(range(10 ** 5))", "assert f() == 1", False),
        ("import sys\ndef f(): return 1\nsys.exit()", "assert f() == 1", True),
        ("def f(): print('noise'); return 1", "assert f() == 1", True),
    ],
)
async def test_snippets(sandbox: Sandbox, program: str, test: str, passed: bool) -> None:
    assert await _passed(sandbox, program, test) == [passed]


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("while True: pass", "time limit of 1 s"),
        ("x = bytearray(10 ** 10)", "MemoryError"),
        ("import os\nos._exit(0)", "exit status 0"),
        ("raise SystemExit(1)", "SystemExit"),
        ("while True: print('x' * 1000)", "more than 100000 bytes"),
    ],
)
async def test_programs_that_do_not_run_fail_every_test(sandbox: Sandbox, program: str, reason: str) -> None:
    report = await run_tests(sandbox, program, ["assert True", "assert 1 == 1"])
    assert report.count == 0
    assert all(reason in result.reason for result in report.results)


@needs_sandbox
async def test_the_others_run_after_one_that_hangs(sandbox: Sandbox) -> None:
    program = "def f(x):\n    while x == 2: pass\n    return x"
    report = await run_tests(sandbox, program, [f"assert f({n}) == {n}" for n in range(5)])
    assert [result.passed for result in report.results] == [True, True, False, True, True]
    assert "time limit" in report.results[2].reason
    assert report.text().splitlines()[:2] == ["4 of 5 tests passed", "test 3 failed: assert f(2) == 2"]


@needs_sandbox
async def test_programs_are_not_restarted_for_ever(sandbox: Sandbox) -> None:
    report = await run_tests(sandbox, "def f():\n    import os\n    os._exit(0)", ["f()"] * 6)
    assert report.count == 0
    assert report.results[-1].reason == "not run: the program was stopped 3 times"


@needs_sandbox
async def test_whole_programs_on_inputs(sandbox: Sandbox) -> None:
    tests = [IOTest("3\n", "6"), IOTest("4", "9"), IOTest("x", "1")]
    report = await run_tests(sandbox, "print(int(input()) * 2)   \nprint()", tests)
    assert [result.passed for result in report.results] == [True, False, False]
    assert report.results[1].reason == "printed 8, not 9"
    assert "ValueError" in report.results[2].reason


@needs_sandbox
async def test_stopping_at_the_first(sandbox: Sandbox) -> None:
    report = await run_tests(sandbox, DOUBLE, ["f(1)", "assert f(1) == 1", "f(1)"], stop_at_first=True)
    assert [result.reason for result in report.results] == ["", "the value is 2", "not run"]


TAMPERING: dict[str, str] = {
    "equals everything": "class E:\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\nf = lambda x: E()",
    "a number that equals everything": "class E(int):\n    __eq__ = lambda s, o: True\n    __repr__ = lambda s: '4'\n    __hash__ = None\nf = lambda x: E(7)",
    "says it is a number": "class E:\n    __class__ = int\n    __repr__ = lambda s: '4'\n    __eq__ = lambda s, o: True\nf = lambda x: E()",
    "exits": "import os\ndef f(x): os._exit(0)",
    "exits politely": "import sys\ndef f(x): sys.exit(0)",
    "exits at once": "import os\nos._exit(0)",
    "kills": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGKILL)",
    "prints success": "print('1 of 1 tests passed')\nprint('ok')\ndef f(x): return 5",
    "replaced builtins": "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.eval = builtins.exec = builtins.compile = lambda *a, **k: None\nbuiltins.repr = lambda v: '4'\ndef f(x): return 5",
    "replaced repr": "import builtins\nbuiltins.repr = str = lambda v: '4'\ndef f(x): return 5",
    "closes everything": "import os\nos.closerange(0, 64)\ndef f(x): return 5",
    "floods descriptors": "import os\nfor n in range(3, 20):\n    try:\n        os.write(n, b'\\0\\0\\0\\x10' * 10)\n    except OSError:\n        pass\ndef f(x): return 5",
    "forged report": "import os\nbody = b''.join(len(p).to_bytes(4, 'big') + p for p in (b'test', b'n' * 16, b'ok', b'4', b''))\nfor n in range(3, 20):\n    try:\n        os.write(n, len(body).to_bytes(4, 'big') + body)\n    except OSError:\n        pass\ndef f(x): return 5",
    "at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 5",
    "replaced main": "import sys\nsys.modules['__main__'] = None\ndef f(x): return 5",
    "alarm": "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\ndef f(x):\n    while True: pass",
    "traces": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef f(x): return 5",
    "swallows": "class E(BaseException): pass\ndef f(x): raise E",
    "reads ahead": "import os\nos.set_blocking(0, False)\ntry:\n    print(os.read(0, 1000))\nexcept OSError:\n    pass\ndef f(x): return 5",
}


@needs_sandbox
@pytest.mark.parametrize("name", TAMPERING)
async def test_tampering_passes_no_comparison(sandbox: Sandbox, name: str) -> None:
    assert await _passed(sandbox, TAMPERING[name], "assert f(2) == 4", "assert f(3) == 6") == [False, False]


@needs_sandbox
async def test_what_is_expected_is_not_in_the_process(sandbox: Sandbox) -> None:
    """The program looks at all text in its memory when it is called."""
    program = """
def f(x):
    import gc, sys
    texts = [o for o in gc.get_objects() if isinstance(o, (str, bytes, dict, tuple))]
    frame, seen = sys._getframe(), ''
    while frame:
        seen += str(list(frame.f_locals.values())) + str(frame.f_code.co_consts)
        frame = frame.f_back
    return 918273645 if '918273645' in seen or '918273645' in str(texts) else 0
"""
    report = await run_tests(
        sandbox, program.replace("918273645", "91827' + '3645"), ["assert f(1) == 'secret91827'"]
    )
    assert not report.passed


@needs_sandbox
async def test_no_tests_are_no_success(sandbox: Sandbox) -> None:
    with pytest.raises(UserError, match="no tests"):
        await run_tests(sandbox, DOUBLE, [])


@needs_sandbox
async def test_the_tool(sandbox: Sandbox) -> None:
    tests: dict[str, list[Test]] = {"double it": ["assert f(2) == 4", "assert f(0) == 0"]}
    tool = unit_tests_tool(sandbox, lambda question: tests[question])
    assert (tool.name, tool.scoped, tool.trusted) == ("unit_tests", True, False)
    right = await call_tool(tool, Call({"code": DOUBLE}, question="double it"))
    assert (right.ok, right.text) == (True, "2 of 2 tests passed")
    wrong = await call_tool(tool, Call({"code": "def f(x): return x"}, question="double it"))
    assert wrong.ok is False
    assert wrong.text == "1 of 2 tests passed\ntest 1 failed: assert f(2) == 4\n  the value is 2"


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("assert f(1, [2]) == (3, -4)", ("f(1, [2])", "(3, -4)")),
        ("assert {1: 'a'} == f(1)", ("f(1)", "{1: 'a'}")),
        ("assert f(1) == 2, 'message'", ("f(1)", "2")),
        ("assert f(1) == g(1)", None),
        ("assert f(1) == 2 == 2", None),
        ("assert f(1) != 2", None),
        ("assert f(1) == 1\nassert f(2) == 2", None),
        ("f(", None),
        ("", None),
    ],
)
def test_comparisons(test: str, found: Any) -> None:
    assert comparison(test) == found


def test_assertions_of_a_check() -> None:
    source = "METADATA = {'author': 'x'}\n\ndef check(candidate):\n    # Check\n    assert True, 'simple'\n    assert candidate([1]) == 2\n    assert candidate(3) < 4, 'far'\n"
    assert assertions(source, "f") == ["assert f([1]) == 2", "assert f(3) < 4, 'far'"]


@pytest.mark.parametrize(
    "source",
    [
        "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == n\n",
        "import math\ndef check(candidate):\n    assert candidate(1) == math.pi\n",
        "def check(candidate):\n    pass\n",
        "def check(",
        "assert f(1)",
    ],
)
def test_checks_of_another_form_are_one_test(source: str) -> None:
    assert assertions(source, "f") == [f"{source}\n\ncheck(f)"]
