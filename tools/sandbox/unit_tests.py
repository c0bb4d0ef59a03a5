"""Tests of a program, run in the sandbox: a search signal where the tests are part of the question, grading where they are not.

    report = await run_tests(sandbox, "def double(x): return 2 * x", ["assert double(2) == 4", IOTest("3", "6")])
    report.passed, report.text()

A test is a snippet that raises if it fails, run in the program's namespace, or an `IOTest`: what the whole program prints for an input. A process is
one program's. Snippets run in it one after another, each in its time limit; after one that had to be stopped the next begin in a new process.

What a program can do about its grade:

* What it should print, and the right side of `assert EXPRESSION == LITERAL`, never enter its process: the value is brought out and compared here, by what it
  holds, so an object that claims to equal everything gains nothing. To be graded as correct it has to produce the values.
* It sees a snippet's text no earlier than the snippet runs. That a report answers this snippet is shown by a number drawn for it. Exiting, closing or
  flooding descriptors, replaced builtins and `atexit` make a test fail, not pass.
* What remains: a snippet of another form (`assert abs(f(2) - 4) < 1e-6`, a call of `check(f)`), and a value of an imported type that Python has no literal
  for (Fraction, an array), are judged inside the program's own process. There an object that equals everything passes, and a program written
  against this very harness can find the number in its own memory and report a pass. `forms.assertions` turns many a `check(f)` into the safer form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...graph.errors import UserError
from ..base import Call, Tool, ToolReply
from .forms import comparison, equal, literal
from .limits import CODE_PARAMETERS, Finished, Limits
from .process import Sandbox
from .worker import START, Stopped, Verdict, Worker

_RESTARTS = 3
"""Processes that a program may lose before the tests that are left are not run."""
_REASON = 300
"""Longest reason that is kept of a failed test, in characters."""


@dataclass(frozen=True, slots=True)
class IOTest:
    """What a program prints when it reads this. Compared without blanks at ends of lines and empty lines at the end."""

    input: str
    expected: str


Test = str | IOTest


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test ended."""

    __test__ = False  # not pytest's

    test: Test
    passed: bool
    reason: str = ""
    """Why it failed: the end of the traceback, the difference, or which limit was hit; "" if it passed."""


@dataclass(frozen=True, slots=True)
class TestReport:
    """How all tests of a program ended, in their order."""

    __test__ = False  # not pytest's

    results: tuple[TestResult, ...]

    @property
    def passed(self) -> bool:
        """Whether all did."""
        return all(result.passed for result in self.results)

    @property
    def count(self) -> int:
        """How many did."""
        return sum(result.passed for result in self.results)

    def text(self) -> str:
        """Return the report as an agent reads it."""
        lines = [f"{self.count} of {len(self.results)} tests passed"]
        for number, result in enumerate(self.results, 1):
            if not result.passed:
                lines += [f"test {number} failed: {_title(result.test)}", *_indented(result.reason)]
        return "\n".join(lines)


async def run_tests(
    sandbox: Sandbox,
    program: str,
    tests: Sequence[Test],
    *,
    limits: Limits | None = None,
    stop_at_first: bool = False,
) -> TestReport:
    """Run tests of a program.

    Args:
        sandbox: where.
        program: run first, within a time limit of its own; if it fails, all snippets do.
        tests: at least one, for no program is right because nobody looked.
        limits: time limit of each test, and the rest; by default the sandbox's.
        stop_at_first: give up at the first that fails; the others are reported as not run.

    Raises:
        UserError: if there are no tests.
        ToolError: if the sandbox could not be started.
    """
    if not tests:
        raise UserError("there are no tests to run; give at least one")
    suite = _Suite(sandbox, program, limits or sandbox.limits)
    results: list[TestResult] = []
    try:
        for test in tests:
            if stop_at_first and results and not results[-1].passed:
                results.append(TestResult(test, False, "not run"))
            elif isinstance(test, IOTest):
                results.append(await suite.compare(test))
            else:
                results.append(await suite.check(test))
    finally:
        await suite.close()
    return TestReport(tuple(results))


def unit_tests_tool(
    sandbox: Sandbox, tests_of: Callable[[str], Sequence[Test]], *, limits: Limits | None = None
) -> Tool:
    """Return the tool `unit_tests` that runs a program against the tests that belong to the question.

    Args:
        sandbox: where; it is not closed with the tool.
        tests_of: gives the tests by the question, as `Call.question` has it.
        limits: see `run_tests`.
    """

    async def run(call: Call) -> ToolReply:
        report = await run_tests(sandbox, call.arguments["code"], tests_of(call.question), limits=limits)
        return ToolReply(report.text(), report.passed)

    return Tool(
        name="unit_tests",
        description="Runs a whole Python program against the tests of the task, and says which failed and why.",
        parameters=CODE_PARAMETERS,
        run=run,
        effect="pure",
        seconds=START + 60 * (limits or sandbox.limits).seconds,
        scoped=True,
        version=f"{sandbox.tier}",
    )


class _Suite:
    """One program under test: its process, as long as it lasts."""

    def __init__(self, sandbox: Sandbox, program: str, limits: Limits) -> None:
        self._sandbox = sandbox
        self._program = program
        self._limits = limits
        self._lost = 0
        self._broken = ""
        """Why the program itself does not run."""
        self._stack: Any = None
        self._worker: Worker | None = None

    async def check(self, test: str) -> TestResult:
        """Run a snippet."""
        split = comparison(test)
        worker = await self._opened(test)
        if worker is None:
            return TestResult(test, False, self._broken)
        try:
            if split is None:
                return _judged(test, await worker.test(test))
            verdict = await worker.test(split[0], "value")
            if verdict.status != "ok":
                return TestResult(test, False, _last(verdict.error))
            return await self._compared(test, split, verdict, worker)
        except Stopped as stopped:
            self._lost += 1
            await self.close()
            return TestResult(test, False, worker.reason(stopped.status))

    async def compare(self, test: IOTest) -> TestResult:
        """Run the whole program on an input."""
        done: Finished = await self._sandbox.run(self._program, stdin=test.input, limits=self._limits)
        if done.status != "ok":
            return TestResult(test, False, _last(done.error))
        if _normal(done.stdout) == _normal(test.expected):
            return TestResult(test, True)
        return TestResult(test, False, f"printed {_short(done.stdout)}, not {_short(test.expected)}")

    async def close(self) -> None:
        """End the process."""
        if self._stack is not None:
            stack, self._stack, self._worker = self._stack, None, None
            await stack.__aexit__(None, None, None)

    async def _compared(
        self, test: str, split: tuple[str, str], verdict: Verdict, worker: Worker
    ) -> TestResult:
        """Compare a value with what it should be, here where it is a literal."""
        found, value = literal(verdict.value)
        if found:
            if equal(value, literal(split[1])[1]):
                return TestResult(test, True)
            return TestResult(test, False, f"the value is {_short(verdict.value or 'None')}")
        return _judged(test, await worker.test(split[1], "equal"))

    async def _opened(self, test: str) -> Worker | None:
        """Return a process in which the program has run; None if there is none to be had."""
        if self._worker is None and not self._broken and self._lost < _RESTARTS:
            self._stack = self._sandbox.process(self._limits, [self._program, test])
            worker: Worker = await self._stack.__aenter__()
            self._worker = worker
            try:
                verdict = await worker.test(self._program)
            except Stopped as stopped:
                self._broken = worker.reason(stopped.status)
            else:
                self._broken = "" if verdict.status == "ok" else _last(verdict.error)
        elif self._worker is None and not self._broken:
            self._broken = f"not run: the program was stopped {_RESTARTS} times"
        return None if self._broken else self._worker


def _judged(test: str, verdict: Verdict) -> TestResult:
    if verdict.status == "ok":
        return TestResult(test, True)
    return TestResult(test, False, _last(verdict.error))


def _last(error: str) -> str:
    """Return the end of a traceback: the exception, and the line that raised it."""
    lines = [line for line in error.strip().splitlines() if line.strip(" ^~")]
    return "\n".join(line.strip() for line in lines[-2:])[-_REASON:]


def _normal(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _title(test: Test) -> str:
    return _short(test if isinstance(test, str) else f"on input {test.input!r}")


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _REASON else f"{text[:_REASON]}..."


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
