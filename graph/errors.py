"""The one exception tree, cut by who must act.

    ThoughtGraphError
    ├── UserError            the caller: fix the input or the configuration          (exit 2)
    │   └── UnknownNameError   a scheme, task, model or tool that is not registered
    ├── StoreError           the operator: the database is unreadable, full, locked  (exit 4)
    │   ├── SchemaVersionError   the database is older or newer than this program
    │   └── LeaseLostError       another worker took this unit over; stop writing
    ├── ModelError           one model call failed; the search goes on without it
    │   └── ModelUnavailableError  no call can succeed (key, quota, missing weights)  (exit 5)
    ├── ToolError            one tool call failed; the agent reads it as an observation
    │   └── OutcomeUnknownError    nobody knows whether a call that may not be made twice had its effect; a person must say
    ├── GradingError         an answer could not be judged (tasks.base): it is neither right nor wrong
    ├── AgentError           an agent broke its contract (wrong count, NaN, no text); recorded, never a zero
    └── BudgetSpentError     a call would exceed the budget; the search ends with the best so far

Messages are one line: what is wrong, then what to do about it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class ThoughtGraphError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(ThoughtGraphError):
    """The input or the configuration is wrong, and only the caller can mend it."""


class UnknownNameError(UserError):
    """A name that is not registered; the message lists what is, and the nearest match.

    Args:
        kind: what was named, and where: of `field of X in FILE` the message makes "unknown field 'name' of X in FILE".
        name: as it was given.
        known: what is registered.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(names)}"
        what, *where = re.split(r"(?= (?:of|in) )", kind, maxsplit=1)
        super().__init__(f"unknown {what} {name!r}{''.join(where)}; {hint}")


class StoreError(ThoughtGraphError):
    """The database cannot do what was asked; nothing was half written."""


class SchemaVersionError(StoreError):
    """The database's schema is not the one this program speaks."""


class LeaseLostError(StoreError):
    """This worker's lease was taken over; its writes are refused from now on."""


class ModelError(ThoughtGraphError):
    """One model call failed for good; it is recorded as failed, never as an empty answer or a score of 0."""


class ModelUnavailableError(ModelError):
    """No call to this model can succeed; the run stops and can be resumed after the cause is mended."""


class ToolError(ThoughtGraphError):
    """One tool call failed; its message is the observation."""


class OutcomeUnknownError(ToolError):
    """Nobody knows what a tool call came to: it was stopped, or whoever made it died. If its effect may not happen twice, a person must say."""


class AgentError(ThoughtGraphError):
    """An agent broke its contract; the message names the agent and what it returned."""


class BudgetSpentError(ThoughtGraphError):
    """The next call does not fit in what is left of the budget.

    Attributes:
        limit: the name of the budget's field that is spent.
        held: whether it would fit if calls under way turn out cheaper than their worst case: ask again when they have ended.
    """

    def __init__(self, limit: str, *, held: bool = False) -> None:
        super().__init__(f"the budget of {limit} is spent")
        self.limit = limit
        self.held = held
