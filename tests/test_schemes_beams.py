"""Lookahead and diverse verifier tree search against values worked out by hand."""

from __future__ import annotations

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Operator, Outcome
from thoughtgraph.graph.schemes import make_strategy

from .grower import QUESTION, Grower
from .search_world import World, run
from .telling import T, ask, brief, exhaust, grown, key, noted


def test_lookahead_scores_the_end_of_greedy_rollouts() -> None:
    # N = 4, M = 2, k = 2. Own scores: A .9, B .8, C .3, D .1, and F, finished, .6.
    # Rollouts: A .5 .2, so A is worth .2; B .6, then finished with .7: .7; C .9 .95: .95; D's fails: its own .1.
    # The best N // M = 2 are C .95 and B .7. Beam search would have kept A and B.
    strategy = make_strategy("lookahead", {"beams": 4, "width": 2, "lookahead": 2, "select": "weighted"})
    state = strategy.start(QUESTION)
    [first] = ask(strategy, state)
    assert brief([first]) == [(("root",), 4, 0)]
    state = strategy.tell(
        state, [grown(first, [T("A", 0.9), T("B", 0.8), T("F", 0.6, "x"), T("C", 0.3), T("D", 0.1)])]
    )
    rollouts = ask(strategy, state)
    assert [r.subjects for r in rollouts] == [("A",), ("B",), ("C",), ("D",)]
    assert {(r.n, r.steps, r.temperature, r.horizon, r.distinct) for r in rollouts} == {
        (1, 2, 0.0, "answer", False)
    }
    a, b, c, d = rollouts
    state = strategy.tell(
        state, [Outcome(d, error="the model failed"), grown(c, [[T("C+", 0.9), T("C++", 0.95)]])]
    )
    state = strategy.tell(state, [grown(b, [[T("B+", 0.6), T("B++", 0.7, "y")]])])
    assert ask(strategy, state) == []
    state = strategy.tell(state, [grown(a, [[T("A+", 0.5), T("A++", 0.2)]])])
    assert noted(state, Operator.PRUNE, reason="beam") == ["A", "D"]
    assert noted(state, Operator.EVALUATE, rollout="came to nothing") == ["D"]
    second = ask(strategy, state)
    assert brief(second) == [(("C",), 2, 0), (("B",), 2, 0)]
    # the greedy step is among C's children, and may be sampled all the same
    assert not any(request.distinct for request in second)
    # votes so far: x .6, y .7 of the solution that the rollout came to
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.key, answer.score) == ("y", pytest.approx(0.7 / 1.3))


def test_a_sampled_step_that_the_rollout_took_is_the_same_thought() -> None:
    strategy = make_strategy("lookahead", {"beams": 2, "width": 2, "lookahead": 1})
    state = strategy.start(QUESTION)
    state = strategy.tell(state, [grown(ask(strategy, state)[0], [T("A", 0.5), T("B", 0.1)])])
    a, b = ask(strategy, state)
    state = strategy.tell(state, [grown(a, [[T("A+", 0.8, text="same")]]), grown(b, [])])
    [more] = ask(strategy, state)
    state = strategy.tell(state, [grown(more, [T("A1", 0.8, text="same"), T("A2", 0.9)])])
    assert state.tree.index["A1"] == state.tree.index["A+"]
    assert [request.subjects for request in ask(strategy, state)] == [("A+",), ("A2",)]


@pytest.mark.parametrize("k", [0, 1, 3])
def test_the_cost_of_a_round_is_n_times_k_plus_one(k: int) -> None:
    """Snell et al., §5.2: a round of N candidates with a lookahead of k draws N · (k + 1) steps."""
    params = {"beams": 8, "width": 4, "lookahead": k, "max_steps": 3}
    told = exhaust("lookahead", params, Grower())
    assert sum(len(outcome.thoughts) for outcome in told) == 3 * 8 * (k + 1)


def test_without_lookahead_it_is_beam_search() -> None:
    world = World(seed=4, failing=0.2, refuting=0.2)
    params = {"beams": 6, "width": 2}
    ahead = run(make_strategy("lookahead", {**params, "lookahead": 0}), world)
    plain = run(make_strategy("beam", params), world)
    assert (ahead.asked, ahead.answer) == (plain.asked, plain.answer)


def test_an_unscored_end_leaves_the_candidates_own_score() -> None:
    strategy = make_strategy("lookahead", {"beams": 2, "width": 1, "lookahead": 1})
    state = strategy.start(QUESTION)
    state = strategy.tell(state, [grown(ask(strategy, state)[0], [T("A", 0.4), T("B", 0.5)])])
    a, b = ask(strategy, state)
    state = strategy.tell(state, [grown(a, [[T("A+", 0.45)]]), grown(b, [[T("B+")]])])
    assert noted(state, Operator.EVALUATE, rollout="has no score") == ["B"]
    assert [request.subjects for request in ask(strategy, state)] == [("B",), ("A",)]


def test_dvts_splits_the_candidates_over_subtrees() -> None:
    # N = 4, M = 2: two subtrees of two candidates.
    # 0: A .6, B .5: A.             Then A1 .4 finished y, A2 .3: A1, and the subtree ends. Its last: A1, A2.
    # 1: C .9, D .7 finished x: C.  Then C1 .2, C2 .1 finished z: C1. Then P .5 finished y, Q .8 finished z: Q. Its last: P, Q.
    # D and C2 are finished, but not among the last: y .4 + .5 = .9 against z .8, of 1.7.
    strategy = make_strategy("dvts", {"beams": 4, "width": 2})
    state = strategy.start(QUESTION)
    first = ask(strategy, state)
    assert brief(first) == [(("root",), 2, 0), (("root",), 2, 2)]
    assert not any(request.distinct for request in first)
    state = strategy.tell(state, [grown(first[1], [T("C", 0.9), T("D", 0.7, "x")])])
    assert ask(strategy, state) == []
    assert key(strategy, state) == ("x", 1.0)  # nothing else is finished
    state = strategy.tell(state, [grown(first[0], [T("A", 0.6), T("B", 0.5)])])
    assert noted(state, Operator.PRUNE, reason="subtree") == ["B"]
    second = ask(strategy, state)
    assert brief(second) == [(("A",), 2, 0), (("C",), 2, 0)]
    state = strategy.tell(state, [grown(second[0], [T("A1", 0.4, "y"), T("A2", 0.3)])])
    state = strategy.tell(state, [grown(second[1], [T("C1", 0.2), T("C2", 0.1, "z")])])
    # C2 is one of its subtree's last candidates as long as no others came
    assert key(strategy, state) == ("y", pytest.approx(0.4 / 0.5))
    third = ask(strategy, state)
    assert brief(third) == [(("C1",), 2, 0)]
    state = strategy.tell(state, [grown(third[0], [T("P", 0.5, "y"), T("Q", 0.8, "z")])])
    assert ask(strategy, state) == []
    assert key(strategy, state) == ("y", pytest.approx(0.9 / 1.7))


def test_subtrees_that_meet_draw_different_samples_and_their_solutions_count_twice() -> None:
    strategy = make_strategy("dvts", {"beams": 4, "width": 2})
    state = strategy.start(QUESTION)
    first = ask(strategy, state)
    state = strategy.tell(state, [grown(first[0], [T("A", 0.9, text="a"), T("B", 0.5)])])
    state = strategy.tell(state, [grown(first[1], [T("A'", 0.9, text="a"), T("C", 0.1)])])
    second = ask(strategy, state)
    assert brief(second) == [(("A",), 2, 0), (("A",), 2, 2)]
    state = strategy.tell(state, [grown(second[0], [T("x", 0.5, "x", text="s"), T("y", 0.7, "y")])])
    state = strategy.tell(state, [grown(second[1], [T("x'", 0.5, "x", text="s"), T("z", 0.2, "z")])])
    # x: 2 · .5 = 1 of 1 + .7 + .2
    assert key(strategy, state) == ("x", pytest.approx(1 / 1.9))


def test_a_subtree_whose_continuation_fails_ends_with_its_last_candidates() -> None:
    strategy = make_strategy("dvts", {"beams": 4, "width": 2})
    state = strategy.start(QUESTION)
    first = ask(strategy, state)
    state = strategy.tell(state, [grown(first[0], [T("A", 0.9), T("x", 0.5, "x")])])
    state = strategy.tell(state, [grown(first[1], [T("B", 0.9), T("y", 0.6, "y")])])
    a, b = ask(strategy, state)
    state = strategy.tell(state, [Outcome(a, error="lost"), grown(b, [T("z", 0.4, "z"), T("B2", 0.1)])])
    assert ask(strategy, state) == []
    assert key(strategy, state) == ("x", pytest.approx(0.5 / 0.9))  # y lost to B


def test_candidates_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(
        UserError, match="beams=10 cannot be split into subtrees of width=4; give a multiple of 4"
    ):
        make_strategy("dvts", {"beams": 10, "width": 4})
    with pytest.raises(UserError, match="scheme 'lookahead': width=8 leaves no beam of 4"):
        make_strategy("lookahead", {"beams": 4, "width": 8})
