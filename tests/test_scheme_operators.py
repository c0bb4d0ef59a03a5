"""The table says of every scheme which operators its searches log: exactly those that they do."""

from __future__ import annotations

import pytest

from thoughtgraph.graph.records import Operator
from thoughtgraph.graph.schemes import make_strategy, schemes

from .scheme_cases import SMALL, VARIANTS
from .search_world import World, run

WORLDS = (
    World(seed=1),
    World(seed=2, goal=2.0),
    World(seed=3, goal=2.0, failing=0.3, refuting=0.3, dropping=0.2, breaking=0.1),
    World(seed=6, depth=4, letters=3, refuting=0.5),
)
ALWAYS = {Operator.SELECT, Operator.EVALUATE}
"""What every search logs, whether its row says so or not."""


def logged(scheme: str) -> set[Operator]:
    """Return the operators that a scheme's searches log, over its cases and several worlds."""
    small = SMALL.get(scheme, {})
    cases = [small, *({**small, **params} for name, params in VARIANTS if name == scheme)]
    found: set[Operator] = set()
    for params in cases:
        for world in WORLDS:
            state = run(make_strategy(scheme, params), world, limit=300).state
            assert state.operations
            found |= {operation.operator for operation in state.operations}
    return found


@pytest.mark.parametrize("scheme", schemes())
def test_the_operators_of_a_row_are_those_that_searches_log(scheme: str) -> None:
    row, seen = set(schemes()[scheme].operators), logged(scheme)
    assert seen <= row | ALWAYS, f"logged and not in the row: {seen - row - ALWAYS}"
    assert row <= seen, f"in the row and never logged: {row - seen}"
