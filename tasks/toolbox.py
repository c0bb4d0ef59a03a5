"""From settings to tools: what agents check by, and what they may call, with what of a search these need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..agents.verifier import TestsVerifier
from ..graph.domain import Domain
from ..graph.errors import UserError
from ..storage.store import SqlStore
from ..tools.base import Tool
from ..tools.calculator import calculator_tool
from ..tools.kinds import Around, unit_tests
from ..tools.registry import distinct, open_toolbox
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a search."""

    calculator: Tool
    called: tuple[Tool, ...] = ()
    """Those that agents may call in their steps, each with a name of its own."""
    shown_tests: TestsVerifier | None = None
    """Runs programs against the tests that a question shows; None where the task's questions show none."""

    @property
    def every(self) -> tuple[Tool, ...]:
        """All of them."""
        return (self.calculator, *((self.shown_tests.tool,) if self.shown_tests else ()), *self.called)


def build_tools(settings: Settings, domain: Domain, store: SqlStore, run: str, own: Iterable[Tool]) -> Tools:
    """Make the tools that settings grant, and take those of the user's own.

    Raises:
        UserError: if one cannot be had here, or two have one name.
    """
    around = _around(settings, domain, store, run)
    called = distinct([*open_toolbox(settings.toolbox, around), *own])
    for tool in called:
        _check_agents(tool, settings)
    if getattr(domain, "answers_in_blocks", False):  # there a fenced block is the answer, not a call
        called = tuple(replace(tool, language="") for tool in called)
    return Tools(calculator_tool(), called, _shown_tests(domain, around) if settings.tools else None)


def _shown_tests(domain: Any, around: Around) -> TestsVerifier | None:
    if around.tests_of is None:
        return None
    return TestsVerifier(unit_tests(around=around), around.tests_of, domain.program)


def _around(settings: Settings, domain: Domain, store: SqlStore, run: str) -> Around:
    tests: Callable[[str], Any] | None = getattr(domain, "visible_tests", None)
    database: Callable[[str], str] | None = getattr(domain, "database_url", None)
    from ..storage.solved import solved_examples

    examples = partial(solved_examples, store.database, settings.task, exclude_runs=(run,))
    databases: Sequence[str] = getattr(domain, "database_urls", ())
    url = store.database.url.render_as_string(hide_password=False)
    return Around(tests, database, databases, examples, url)


def _check_agents(tool: Tool, settings: Settings) -> None:
    """Refuse a tool that is granted to nobody there is."""
    known = {"generator", *settings.agents}
    unknown = (tool.agents or set[str]()) - known
    if unknown:
        raise UserError(
            f"the tool {tool.name!r} is granted to {min(unknown)!r}, and there is no such agent; there are: {', '.join(sorted(known))}"
        )
