"""Monte-Carlo tree searches over steps, against values worked out by hand: x1, OpenR, ReST-MCTS*, LATS."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hand_made import Hand
from hypothesis import given, settings
from hypothesis import strategies as st
from scheme_cases import SMALL, VARIANTS
from search_world import ROOT, World, run

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import get_scheme, make_strategy
from thoughtgraph.graph.strategies.process_rewards import process_rewards, step_weights

MINE = ("mcts_x1", "mcts_openr", "rstar", "rstar_math", "rest_mcts", "lats")
CASES = [(name, dict[str, object]()) for name in MINE] + [case for case in VARIANTS if case[0] in MINE]


# x1 -----------------------------------------------------------------------------------------------------------------------------


def x1_tree(**params: Any) -> Hand:
    search = Hand("mcts_x1", **params)
    search.grow(search.one(), {"A": 0.8, "B": 0.5})
    search.grow(Request(Operator.GENERATE, ("A",), n=2), {"C": 0.5, "D": 0.9})
    return search


def test_x1_values_visits_and_selection_scores() -> None:
    """By hand, γ = .96, lr = 1; every thought is born with N = 1, an expansion adds 1 to itself and all above.

    A: N 2, .96 · (.5 + .9) / 2 = .672          root: N 2, .96 · (2 · .672 + 1 · .5) / 3 = .96 · 1.844 / 3 = .59008
    c = 1.25 + ln((2 + 19652) / 19652) = 1.25 + .0001017656 = 1.2501017656, √(N_root - 1) = 1
    A: .672 + c / 3 = 1.0887006          B: .5 + c / 2 = 1.1250509, so B comes next
    """
    search = x1_tree()
    assert (search.n("A"), search.q("A")) == (2, pytest.approx(0.672))
    assert (search.n("root"), search.q("root")) == (2, pytest.approx(0.59008))
    assert search.scores() == pytest.approx({"A": 1.0887006, "B": 1.1250509}, abs=1e-7)
    assert search.one().subjects == ("B",)


def test_x1_with_the_equation_as_printed_takes_values_in_their_own_range() -> None:
    """2 · .672 - 1 + c / 3 = .7607006 and 2 · .5 - 1 + c / 2 = .6250509: now A is first, and in it D (.8 against 0, both N = 1)."""
    search = x1_tree(normalise=False)
    assert search.scores() == pytest.approx({"A": 0.7607006, "B": 0.6250509}, abs=1e-7)
    assert search.one().subjects == ("D",)


def test_x1_mixes_simulations_into_a_new_thought_and_then_forgets_them_in_its_children() -> None:
    """A: ends .9 and .4 (twice), B: one end refuted, so worth 0, and one of 1.

    A: .5 · .8 + .5 · (.9 + .4) / 2 = .725          B: .5 · .5 + .5 · (0 + 1) / 2 = .5          root: .96 · (.725 + .5) / 2 = .588
    """
    search = Hand("mcts_x1", simulations=2)
    search.grow(search.one(), {"A": 0.8, "B": 0.5})
    rollouts = search.ask(9)
    assert [(r.subjects, r.n, r.horizon, r.temperature) for r in rollouts] == [
        (("A",), 2, "answer", 0.7),
        (("B",), 2, "answer", 0.7),
    ]
    search.chains(rollouts[0], {"a1": 0.1, "a2!": 0.9}, {"a3": 0.2, "a4!": 0.4})
    assert search.q("A") == pytest.approx(0.725)
    thoughts = (
        Thought("b1!", ("B",), Operator.GENERATE, "b1", 2, terminal=True, answer="1", key="1"),
        Thought("b2!", ("B",), Operator.GENERATE, "b2", 2, terminal=True, answer="2", key="2", sample=1),
    )
    said = (Evaluation("b1!", "rule", "r", 0.0), Evaluation("b2!", "value", "v", 1.0))
    search.tell(Outcome(rollouts[1], thoughts, said))
    assert search.q("B") == pytest.approx(0.5)
    assert (search.n("A"), search.n("B"), search.n("root")) == (1, 1, 1)
    assert search.q("root") == pytest.approx(0.588)
    # a rolled out thought is a leaf still: the descent ends at A, not in its chains
    request = search.one()
    assert (request.subjects, request.first_sample, request.horizon) == (("A",), 2, "step")
    search.grow(request, {"C": 0.5, "D": 0.7})
    # now a1 and a3, worth what they came to, and C and D are its children: .96 · (.9 + .4 + .5 + .7) / 4 = .6
    assert search.q("A") == pytest.approx(0.6)


def test_x1_rolls_out_greedily_if_told_to_and_never_from_what_is_finished_or_refuted() -> None:
    search = Hand("mcts_x1", simulations=1, rollout_temperature=0, branching=4)
    search.grow(search.one(), {"A": 0.8, "B": 0.5, "C!": 0.1}, refuted="B")
    [request] = search.ask(9)
    assert (request.subjects, request.temperature) == (("A",), 0.0)


@pytest.mark.parametrize("terminal", ["pass", "stop"])
def test_x1_at_a_finished_leaf(terminal: str) -> None:
    search = Hand("mcts_x1", terminal=terminal)
    search.grow(search.one(), {"A!": 0.9, "B": 0.5})
    requests = search.ask(2)
    assert [r.subjects for r in requests] == ([("B",)] if terminal == "pass" else [])


def test_x1_answers_with_the_highest_value_or_follows_the_selection_score() -> None:
    """D, .9, is under A, but A's other children pull it down: A: N 3, Q .96 · 1.5 / 5 = .288, and B: N 2, Q .96 · .3 = .288.

    B, less visited, has the higher selection score, and E is its only child.
    """
    for how, expected in (("value", "D!"), ("path", "E!")):
        search = Hand("mcts_x1", answer=how)
        search.grow(search.one(), {"A": 0.8, "B": 0.5})
        search.grow(Request(Operator.GENERATE, ("A",), n=2), {"C": 0.5, "D!": 0.9})
        search.grow(Request(Operator.GENERATE, ("B",), n=1), {"E!": 0.3})
        search.grow(Request(Operator.GENERATE, ("A",), n=3, first_sample=2), {"F": 0.0, "G": 0.0, "H": 0.1})
        assert (search.q("A"), search.q("B")) == (pytest.approx(0.288), pytest.approx(0.288))
        assert search.answer().thought == expected


def test_x1_without_a_solution_on_the_selected_path_answers_with_the_best_one() -> None:
    search = Hand("mcts_x1", answer="path")
    search.grow(search.one(), {"A": 0.9, "B!": 0.1})
    assert search.answer().thought == "B!"


# OpenR --------------------------------------------------------------------------------------------------------------------------


def openr_tree(**params: Any) -> Hand:
    search = Hand("mcts_openr", **params)
    request = search.one()
    made = [("a", -1.0, 2, 0.5), ("b", -3.0, 3, 0.6), ("c", -3.0, 2, 0.7)]
    thoughts = tuple(
        Thought(n, ("root",), Operator.GENERATE, n, 1, sample=i, logprob=p, tokens=t)
        for i, (n, p, t, _) in enumerate(made)
    )
    search.tell(Outcome(request, thoughts, tuple(Evaluation(n, "step", "prm", v) for n, _, _, v in made)))
    return search


def test_openr_priors_are_normalised_token_probabilities() -> None:
    """Means -1/2, -1, -3/2: e^-.5 = .6065307, e^-1 = .3678794, e^-1.5 = .2231302, which sum to 1.1975403."""
    search = openr_tree()
    priors = {name: search.tree.prior[search.tree.index[name]] for name in "abc"}
    assert priors == pytest.approx({"a": 0.5064804, "b": 0.3071958, "c": 0.1863237}, abs=1e-7)


def test_openr_completes_one_path_an_iteration_and_backs_up_its_leaves() -> None:
    """N(root) = 0, so nothing is explored and the path begins with the best score, c.

    Its finished children .9 and .3 make c: N 2, Q .6, and the same of the root, whose next choice is, with
    √2 · (1.25 + ln((2 + 19653) / 19652)) = 1.4142136 · 1.2501526 = 1.7679828,

        a: .5 + .5064804 · 1.7679828 = 1.3954487          b: .6 + .3071958 · 1.7679828 = 1.1431169
    """
    search = openr_tree(paths=2)
    request = search.one()
    assert request.subjects == ("c",)
    search.grow(request, {"c1!": 0.9, "c2!": 0.3}, kind="step", logprob=-1.0)
    assert (search.n("c"), search.q("c")) == (2, pytest.approx(0.6))
    assert (search.n("root"), search.q("root")) == (2, pytest.approx(0.6))
    assert search.q("a") == 0.5
    scores = search.scores()
    assert (scores["a"], scores["b"]) == pytest.approx((1.3954487, 1.1431169), abs=1e-6)
    # the best of c was finished, so a new path begins; it goes on below a, where a1 is best, until a finished one is
    request = search.one()
    assert request.subjects == ("a",)
    search.grow(request, {"a1": 0.8, "a2!": 0.7}, kind="step", logprob=-1.0)
    request = search.one()
    assert request.subjects == ("a1",)
    search.grow(request, {"a3": 0.2, "a4!": 0.4}, kind="step", logprob=-1.0)
    assert search.ask(3) == []
    assert search.answer().thought == "c1!"


def test_openr_aggregates_the_answers_of_its_paths() -> None:
    # last: x .9, y .6 + .5; min along the path: x .2, y .5 + .5
    for select, aggregation, expected in (
        ("best", "last", "x"),
        ("best", "min", "y"),
        ("majority", "last", "y"),
        ("weighted", "last", "y"),
    ):
        search = Hand("mcts_openr", select=select, aggregation=aggregation, prior="count")
        search.grow(search.one(), {"p": 0.2, "q": 0.6}, kind="step")
        search.grow(Request(Operator.GENERATE, ("p",)), {"p!": 0.9}, kind="step", answers={"p!": "x"})
        search.grow(
            Request(Operator.GENERATE, ("q",), n=2),
            {"q1!": 0.6, "q2!": 0.5},
            kind="step",
            answers={"q1!": "y", "q2!": "y"},
        )
        assert search.answer().key == expected


def test_openr_says_what_to_do_without_log_probabilities() -> None:
    search = Hand("mcts_openr")
    with pytest.raises(UserError, match="use prior=count"):
        search.grow(search.one(), {"a": 0.5})


def test_openr_paths_overlap() -> None:
    search = openr_tree(paths=3)
    first, second, third = search.ask(9)
    assert [r.subjects for r in (first, second, third)] == [("c",), ("a",), ("b",)]
    search.grow(second, {"a1": 0.8}, kind="step", logprob=-1.0)
    [onwards] = search.ask(9)
    assert onwards.subjects == ("a1",)


# ReST-MCTS* ---------------------------------------------------------------------------------------------------------------------


def test_rest_mcts_rolls_forward_from_the_best_child_and_takes_advice_before_it_expands() -> None:
    """By hand; α = .5, ε = .7, unvisited thoughts score V + 1.

    root → a .3, b .6, c .2. From b three greedy steps: .5, .8, .4. b: .5 · .6 + .5 · .8 = .7, N 1. root: N 1, V = 1 · .7 / 1 = .7
    ln N_root = 0: a 1.3, b .7, c 1.2, so a.
    a → d .4, e .1. From d one step of .9: d = .65, N 1; a: N 1, V .65; root: N 2, V = (.65 + .7) / 2 = .675
    √(2 ln 2) = 1.1774100, · .7 = .8241870: a .65 + .8241870 = 1.4741870, b 1.5241870, c 1.2, so b, which advice says is resolved.
    Then a: ln N_a = 0, so d .65 and e .1 + 1 = 1.1: e.
    """
    search = Hand("rest_mcts")
    search.grow(search.one(), {"a": 0.3, "b": 0.6, "c": 0.2})
    forward = search.one()
    assert (forward.subjects, forward.n, forward.horizon, forward.steps, forward.temperature) == (
        ("b",),
        1,
        "answer",
        3,
        0.0,
    )
    search.chains(forward, {"b1": 0.5, "b2": 0.8, "b3": 0.4})
    assert (search.n("b"), search.q("b")) == (1, pytest.approx(0.7))
    assert (search.n("root"), search.q("root")) == (1, pytest.approx(0.7))
    assert search.scores() == pytest.approx({"a": 1.3, "b": 0.7, "c": 1.2})
    critique = search.one()
    assert (critique.operator, critique.action, critique.subjects) == (Operator.EVALUATE, "critique", ("a",))
    search.judge(critique, "critique", "try another pair")
    expansion = search.one()
    assert (expansion.subjects, expansion.horizon, expansion.n) == (("a",), "step", 3)
    search.grow(expansion, {"d": 0.4, "e": 0.1})
    search.chains(search.one(), {"d1": 0.9})
    assert (search.n("a"), search.q("a")) == (1, pytest.approx(0.65))
    assert (search.n("root"), search.q("root")) == (2, pytest.approx(0.675))
    assert search.scores() == pytest.approx({"a": 1.4741870, "b": 1.5241870, "c": 1.2}, abs=1e-7)
    critique = search.one()
    assert critique.subjects == ("b",)
    search.judge(critique, "critique", "<end> nothing is left to do")
    assert search.scores("a") == pytest.approx({"d": 0.65, "e": 1.1})
    assert search.one().subjects == ("e",)


def test_rest_mcts_ends_at_its_gate_and_a_failed_critique_does_not_hold_it_up() -> None:
    search = Hand("rest_mcts", iterations=9)
    search.grow(search.one(), {"a": 0.3, "b!": 0.89})
    critique = search.one()
    assert critique.subjects == ("a",)  # b is best and finished: nothing is rolled forward
    search.judge(critique, "critique", None)
    search.grow(search.one(), {"c!": 0.9})
    assert search.ask() == []
    assert search.answer().thought == "c!"


def test_process_rewards() -> None:
    """A right path of K = 4 steps: k / K. A wrong step after one of three right ones: 1/3 - (2/3) / 3 = 1/9, then
    1/9 - (8/9) / 3 < 0."""
    assert process_rewards([True] * 4) == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert step_weights(process_rewards([True] * 4)) == pytest.approx([0.25] * 4)
    assert process_rewards([True, False, False], [2, 2, 2]) == pytest.approx([1 / 3, 1 / 9, 0.0])
    assert process_rewards([]) == []
    with pytest.raises(UserError, match="0 or more"):
        process_rewards([True], [-1])
    with pytest.raises(UserError, match="remain after each step"):
        process_rewards([True], [0, 0])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40))
def test_process_rewards_are_probabilities_that_move_with_the_steps(steps: list[tuple[bool, int]]) -> None:
    values = process_rewards([good for good, _ in steps], [left for _, left in steps])
    before = 0.0
    for (good, _), value in zip(steps, values, strict=True):
        assert 0.0 <= value <= 1.0
        assert value >= before if good else value <= before
        before = value


# LATS ---------------------------------------------------------------------------------------------------------------------------


def test_lats_judges_new_thoughts_goes_on_from_the_best_and_reflects_on_failures() -> None:
    search = Hand("lats", rollout=1)
    first = search.one()
    assert (first.n, first.temperature) == (5, 1.0)
    search.grow(first, {"a": None, "b": None, "c!": None})
    assert search.q("a") is None
    judge = search.one()
    assert (judge.action, judge.subjects, judge.n) == ("value", ("a", "b", "c!"), 1)
    assert search.ask() == []  # they await their values
    search.judge(judge, "value", 0.4, 0.7, 0.2)
    reflect, path = search.ask(2)
    assert (reflect.action, reflect.subjects) == ("reflect", ("c!",))
    assert path.subjects == ("b",)
    search.judge(reflect, "reflection", "do not do that")
    search.grow(path, {"d": None})
    search.judge(search.one(), "value", 0.9)
    # the path may go on once only, so a new iteration descends: no leaf is below a and b yet, so they score their values, and ln N(root) = 0
    assert search.scores() == pytest.approx({"a": 0.4, "b": 0.7, "c!": 0.2})
    assert search.one().subjects == ("d",)


def test_lats_reflects_at_most_three_times_and_once_an_answer() -> None:
    search = Hand("lats", evaluate="scores")
    request = search.one()
    names = ["a!", "b!", "c!", "d!", "e!"]
    answers = {"a!": "1", "b!": "1", "c!": "2", "d!": "3", "e!": "4"}
    search.grow(request, dict.fromkeys(names, 0.1), answers=answers)
    reflections = search.ask(9)
    assert [r.subjects for r in reflections] == [("a!",), ("c!",), ("d!",)]
    for reflection in reflections:
        search.judge(reflection, "reflection", None)
    assert search.ask() == []


def test_lats_returns_at_once_from_a_checked_success_and_never_judges_what_was_checked() -> None:
    search = Hand("lats")
    search.grow(search.one(), {"a!": 0.0, "b": None}, kind="outcome")
    reflect, judge = sorted(search.ask(9), key=lambda r: r.action)
    assert (reflect.action, reflect.subjects) == ("reflect", ("a!",))
    assert (judge.action, judge.subjects) == ("value", ("b",))
    search.judge(judge, "value", 0.3)
    search.grow(search.one(), {"c!": 1.0}, kind="outcome")
    assert search.ask(9) == []
    assert search.answer().thought == "c!"


def test_lats_with_and_without_the_published_double_division() -> None:
    """A has leaves .85 and .95: N 2, Q .9. B has a leaf .4: N 1. N(root) = 3, ln 3 = 1.0986123.

    A: .9 + √2 · √(.5493061) = .9 + 1.0481471 = 1.9481471          B: .4 + √2 · 1.0481471 = 1.8823038, so A's open child
    twice: A: .45 + 1.0481471 = 1.4981471, so B's
    """
    for twice, score, expected in ((False, 1.9481471, "a3"), (True, 1.4981471, "b2")):
        search = Hand("lats", evaluate="scores", reflections=0, rollout=0, divide_twice=twice)
        search.grow(search.one(), {"A": 0.5, "B": 0.5})
        search.grow(Request(Operator.GENERATE, ("A",)), {"a1!": 0.85, "a2!": 0.95, "a3": 0.5})
        search.grow(Request(Operator.GENERATE, ("B",)), {"b1!": 0.4, "b2": 0.5})
        assert search.scores() == pytest.approx({"A": score, "B": 1.8823038}, abs=1e-7)
        assert search.one().subjects == (expected,)


def test_lats_gives_up_at_its_depth_cap() -> None:
    search = Hand("lats", evaluate="scores", depth=2, rollout=9, branching=1)
    search.grow(search.one(), {"a": 0.5})
    search.grow(search.one(), {"b": 0.5})
    assert search.ask() == []
    assert [op.subjects for op in search.state.operations if op.operator is Operator.BACKTRACK][-1] == (
        "a",
        "root",
    )


# all of them --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mcts_x1", "mcts_openr", "rstar_math", "rest_mcts", "lats"])
def test_heating_needs_a_temperature(scheme: str) -> None:
    with pytest.raises(UserError, match="heating raises a temperature"):
        make_strategy(scheme, {"heating": 0.5, "temperature": None})
    search = Hand(scheme, heating=0.5, temperature=1.0, max_expansions=2, branching=1)
    search.tell(Outcome(search.one(), error="lost"))
    assert search.one().temperature == 1.5


@pytest.mark.parametrize(("temperature", "second"), [(1.0, 2.0), (1.9, 2.0), (2.5, 2.5)])
def test_heating_ends_where_servers_refuse_more(temperature: float, second: float) -> None:
    search = Hand("mcts", heating=3.0, temperature=temperature, max_expansions=2, branching=1)
    search.tell(Outcome(search.one(), error="lost"))
    assert search.one().temperature == second


@pytest.mark.parametrize("scheme", CASES)
@given(seed=st.integers(0, 2**16), order=st.randoms(use_true_random=False))
@settings(max_examples=6, deadline=None)
def test_a_replay_of_any_arrivals_decides_the_same(
    scheme: tuple[str, dict[str, object]], seed: int, order: random.Random
) -> None:
    """What was under way when an outcome was told must leave no trace: a replay does not know it."""
    name, params = scheme
    world = World(seed=seed, goal=2.0, refuting=0.2, failing=0.1, breaking=0.1)
    strategy = make_strategy(name, {**SMALL[name], **params}, 3)
    told: list[Outcome] = []
    state: Any = strategy.start(ROOT)
    while len(told) < 60:
        _, state = strategy.ask(state, 4)
        pending = list(state.pending.values())
        if not pending:
            break
        told.append(world.do(order.choice(pending)))
        state = strategy.tell(state, told[-1:])
    for request in list(state.pending.values()):
        told.append(world.do(request))
        state = strategy.tell(state, told[-1:])
    rebuilt: Any = strategy.tell(strategy.start(ROOT), told)
    assert (rebuilt.memory, bytes(rebuilt.tree.flags)) == (state.memory, bytes(state.tree.flags))
    assert strategy.ask(rebuilt, 5)[0] == strategy.ask(state, 5)[0]


@pytest.mark.parametrize("scheme", MINE)
@given(seed=st.integers(0, 2**16), order=st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_crashes_lose_nothing_but_what_was_in_flight(scheme: str, seed: int, order: random.Random) -> None:
    """Killed at random points, rebuilt from what was told: the search still ends, and asks for nothing that was told."""
    world = World(seed=seed, goal=2.0, refuting=0.2, failing=0.2, breaking=0.1)
    strategy = make_strategy(scheme, SMALL[scheme], 3)
    told: list[Outcome] = []
    state: Any = strategy.start(ROOT)
    for _ in range(5000):
        requests, state = strategy.ask(state, 4)
        if not requests and not state.pending:
            break
        assert not {r.id for r in requests} & {o.request.id for o in told}
        pending = list(state.pending.values())
        for request in order.sample(pending, order.randint(1, len(pending))):
            told.append(world.do(request))
            state = strategy.tell(state, told[-1:])
        if order.random() < 0.2:
            state = strategy.tell(strategy.start(ROOT), told)
    else:
        pytest.fail("the search did not end")


@pytest.mark.parametrize("scheme", [*MINE, "mcts"])
def test_filled_searches_go_on_long_after_their_defaults_would_end(scheme: str) -> None:
    world = World(seed=3, letters=500, depth=2, goal=2.0)
    params = SMALL.get(scheme, {})
    if scheme != "mcts":  # which has no iterations to run out of
        assert len(run(make_strategy(scheme, params), world, limit=900).told) < 400
    trace = run(make_strategy(scheme, {**params, **get_scheme(scheme).fill}), world, limit=900)
    assert len(trace.told) >= 900
    assert trace.asked[-1]


@pytest.mark.parametrize("scheme", ["mcts_x1", "mcts_openr", "rstar_math", "rest_mcts", "lats", "mcts"])
def test_a_filled_search_ends_once_its_model_has_nothing_new_to_say(scheme: str) -> None:
    """Two steps of two letters make six thoughts; some are refuted at every try."""
    params = {**SMALL.get(scheme, {}), **get_scheme(scheme).fill}
    world = World(seed=3, letters=2, depth=2, goal=2.0, refuting=0.3)
    trace = run(make_strategy(scheme, params), world, limit=3000)
    assert trace.asked[-1] == []


@pytest.mark.parametrize("scheme", [*MINE, "mcts"])
def test_a_filled_search_gives_up_on_a_model_that_never_answers(scheme: str) -> None:
    params = {**SMALL.get(scheme, {}), **get_scheme(scheme).fill}
    trace = run(make_strategy(scheme, params), World(breaking=1.0), limit=300)
    assert trace.asked[-1] == []


@pytest.mark.parametrize("scheme", MINE)
def test_raw_parameters_ask_a_generator_for_nothing_but_steps_and_finishing(scheme: str) -> None:
    params = {**SMALL[scheme], **get_scheme(scheme).raw}
    strategy, world = make_strategy(scheme, params), World(seed=2, goal=2.0)
    state: Any = strategy.start(ROOT)
    asked: list[Request] = []
    while len(asked) < 100:
        requests, state = strategy.ask(state, 3)
        if not requests:
            break
        asked += requests
        state = strategy.tell(state, [world.do(request) for request in requests])
    assert {r.action for r in asked if r.grows} <= {"", "finish"}
    assert {r.action for r in asked if not r.grows} <= {"discriminate"}
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.text is not None


@pytest.mark.parametrize("scheme", MINE)
def test_the_log_holds_no_operator_that_the_row_does_not_list(scheme: str) -> None:
    strategy, world = make_strategy(scheme, SMALL[scheme]), World(seed=6, goal=2.0, refuting=0.3)
    trace = run(strategy, world)
    logged = {operation.operator for operation in trace.state.operations}
    assert logged == set(get_scheme(scheme).operators)
