"""The machine's state: primitives only, of bounded size, whatever the search has grown to.

The checkpoint is a cursor. Thoughts, scores and the strategy's statistics are in the store and are rebuilt from it.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Status = Literal["searching", "finished"]


class MachineInput(TypedDict, total=False):
    """What the machine is started with: a question, or a unit of an existing run."""

    question: str
    run: str
    problem: str


class MachineOutput(TypedDict, total=False):
    """What the machine ends with."""

    run: str
    problem: str
    answer: str | None
    score: float | None
    """In [0, 1], as the scheme's finalizer computed it."""
    stopped: str
    """Why it stopped: `finished` or `budget:LIMIT`."""
    usage: dict[str, float]


class MachineState(MachineInput, MachineOutput, total=False):
    """All that is checkpointed."""

    status: Status
    step: int
    """Waves so far."""
    thoughts: int
    """Thoughts so far, the root included."""
    selected: list[str]
    """Ids of the requests asked in this wave (at most K)."""
    in_flight: list[str]
    """Ids of the requests under way (at most K)."""
    wave: list[str]
    """Ids of the requests that came back and are on their way to `update` (at most K)."""
    best: str | None
    """Id of the thought that was answered with, once the search is over."""
