"""Tree of Thoughts, breadth first and depth first, against values worked out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from thoughtgraph.graph.records import Operator, Request
from thoughtgraph.graph.schemes import get_scheme, make_strategy

from .grower import QUESTION, Grower
from .telling import T, ask, exhaust, grown, judged, key, noted


def mean_value(*replies: float) -> float:
    """Return what an evaluator makes of replies: sure 20, likely 1, impossible .001, their mean / 20."""
    return sum(replies) / len(replies) / 20


def test_tot_keeps_the_states_with_the_highest_values() -> None:
    # b = 3, three replies a state:
    #   A sure, likely, impossible   (20 + 1 + .001) / 60 = .35002
    #   B likely, likely, likely      3 / 60              = .05
    #   C impossible, likely, likely  2.001 / 60          = .03335
    #   D cannot be read: unknown, and so after all others
    #   E has A's state: worth 0, and not asked about
    # The order is that of the paper's sums 21.001, 3 and 2.001.
    strategy = make_strategy("tot_bfs", {"n": 5, "breadth": 3})
    state = strategy.start(QUESTION)
    [first] = ask(strategy, state)
    assert (first.action, first.n, first.temperature) == ("propose", 5, 0.7)
    rows = [T("D", 0.5), T("C", 0.5), T("B", 0.5), T("A", 0.5, state="1 2"), T("E", 0.9, state="1 2")]
    state = strategy.tell(state, [grown(first, rows)])
    [value] = ask(strategy, state)
    assert (value.operator, value.action, value.n) == (Operator.EVALUATE, "value", 3)
    assert value.subjects == ("D", "C", "B", "A")
    values = {
        "A": mean_value(20, 1, 0.001),
        "B": mean_value(1, 1, 1),
        "C": mean_value(0.001, 1, 1),
        "D": None,
    }
    assert values["A"] == pytest.approx(0.350017, abs=1e-6)
    state = strategy.tell(state, [judged(value, values)])
    assert [request.subjects for request in ask(strategy, state)] == [("A",), ("B",), ("C",)]
    assert noted(state, Operator.PRUNE, reason="breadth") == ["E", "D"]


def test_tot_asks_about_the_continuations_of_each_state_at_once() -> None:
    strategy = make_strategy("tot_bfs", {"n": 2, "breadth": 2, "generate": "sample"})
    state = strategy.start(QUESTION)
    [first] = ask(strategy, state)
    assert (first.action, first.distinct) == ("", True)
    state = strategy.tell(state, [grown(first, [T("A", 0.5), T("B", 0.5)])])
    state = strategy.tell(state, [judged(ask(strategy, state)[0], {"A": 0.2, "B": 0.1})])
    a, b = ask(strategy, state)
    state = strategy.tell(state, [grown(b, [T("B1", 0.1), T("B2", 0.1)])])
    state = strategy.tell(state, [grown(a, [T("A1", 0.1, "x")])])
    both = ask(strategy, state)
    assert [request.subjects for request in both] == [("A1",), ("B1", "B2")]
    # A1 is finished and the best: it keeps its place, and one is left
    state = strategy.tell(state, [judged(both[0], {"A1": 1.0}), judged(both[1], {"B1": 0.3, "B2": 0.4})])
    [last] = ask(strategy, state)
    assert last.subjects == ("B2",)
    assert key(strategy, state) == ("x", 1.0)
    # A1 is not asked about again, and ends the search when nothing else is as good
    state = strategy.tell(state, [grown(last, [T("B21", 0.9, "y"), T("B22", 0.9, "z")])])
    [value] = ask(strategy, state)
    assert value.subjects == ("B21", "B22")
    state = strategy.tell(state, [judged(value, {"B21": 0.9, "B22": 0.2})])
    assert ask(strategy, state) == []


def test_tot_votes_among_all_states_of_a_level() -> None:
    # five votes, three for B, two for C: .6 and .4; A has none, and is worth 0, which is not unknown
    strategy = make_strategy("tot_bfs", {"n": 3, "breadth": 2, "evaluate": "vote", "n_evaluate": 5})
    state = strategy.start(QUESTION)
    state = strategy.tell(state, [grown(ask(strategy, state)[0], [T("A", 0.9), T("B", 0.1), T("C", 0.1)])])
    [vote] = ask(strategy, state)
    assert (vote.action, vote.n, vote.subjects) == ("vote", 5, ("A", "B", "C"))
    state = strategy.tell(state, [judged(vote, {"A": 0 / 5, "B": 3 / 5, "C": 2 / 5})])
    assert [request.subjects for request in ask(strategy, state)] == [("B",), ("C",)]


def test_tot_draws_states_in_proportion_to_their_values() -> None:
    # weights .6, .3, .1 and unknown; the share of each as the first of the draw, over 1,500 seeds (standard error ≤ .013);
    # as the second, after A: .3 / .4, so of all .6 · 3/4 + .1 · 3/9 = .4833 for B
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    for seed in range(1500):
        strategy = make_strategy("tot_bfs", {"n": 4, "breadth": 2, "method": "sample"}, seed=seed)
        state = strategy.start(QUESTION)
        rows = [T("U", 0.9), T("A", 0.1), T("B", 0.1), T("C", 0.1)]
        state = strategy.tell(state, [grown(ask(strategy, state)[0], rows)])
        values = {"U": None, "A": 0.6, "B": 0.3, "C": 0.1}
        state = strategy.tell(state, [judged(ask(strategy, state)[0], values)])
        kept = [request.subjects[0] for request in ask(strategy, state)]
        first[kept[0]] += 1
        second[kept[1]] += 1
    assert [first[name] / 1500 for name in "ABCU"] == pytest.approx([0.6, 0.3, 0.1, 0.0], abs=0.05)
    assert second["B"] / 1500 == pytest.approx(0.6 * 3 / 4 + 0.1 * 3 / 9, abs=0.05)


def test_tot_goes_by_the_teams_scores_where_it_is_told_to() -> None:
    params = {"n": 3, "breadth": 1, "generate": "sample", "evaluate": "scores", "aggregation": "min"}
    strategy = make_strategy("tot_bfs", params)
    state = strategy.start(QUESTION)
    state = strategy.tell(state, [grown(ask(strategy, state)[0], [T("U"), T("A", 0.5), T("B", 0.6)])])
    [request] = ask(strategy, state)
    assert request.subjects == ("B",)
    # min: B1 min(.6, .9), B2 min(.6, .2)
    state = strategy.tell(state, [grown(request, [T("B1", 0.9, "x"), T("B2", 0.2, "y")])])
    assert key(strategy, state) == ("x", 0.6)


def test_what_tot_needs_follows_from_what_it_asks() -> None:
    needs = get_scheme("tot_bfs").needs
    assert needs({"generate": "propose", "evaluate": "value"}) == {"propose", "value"}
    assert needs({"generate": "sample", "evaluate": "scores"}) == {"step_scores"}
    assert needs({"generate": "sample", "evaluate": "vote"}) == {"vote"}
    for name in ("tot_bfs", "tot_dfs"):
        assert dict(get_scheme(name).raw) == {"generate": "sample", "evaluate": "scores"}


def test_tot_depth_first_backtracks() -> None:
    # threshold .1, two solutions.
    #   root: A .5, B .9, C .05 (pruned), D unknown (last)   → B
    #   B: B1 .05 (pruned)                                    → nothing left: back to the root → A
    #   A: A1 .3 finished x, A2 .4                            → A2
    #   A2: nothing came: back to A, back to the root         → D
    #   D: D1 .02 finished y (pruned), D2 .6 finished z       → two solutions: over
    strategy = make_strategy("tot_dfs", {"n": 4, "threshold": 0.1, "solutions": 2})
    state = strategy.start(QUESTION)
    plan: list[tuple[str, list[T], Mapping[str, float | None]]] = [
        ("root", [T("A", 1), T("B", 1), T("C", 1), T("D", 1)], {"A": 0.5, "B": 0.9, "C": 0.05, "D": None}),
        ("B", [T("B1", 1)], {"B1": 0.05}),
        ("A", [T("A1", 1, "x"), T("A2", 1)], {"A1": 0.3, "A2": 0.4}),
        ("A2", [], {}),
        ("D", [T("D1", 1, "y"), T("D2", 1, "z")], {"D1": 0.02, "D2": 0.6}),
    ]
    for subject, rows, values in plan:
        [request] = ask(strategy, state)
        assert (request.subjects, request.action, request.n) == ((subject,), "propose", 4)
        state = strategy.tell(state, [grown(request, rows)])
        if rows:
            [value] = ask(strategy, state)
            assert value.action == "value"
            state = strategy.tell(state, [judged(value, values)])
    assert ask(strategy, state) == []
    assert noted(state, Operator.PRUNE, reason="threshold") == ["C", "B1", "D1"]
    back = [op.subjects for op in state.operations if op.operator is Operator.BACKTRACK]
    assert back == [("B", "root"), ("A2", "A"), ("A", "root")]
    assert key(strategy, state) == ("z", 0.6)
    # a person rejects z: it is no solution any more, and the search goes on where it stood, with nothing left
    person = Request(Operator.EVALUATE, ("D2",), n=0)
    state = strategy.tell(state, [judged(person, {"D2": 0.0}, "rule")])
    assert ask(strategy, state) == []
    assert noted(state, Operator.BACKTRACK) == ["B", "A2", "A", "D"]
    assert key(strategy, state) == ("x", 0.3)


def test_a_rejected_solution_sends_the_depth_first_search_on() -> None:
    params = {"n": 2, "generate": "sample", "evaluate": "scores"}
    strategy = make_strategy("tot_dfs", params)
    state = strategy.start(QUESTION)
    state = strategy.tell(state, [grown(ask(strategy, state)[0], [T("x", 0.9, "x"), T("A", 0.5)])])
    assert ask(strategy, state) == []
    person = Request(Operator.EVALUATE, ("x",), n=0)
    state = strategy.tell(state, [judged(person, {"x": 0.0}, "rule")])
    assert [request.subjects for request in ask(strategy, state)] == [("A",)]


def test_depth_first_search_keeps_to_its_bounds() -> None:
    for params, requests in (({"max_expansions": 7}, 7), ({"max_depth": 1}, 1), ({"max_depth": 2}, 4)):
        params = {"n": 3, "generate": "sample", "evaluate": "scores", "threshold": 0.0, **params}
        assert len(exhaust("tot_dfs", params, Grower())) == requests
