"""The seam between search and everything else: ask what to do next, tell what came of it.

    state = strategy.start(root)
    while True:
        requests, state = strategy.ask(state, k)
        if not requests:
            break
        state = strategy.tell(state, [do(request) for request in requests])
    print(strategy.answer(state))

A strategy object holds configuration only; all that changes is in the state, which it alone reads. `ask` and `tell` take
ownership of the state they are given and return it: use only the returned one. (A persistent data structure would allow old states
to be kept, at many times the cost; whoever needs an old state replays the outcomes up to it.)

Laws, tested over every registered strategy (tests/test_strategy_laws.py):

* a request's id is its content; asking after a crash, in the same state, asks the same;
* `tell` is idempotent: an outcome whose request was told before changes nothing;
* `tell` accepts outcomes in any order, and outcomes of requests this object never asked (a replay); telling the recorded outcomes
  in their recorded order to a fresh state rebuilds the state;
* every thought told is used: it is a candidate for selection or for the answer from then on;
* nothing is random but by `seed` and the request's content; no clock, no I/O, no recursion over the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ..records import Answer, Operation, Outcome, Request, Thought


class SearchState(Protocol):
    """What every strategy's state shows to the outside; the rest is the strategy's own."""

    operations: list[Operation]
    """Operators applied since the list was last emptied; the machine moves them to the event log."""


S = TypeVar("S", bound=SearchState)


class Strategy(Protocol[S]):
    """A pure search policy."""

    @property
    def name(self) -> str:
        """Name of the scheme it carries out."""
        ...

    def start(self, root: Thought) -> S:
        """Return the state of a search that knows the root only."""
        ...

    def ask(self, state: S, k: int) -> tuple[list[Request], S]:
        """Return at most `k` (≥ 1) new requests, most urgent first, and the state that awaits them.

        None while earlier ones are awaited means: tell me first. None while nothing is awaited means: the search is over.
        """
        ...

    def tell(self, state: S, outcomes: Sequence[Outcome]) -> S:
        """Return the state after these outcomes; those told before are ignored."""
        ...

    def answer(self, state: S) -> Answer | None:
        """Return the best answer so far; None before the first thought. Callable at any time."""
        ...
