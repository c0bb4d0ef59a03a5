"""From settings to tools: what agents check by, and what they may call, with what of a search these need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..agents.verifier import TestsVerifier
from ..graph.domain import Domain
from ..graph.errors import UserError
from ..graph.ids import address
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


def pinned(granted: Mapping[str, str], tools: Iterable[Tool]) -> dict[str, str]:
    """Return what the tools are whose effect may not happen twice, by name.

    Args:
        granted: what they were when the run began; empty for one that begins.
        tools: those there are now.

    Raises:
        UserError: if one is not what it was: its calls would not be known again, and be made a second time.
    """
    now = {
        tool.name: address("granted", tool.identity, tool.description, dict(tool.parameters))
        for tool in tools
        if tool.effect == "once"
    }
    for name, before in granted.items():
        if now.get(name) != before:
            what = "is not what it was" if name in now else "is not there as it was"
            raise UserError(
                f"the tool {name!r} {what} when the run began, and what it did then may not be done twice; give the same one, or begin a new run"
            )
    return now


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
