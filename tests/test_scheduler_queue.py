"""The order in which calls start: laws over random comings and goings, and what it does to an engine's prefix cache."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.agents.models.fair_queue import SHARE, TURN, FairQueue


@dataclass(eq=False)
class Call:
    """A call that waits, and what it is promised."""

    group: int
    urgent: bool = False
    rows: int = 1
    prompt: str = ""
    ahead: int = 0
    """Calls of its group and priority that waited when it came."""
    groups: int = 1
    """Most groups of its priority that waited at once meanwhile."""
    waited: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    """Calls that started meanwhile, by whether they are urgent."""

    @property
    def bound(self) -> int:
        """Most calls of its priority that may start before it, as the module promises."""
        return self.ahead + (math.ceil((self.ahead + 1) / TURN) + 1) * (self.groups - 1) * TURN


Step = tuple[str, int, bool, int]
"""What happens (push, pop or drop), and to which group, with which priority and rows."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "pop", "drop"]),
        st.integers(0, 4),
        st.booleans(),
        st.integers(1, 3),
    ),
    max_size=100,
)


@given(STEPS)
def test_a_call_starts_in_its_order_and_after_no_more_others_than_promised(steps: list[Step]) -> None:
    queue, waiting = FairQueue[Call](), list[Call]()
    for what, group, urgent, rows in [*steps, *[("pop", 0, False, 1)] * len(steps)]:
        if what == "push":
            ahead = sum(1 for other in waiting if (other.group, other.urgent) == (group, urgent))
            waiting.append(call := Call(group, urgent, rows, ahead=ahead))
            queue.push(call)
        elif what == "drop" and waiting:
            queue.discard(waiting.pop(group % len(waiting)))
        elif what == "pop" and waiting:
            call = queue.pop()
            assert call is not None
            assert call is next(c for c in waiting if (c.group, c.urgent) == (call.group, call.urgent))
            waiting.remove(call)
            check_start(call, waiting)
        for other in waiting:
            groups = len({third.group for third in waiting if third.urgent == other.urgent})
            other.groups = max(other.groups, groups)
        assert (queue.size, queue.rows) == (len(waiting), sum(other.rows for other in waiting))
    assert queue.pop() is None


def check_start(call: Call, waiting: Sequence[Call]) -> None:
    assert call.waited[call.urgent] <= call.bound
    if call.urgent:
        assert call.waited[False] <= 1 + call.waited[True] // (SHARE - 1)
    else:
        assert call.waited[True] <= (SHARE - 1) * (call.waited[False] + 1)
    for other in waiting:
        other.waited[call.urgent] += 1


@given(st.integers(1, 40), st.integers(1, 40))
def test_urgent_calls_start_first_but_for_a_share(urgent: int, others: int) -> None:
    queue = FairQueue[Call]()
    for i in range(others):
        queue.push(Call(i, urgent=False))
    for i in range(urgent):
        queue.push(Call(i, urgent=True))
    expected: list[bool] = []
    while urgent and others:
        row = min(urgent, SHARE - 1)
        expected += [True] * row + [False] * (row == SHARE - 1)
        urgent, others = urgent - row, others - (row == SHARE - 1)
    expected += [True] * urgent + [False] * others
    assert [call.urgent for call in iter(queue.pop, None)] == expected


def test_a_call_without_room_stays_the_next() -> None:
    queue = FairQueue[Call]()
    large, small = Call(0, rows=5), Call(1, rows=1)
    queue.push(large)
    queue.push(small)
    assert queue.pop(room=4) is None
    assert queue.size == 2
    assert queue.pop(room=5) is large
    assert queue.pop(room=1) is small


class PrefixCache:
    """A cache of prompt blocks as engines keep it: blocks are found as long as all before them are; those used the longest ago go first."""

    def __init__(self, blocks: int, length: int = 16) -> None:
        self._most, self._length = blocks, length
        self._kept: OrderedDict[str, None] = OrderedDict()
        self.read = self.found = 0

    def prefill(self, prompt: str) -> None:
        """Read a prompt."""
        missing = False
        for end in range(self._length, len(prompt) + 1, self._length):
            block = prompt[:end]
            missing = missing or block not in self._kept
            self.read += 1
            self.found += not missing
            self._kept[block] = None
            self._kept.move_to_end(block)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    @property
    def rate(self) -> float:
        """Share of the blocks that were there, in [0, 1]."""
        return self.found / self.read


def cache_hits(turn: int, blocks: int, problems: int = 16, calls: int = 1500) -> float:
    """Return the hit rate over searches with 8 calls in flight each, every one a path of up to 4 steps below a question of 320 characters."""
    rng, queue, cache = random.Random(0), FairQueue[Call](turn), PrefixCache(blocks)

    def ask(problem: int) -> None:
        steps = [f"step {rng.randrange(2)}".ljust(32) for _ in range(rng.randrange(5))]
        queue.push(Call(problem, prompt=f"question {problem}".ljust(320) + "".join(steps)))

    for problem in range(problems):
        for _ in range(8):
            ask(problem)
    for _ in range(calls):
        call = queue.pop()
        assert call is not None
        cache.prefill(call.prompt)
        ask(call.group)
    return cache.rate


def test_turns_keep_the_prefixes_of_a_problem_in_an_engines_cache() -> None:
    scarce, plenty = 16 * 20 // 4, 16 * 200
    assert cache_hits(turn=1, blocks=scarce) < 0.1
    assert cache_hits(turn=TURN, blocks=scarce) > 0.75
    assert abs(cache_hits(turn=1, blocks=plenty) - cache_hits(turn=TURN, blocks=plenty)) < 0.02
