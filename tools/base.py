"""What a tool is to an agent: a name, what it takes, what calling it does to the world, and one call.

A tool is plain configuration around one coroutine, so an operator tightens any of it with `dataclasses.replace(tool, seconds=2)`. Which agents
may use it is a field of the tool, not something that text could ask for.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..graph.errors import UserError

Effect = Literal["pure", "idempotent", "once"]
"""What happens if a call is repeated: nothing, and it answers the same; nothing further, but it may answer something else; a second effect."""

MAX_REPLY = 20_000
"""Longest reply that an agent is shown, in characters, unless the tool says otherwise."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class ToolReply:
    """What a tool answered."""

    text: str
    ok: bool | None = None
    """For a checking tool: whether the check passed; None where nothing was checked."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as a tool gets it."""

    arguments: Mapping[str, Any]
    """As its `parameters` promise."""
    earlier: tuple[Mapping[str, Any], ...] = ()
    """Arguments of its calls at the thoughts before on the same path, oldest first; for tools that keep state, else ()."""
    question: str = ""
    """The problem's question, for tools that are `scoped`; "" for others."""


Run = Callable[[Call], Awaitable[ToolReply]]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Tool:
    """Something an agent may use.

    Raises:
        UserError: on a name, a limit or a cost that no tool can have.
    """

    name: str
    """Lower-case letters, digits and underscores: what a model writes to call it."""
    description: str
    """What a model is told about it."""
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, an object's."""
    run: Run
    """Does it. Raises ToolError if it cannot be done, with the message that the agent reads; it leaves nothing behind when it is cancelled."""
    effect: Effect = "once"
    seconds: float = 30.0
    """Time limit of a call (> 0)."""
    usd: float = 0.0
    """What a call costs (≥ 0)."""
    parallel: int = 8
    """Calls at once in a process (≥ 1)."""
    agents: frozenset[str] | None = None
    """Who may use it: `generator`, or names of further agents; None is every agent."""
    trusted: bool = False
    """Whether its replies can carry nothing that somebody else wrote: an exact calculation, not a web page, a row or a program's output."""
    stateful: bool = False
    """Whether a call sees what its calls before on the same path did."""
    scoped: bool = False
    """Whether what it works on follows from the problem: its own database, its own tests."""
    remembered: bool = True
    """Whether equal calls in a run are answered from the record, if it is pure; False where asking the record costs more than the call."""
    language: str = ""
    """The language of the fenced blocks that are calls of it, such as `python`; "" for none."""
    version: str = ""
    """What else decides what it answers: part of its identity."""
    max_reply: int = MAX_REPLY
    """Longest reply that an agent is shown, in characters (≥ 1)."""
    close: Callable[[], Awaitable[None]] | None = None
    """Lets go of what it holds: processes, connections."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UserError(
                f"a tool cannot be called {self.name!r}; use up to 64 lower-case letters, digits and underscores, a letter first"
            )
        if not (self.seconds > 0 and self.usd >= 0 and self.parallel >= 1 and self.max_reply >= 1):
            raise UserError(
                f"the tool {self.name!r} has an impossible limit; seconds is above 0, usd 0 or more, parallel and max_reply 1 or more"
            )

    @property
    def identity(self) -> str:
        """Name and version: what a recorded answer belongs to."""
        return f"{self.name}@{self.version}" if self.version else self.name

    @property
    def only_argument(self) -> str | None:
        """Name of the argument that a call without names means: the only required one, or the first; None if several are required, or there is none."""
        required = list(self.parameters.get("required", ()))
        if len(required) > 1:
            return None
        return next(iter([*required, *self.parameters.get("properties", {})]), None)

    @property
    def text_argument(self) -> str | None:
        """Name of that argument, if it is text; None otherwise."""
        properties: Mapping[str, Any] = self.parameters.get("properties", {})
        name = self.only_argument
        return name if name is not None and properties.get(name, {}).get("type") == "string" else None

    def granted_to(self, agent: str) -> bool:
        """Return whether an agent may use it."""
        return self.agents is None or agent in self.agents
