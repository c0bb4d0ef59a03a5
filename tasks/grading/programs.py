"""Programs judged by tests, in the sandbox: `thoughtgraph.tools.sandbox`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...graph.errors import ToolError
from ..base import GradingError

SECONDS = 5.0
"""Time limit of each test; HumanEval's published grader gives a program 3 s for all of them."""

MEMORY_MB = 1024


@dataclass(frozen=True, slots=True)
class TestResult:
    """What tests said of a program."""

    __test__ = False  # not pytest's

    passed: bool
    reason: str
    """In one line."""


Judge = Callable[[str, Sequence[str], str], TestResult]
"""Runs tests on a program: program, tests, what goes before the program. Raises GradingError if that cannot be done."""


def sandboxed(program: str, tests: Sequence[str], setup: str = "") -> TestResult:
    """Run tests on a program in the sandbox, see `tools.sandbox.unit_tests`; the first that fails ends it.

    A program that does not end in time, or takes too much memory, has failed.

    Raises:
        GradingError: if there are no tests, or the sandbox could not be started.
        UserError: if this host has no sandbox; the message says how to get it.
    """
    # imported here: most tasks need no sandbox
    from ...tools.sandbox.limits import Limits
    from ...tools.sandbox.process import Sandbox
    from ...tools.sandbox.unit_tests import run_tests

    if not tests:
        raise GradingError("the reference has no tests")
    sandbox = Sandbox(Limits(seconds=SECONDS, memory_mb=MEMORY_MB))
    code = _as_module(program, setup)
    try:
        report = asyncio.run(run_tests(sandbox, code, list(tests), stop_at_first=True))
    except ToolError as error:
        raise GradingError(f"the tests could not be run: {error}") from error
    failed = next((result.reason for result in report.results if not result.passed), "")
    said = f"{report.count} of {len(tests)} tests passed before the first that failed" if failed else ""
    reason = f"{said}: {' '.join(failed.split())}"[:300] if failed else f"passes all {len(tests)} tests"
    return TestResult(report.passed, reason)


def _as_module(program: str, setup: str) -> str:
    """Return setup and program as they run when they are imported: what stands under `if __name__ == "__main__"` is not run, as in the published graders."""
    lines = program.splitlines()
    first = [line for line in lines if line.startswith("from __future__ ")]  # nothing may stand before these
    name = ['__name__ = "answer"'] if "__main__" in program else []
    return "\n".join([*first, *name, *setup.splitlines(), *(line for line in lines if line not in first)])


def check_sandbox() -> None:
    """Raise UserError if this host has no sandbox; the message says how to get it."""
    from ...tools.sandbox.boundary import require

    require()
