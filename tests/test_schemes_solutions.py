"""Searches over whole solutions: LLaMA-Berry's ranking and values, AB-MCTS' posteriors and back-up, by hand."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import defaults, get_scheme, make_strategy
from thoughtgraph.graph.strategies.borda import Preferences, global_values, local_value
from thoughtgraph.graph.strategies.posteriors import (
    NOTHING,
    Beta,
    Gaussian,
    Scores,
    fit_mixed,
    half_normal_grid,
)
from thoughtgraph.graph.strategies.tree import ROOT

from .search_world import World, run

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


def attempt(name: str, request: Request, answer: str | None = "1") -> Thought:
    """Return a whole solution that came of a request."""
    return Thought(
        name,
        request.subjects,
        request.operator,
        f"solution {name}",
        1,
        request=request.id,
        terminal=answer is not None,
        answer=answer,
        key=answer,
        whole=True,
    )


def solved(request: Request, name: str, score: float | None = None, answer: str | None = "1") -> Outcome:
    """Return the outcome of a request for one solution, scored as a whole or not at all."""
    verdicts = () if score is None else (Evaluation(name, "value", "v", score, request=request.id),)
    return Outcome(request, (attempt(name, request, answer),), verdicts)


def compared(request: Request, preference: float | None) -> Outcome:
    """Return the outcome of a comparison; None for a failed one."""
    error = "unreadable" if preference is None else None
    verdict = Evaluation(
        request.subjects[0], "preference", "judge", preference, error=error, request=request.id
    )
    return Outcome(request, (), (verdict,))


# --- the enhanced Borda count ---


def test_closure_and_borda_ranks_of_four_solutions() -> None:
    """Known: 1 ≻ 2, 2 ≻ 3, 3 ≻ 4. Closure: 1 beats 2, 3, 4; 2 beats 3, 4; 3 beats 4. Borda 3, 2, 1, 0; Q_g 1, 2/3, 1/3, 0."""
    preferences = Preferences()
    for first, second, p in ((1, 2, 0.8), (4, 3, 0.1), (2, 3, 0.7)):
        preferences.add(first, second, p)
    assert preferences.counts([4, 3, 2, 1]) == {1: 3, 2: 2, 3: 1, 4: 0}
    order = preferences.order([4, 3, 2, 1])
    assert order == [1, 2, 3, 4]
    assert list(global_values(order).values()) == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0])


def test_a_cycle_is_decided_by_soft_preferences() -> None:
    """1 ≻ 2 (.9), 2 ≻ 3 (.6), 3 ≻ 1 (.7), 3 ≻ 4 (.8): 1, 2, 3 beat each other and 4, so each beats 3; 4 beats none.

    Margins Σ 2P - 1 among the equals: 1: .8 - .4 = .4;  2: -.8 + .2 = -.6;  3: -.2 + .4 = .2. Order 1, 3, 2, 4.
    """
    preferences = Preferences()
    for first, second, p in ((1, 2, 0.9), (2, 3, 0.6), (3, 1, 0.7), (3, 4, 0.8)):
        preferences.add(first, second, p)
    assert preferences.beats(1, 1)  # the closure of a cycle says so, the count leaves it out
    assert preferences.counts([1, 2, 3, 4]) == {1: 3, 2: 3, 3: 3, 4: 0}
    assert preferences.order([1, 2, 3, 4]) == [1, 3, 2, 4]


def test_two_equals_are_decided_by_their_comparison_and_an_even_one_by_order() -> None:
    preferences = Preferences()
    preferences.add(1, 2, 0.5)
    assert preferences.beats(1, 2)
    assert preferences.beats(2, 1)
    assert preferences.order([2, 1]) == [2, 1]
    assert preferences.order([1, 2]) == [1, 2]
    assert Preferences().order([5, 3]) == [5, 3]
    assert global_values([7]) == {7: 1.0}
    assert global_values([]) == {}


def test_the_first_comparison_of_a_pair_counts() -> None:
    preferences = Preferences()
    preferences.add(1, 2, 0.9)
    preferences.add(2, 1, 0.9)
    assert preferences.order([2, 1]) == [1, 2]


def test_the_local_value_is_the_share_of_children_beaten_unless_printed() -> None:
    """1 beats child 2, is beaten by children 3 and 4: won 1/3; as printed, Σ_u C[u, 1] / 3 = 2/3."""
    preferences = Preferences()
    for child, p in ((2, 0.9), (3, 0.2), (4, 0.4)):
        preferences.add(1, child, p)
    assert local_value(preferences, 1, [2, 3, 4]) == pytest.approx(1 / 3)
    assert local_value(preferences, 1, [2, 3, 4], printed=True) == pytest.approx(2 / 3)


PAIRS = list(itertools.combinations(range(6), 2))


@given(
    values=st.lists(
        st.none() | st.sampled_from([0.0, 0.3, 0.5, 0.6, 1.0]), min_size=len(PAIRS), max_size=len(PAIRS)
    ),
    order=st.permutations(range(len(PAIRS))),
)
def test_the_closure_is_that_of_floyd_and_warshall_in_any_order(
    values: list[float | None], order: list[int]
) -> None:
    preferences = Preferences()
    wins = [[False] * 6 for _ in range(6)]
    for i in order:
        (a, b), p = PAIRS[i], values[i]
        if p is not None:
            preferences.add(a, b, p)
            wins[a][b], wins[b][a] = p >= 0.5, p <= 0.5
    for k, i, j in itertools.product(range(6), repeat=3):
        wins[i][j] = wins[i][j] or (wins[i][k] and wins[k][j])
    for i, j in itertools.product(range(6), repeat=2):
        assert preferences.beats(i, j) == wins[i][j]


# --- LLaMA-Berry ---


def berry(**params: object) -> tuple[Any, Any]:
    strategy = make_strategy("llama_berry", params)
    return strategy, strategy.start(QUESTION)


def grown_berry(**params: object) -> tuple[Any, Any]:
    """Return a search with S; A and B made from S; A ≻ S (.8), B ≺ A (.3), B ≻ S (.6)."""
    strategy, state = berry(**params)
    (start,), state = strategy.ask(state, 4)
    state = strategy.tell(state, [solved(start, "S")])
    (first, second), state = strategy.ask(state, 4)
    state = strategy.tell(state, [solved(first, "A")])
    (one,), state = strategy.ask(state, 4)
    state = strategy.tell(state, [compared(one, 0.8)])
    state = strategy.tell(state, [solved(second, "B")])
    (two, three), state = strategy.ask(state, 2)
    assert two.subjects == ("B", "A")
    assert three.subjects == ("B", "S")
    state = strategy.tell(state, [compared(three, 0.6), compared(two, 0.3)])
    return strategy, state


def test_the_first_solution_is_a_search_of_its_own_and_then_rewritten() -> None:
    strategy, state = berry(temperature=0.9)
    (start,), state = strategy.ask(state, 4)
    assert start.horizon == "solution"
    assert start.nested is not None
    assert (start.nested.scheme, start.nested.params, start.nested.share) == (
        "cot",
        (("temperature", 0.9),),
        1.0,
    )
    state = strategy.tell(state, [solved(start, "S")])
    assert state.tree.value(1) == pytest.approx(1.0)  # n = 1
    requests, state = strategy.ask(state, 4)
    assert [(r.operator, r.action, r.subjects, r.first_sample) for r in requests] == [
        (Operator.REFINE, "feedback", ("S",), 0),
        (Operator.REFINE, "feedback", ("S",), 1),
    ]


def test_values_and_backup_by_hand() -> None:
    """After A ≻ S: Q_g(A) = 1, Q_g(S) = 0. Q(A) = 1. S beats none of its children: Q_l = 0, so .9 · 0 + .1 · 0 = 0; backup: .9 · 0 + .1 · Q(A) = .1.

    With B in between: Q_g 1, .5, 0. Q(B) = .9 · .5 + .1 · .5 = .5; Q(S) = .9 · (.1 · 1) + .1 · .5 = .14.
    As printed, Q_l(S) = 2/2 = 1: base .1, then .9 · .1 + .1 = .19, then .9 · .19 + .05 = .221.
    """
    _, state = grown_berry()
    tree = state.tree
    value = {name: tree.value(tree.index[name]) for name in "SAB"}
    assert value == {"S": pytest.approx(0.14), "A": pytest.approx(1.0), "B": pytest.approx(0.5)}
    assert [tree.visits[tree.index[name]] for name in ("root", *"SAB")] == [3, 3, 1, 1]
    _, state = grown_berry(local="printed")
    assert state.tree.value(state.tree.index["S"]) == pytest.approx(0.221)
    _, state = grown_berry(gamma=0.5, alpha=0.5)
    # Q(A) = 1, Q(B) = .5; Q(S): 0 → .5 · 1 = .5 → .25 + .25 = .5
    assert state.tree.value(state.tree.index["S"]) == pytest.approx(0.5)


def test_a_fully_explored_solution_is_passed_over_and_uct_decides() -> None:
    """S has two children and a better one. N(S) = 3: A 1 + 1.4 √ln 3 against B .5 + 1.4 √ln 3, so A.

    With A under way: A 1/2 + 1.4 √(ln 4 / 2) = 1.67, B .5 + 1.4 √ln 4 = 2.15, so B; then both have one: A again, B again; then
    everything is under way.
    """
    strategy, state = grown_berry(n=100)
    explored = [op for op in state.operations if op.operator is Operator.PRUNE]
    assert [(op.subjects, op.detail["reason"]) for op in explored] == [(("S",), "explored")]
    requests, state = strategy.ask(state, 8)
    assert [request.subjects for request in requests] == [("A",), ("B",), ("A",), ("B",)]
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.thought, answer.score) == ("A", pytest.approx(1.0))


def test_a_failed_comparison_is_unknown() -> None:
    strategy, state = berry(max_child=1)
    (start,), state = strategy.ask(state, 1)
    state = strategy.tell(state, [solved(start, "S")])
    (again,), state = strategy.ask(state, 1)
    state = strategy.tell(state, [solved(again, "A")])
    (compare,), state = strategy.ask(state, 1)
    assert (compare.operator, compare.action, compare.n) == (Operator.EVALUATE, "compare", 1)
    state = strategy.tell(state, [compared(compare, None)])
    assert [state.tree.value(node) for node in (1, 2)] == [None, None]
    assert not state.memory.preferences.soft
    assert state.tree.flags[2] == state.tree.flags[1]  # not even marked as failed: it is about two thoughts
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.text, answer.score) == ("1", None)
    assert strategy.ask(state, 1)[0]


def test_a_new_solution_is_compared_with_the_best_ranked_and_each_pair_once() -> None:
    world = World(seed=3, goal=2.0)
    trace = run(make_strategy("llama_berry", {"n": 12, "max_compared": 3, "starts": 2}), world, k=1)
    pairs = [frozenset(o.request.subjects) for o in trace.told if o.request.action == "compare"]
    assert len(pairs) == len(set(pairs)) == 0 + 1 + 2 + 9 * 3
    made = [o for o in trace.told if o.request.grows]
    assert len(made) == 12
    assert [o.request.nested is not None for o in made] == [True] * 2 + [False] * 10


def test_what_a_rule_refuted_is_not_compared_but_may_be_rewritten() -> None:
    strategy, state = berry(starts=2)
    first, second = strategy.ask(state, 2)[0]
    rejected = Evaluation("S", "rule", "r", 0.0, request=first.id)
    state = strategy.tell(state, [Outcome(first, (attempt("S", first),), (rejected,)), solved(second, "T")])
    requests, state = strategy.ask(state, 8)
    assert {request.operator for request in requests} == {Operator.REFINE}
    assert {request.subjects for request in requests} == {("S",), ("T",)}
    assert state.tree.value(state.tree.index["S"]) == 0.0
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.thought == "T"


def test_chains_that_another_scheme_drew_are_first_solutions() -> None:
    strategy, state = berry()
    request = Request(Operator.GENERATE, ("root",), n=2, horizon="answer", distinct=False)
    steps = [
        Thought("a1", ("root",), Operator.GENERATE, "a1", 1),
        Thought("a2", ("a1",), Operator.GENERATE, "a2", 2, terminal=True, answer="1", key="1"),
        Thought("b1", ("root",), Operator.GENERATE, "b1", 1, sample=1),
    ]
    state = strategy.tell(state, [Outcome(request, tuple(steps))])
    requests, state = strategy.ask(state, 8)
    assert [(r.operator, r.subjects, r.first_sample) for r in requests] == [
        (Operator.REFINE, ("a2",), 0),
        (Operator.REFINE, ("a2",), 1),
    ]
    assert state.memory.attempts.drawn == 2


def test_llama_berry_names_what_it_needs() -> None:
    scheme = get_scheme("llama_berry")
    values = defaults("llama_berry")
    assert scheme.needs(values) >= {"compare", "feedback"}
    assert "feedback" not in scheme.needs({**values, **scheme.raw})
    with pytest.raises(UnknownNameError, match="scheme 'cott'"):
        make_strategy("llama_berry", {"inner": "cott"})
    with pytest.raises(UserError, match="never comes to a first solution"):
        make_strategy("llama_berry", {"inner": "llama_berry"})


# --- posteriors ---


def seen(*values: float) -> Scores:
    """Return these scores, summed up."""
    scores = Scores()
    for value in values:
        scores.add(value)
    return scores


def test_the_gaussian_posterior_by_hand() -> None:
    """Scores .2, .6: n = 2, x̄ = .4, Σ(x - x̄)² = .04 + .04 = .08.

    κ' = 3, ν' = 3, m' = (0 + .8) / 3 = .26667; ν'τ'² = .1 + .08 + 2 · 1 · .16 / 3 = .286667, τ'² = .0955556.
    """
    after = Gaussian().after(seen(0.2, 0.6))
    assert (after.kappa, after.nu) == (3.0, 3.0)
    assert after.m == pytest.approx(0.8 / 3)
    assert after.tau2 == pytest.approx(0.0955555556)
    assert Gaussian().after(NOTHING) == Gaussian(0.0, 1.0, 1.0, 0.1)


def test_the_beta_posterior_by_hand() -> None:
    """Beta(½, ½) after .2 and .6: a = ½ + .8, b = ½ + .8 + .4 = 1.7; mean 1.3 / 3."""
    after = Beta().after(seen(0.2, 0.6))
    assert (after.a, after.b) == (pytest.approx(1.3), pytest.approx(1.7))
    assert after.mean == pytest.approx(1.3 / 3)


def test_a_score_that_is_taken_back_leaves_nothing() -> None:
    scores = seen(0.1, 0.7)
    scores.remove(0.1)
    scores.remove(0.7)
    assert scores == NOTHING


SCORES = st.lists(st.floats(0, 1), max_size=12)


@given(values=SCORES.filter(bool))
def test_the_posterior_mean_lies_between_prior_and_data(values: list[float]) -> None:
    scores = seen(*values)
    for prior in (Gaussian(), Beta()):
        low, high = sorted((prior.mean, scores.mean))
        assert low - 1e-9 <= prior.after(scores).mean <= high + 1e-9


@given(groups=st.lists(SCORES, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_the_mixed_models_means_lie_between_prior_and_data(groups: list[list[float]]) -> None:
    all_seen = [seen(*values) for values in groups]
    fit = fit_mixed(all_seen, cells=6)
    means = [0.5, *(scores.mean for scores in all_seen if scores.n)]
    for scores in (NOTHING, *all_seen):
        assert min(means) - 1e-9 <= fit.mean(scores) <= max(means) + 1e-9


def test_draws_have_the_posteriors_mean_and_spread() -> None:
    """μ ~ t with ν' degrees of freedom: variance τ'²/κ' · ν'/(ν' - 2); a next score's variance is (1 + 1/κ') τ'² ν'/(ν' - 2)."""
    scores = seen(*(0.1 * i for i in range(10)))
    for predictive in (False, True):
        after = Gaussian(predictive=predictive).after(scores)
        rng = random.Random(5)
        n = 20_000
        draws = [after.draw(rng) for _ in range(n)]
        spread = (1 / after.kappa + predictive) * after.tau2 * after.nu / (after.nu - 2)
        mean = sum(draws) / n
        assert abs(mean - after.m) < 5 * math.sqrt(spread / n)
        # the variance of a sample variance of a t with ν = 11: kurtosis 3 + 6/(ν - 4), so sd = spread √((2 + 6/7) / n)
        variance = sum((x - mean) ** 2 for x in draws) / n
        assert abs(variance - spread) < 5 * spread * math.sqrt((2 + 6 / 7) / n)


def test_the_mixed_model_is_what_direct_integration_gives() -> None:
    """Groups (.2, .4) and (.9), a grid of 2 × 2 deviations: integrate μ, α_1 and α_2 numerically, 61 points each, and compare E[α_1 | scores]."""
    first, second = (0.2, 0.4), (0.9,)
    fit = fit_mixed([seen(*first), seen(*second)], cells=2)
    points = [-1.0 + 3.0 * i / 60 for i in range(61)]

    def normal(x: float, mean: float, sd: float) -> float:
        return math.exp(-0.5 * ((x - mean) / sd) ** 2) / sd

    total = weighted = 0.0
    for sa in half_normal_grid(0.2, 2):
        for sy in half_normal_grid(0.3, 2):
            given_alpha = [math.prod(normal(y, a, sy) for y in first) for a in points]
            given_other = [math.prod(normal(y, a, sy) for y in second) for a in points]
            for mu in points:
                prior = normal(mu, 0.5, 0.2)
                spread = [normal(a, mu, sa) for a in points]
                other = sum(p * q for p, q in zip(spread, given_other, strict=True))
                own = [p * q for p, q in zip(spread, given_alpha, strict=True)]
                total += prior * other * sum(own)
                weighted += prior * other * sum(a * p for a, p in zip(points, own, strict=True))
    assert fit.mean(seen(*first)) == pytest.approx(weighted / total, abs=1e-3)


def test_the_grid_is_fine_enough() -> None:
    groups = [seen(0.1, 0.2, 0.15), seen(0.9), seen(0.5, 0.6), seen(0.4, 0.4, 0.4, 0.5)]
    usual, fine = fit_mixed(groups), fit_mixed(groups, cells=120)
    for scores in (NOTHING, *groups):
        assert usual.mean(scores) == pytest.approx(fine.mean(scores), abs=0.005)


def test_the_mixed_model_without_scores_is_the_prior() -> None:
    """μ ~ N(.5, .2); a new score's variance is .04 + .04 + .09 = .17 for half-normals' mean squares .2² and .3²."""
    fit = fit_mixed([])
    assert fit.mean(NOTHING) == pytest.approx(0.5)
    rng = random.Random(3)
    n = 20_000
    draws = [fit.draw(NOTHING, rng) for _ in range(n)]
    mean = sum(draws) / n
    assert mean == pytest.approx(0.5, abs=5 * math.sqrt(0.17 / n))
    # the grid cuts the half-normals' tails: a few percent of the variance
    assert sum((x - mean) ** 2 for x in draws) / n == pytest.approx(0.17, rel=0.06)


def test_many_equal_groups_of_equal_scores_stay_finite() -> None:
    fit = fit_mixed([seen(*[1.0] * 50) for _ in range(200)])
    assert fit.mean(seen(*[1.0] * 50)) == pytest.approx(1.0, abs=0.01)
    assert math.isfinite(fit.draw(NOTHING, random.Random(1)))


# --- AB-MCTS ---


def chain_of_three(scheme: str, **params: object) -> tuple[Any, Any]:
    """Return a search with X (.5) at the root, Y (.9) made from X, Z (.1) made from Y."""
    strategy = make_strategy(scheme, params)
    state = strategy.start(QUESTION)
    for name, parent, score in (("X", "root", 0.5), ("Y", "X", 0.9), ("Z", "Y", 0.1)):
        operator = Operator.GENERATE if parent == "root" else Operator.REFINE
        request = Request(operator, (parent,), horizon="solution", distinct=False)
        state = strategy.tell(state, [solved(request, name, score)])
    return strategy, state


def scores_of(arms: dict[int, Scores], tree: Any, name: str) -> tuple[int, float]:
    found = arms.get(tree.index[name], NOTHING)
    return found.n, round(found.total, 9)


@pytest.mark.parametrize("scheme", ["ab_mcts_a", "ab_mcts_m"])
def test_the_backup_by_hand(scheme: str) -> None:
    """Z's .1 counts for GEN of Y, its own arm, the arms of Y and X, and CONT of X and of the root; GEN of X and of the root are not touched."""
    _, state = chain_of_three(scheme)
    arms, tree = state.memory, state.tree
    assert [scores_of(arms.fresh, tree, n) for n in ("root", "X", "Y")] == [(1, 0.5), (1, 0.9), (1, 0.1)]
    assert [scores_of(arms.below, tree, n) for n in "XYZ"] == [(3, 1.5), (2, 1.0), (1, 0.1)]
    assert [scores_of(arms.continued, tree, n) for n in ("root", "X", "Y")] == [(2, 1.0), (1, 0.1), (0, 0.0)]
    assert (tree.value(tree.index["X"]), tree.visits[ROOT]) == (pytest.approx(0.5), 3)


def test_a_judgement_that_comes_late_moves_all_arms() -> None:
    strategy, state = chain_of_three("ab_mcts_m")
    late = Request(Operator.EVALUATE, ("Z",), n=0)
    state = strategy.tell(state, [Outcome(late, (), (Evaluation("Z", "value", "v2", 0.5, request=late.id),))])
    arms, tree = state.memory, state.tree
    assert scores_of(arms.below, tree, "X") == (3, 1.7)  # (.1 + .5) / 2 = .3 in place of .1
    assert scores_of(arms.continued, tree, "root") == (2, 1.2)
    assert arms.equal[tree.index["Y"]] == {90: 1, 10: 0, 30: 1}


def test_an_attempt_without_a_score_is_drawn_but_observed_as_nothing() -> None:
    strategy = make_strategy("ab_mcts_a", {"n": 2})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 1)
    assert (request.operator, request.subjects, request.horizon) == (
        Operator.GENERATE,
        ("root",),
        "solution",
    )
    state = strategy.tell(state, [solved(request, "X")])
    assert not state.memory.own
    assert not state.memory.fresh
    (request,), state = strategy.ask(state, 1)
    state = strategy.tell(state, [Outcome(request, error="the model failed")])
    assert strategy.ask(state, 1)[0] == []
    assert state.memory.attempts.drawn == 2


def test_a_refuted_attempt_scored_nothing() -> None:
    strategy = make_strategy("ab_mcts_a")
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 1)
    verdict = Evaluation("X", "rule", "r", 0.0, request=request.id)
    state = strategy.tell(state, [Outcome(request, (attempt("X", request),), (verdict,))])
    assert state.memory.own == {1: 0.0}


def test_a_good_answer_is_gone_deeper_from_and_bad_ones_are_left() -> None:
    """At the root: GEN saw 29 × .1 and .95, so μ ~ .124 ± .03; CONT saw 20 × .95, so μ ~ .905 ± .05: CONT all but surely draws more.

    Among the answers, each that scored .1 draws from t with 2 degrees of freedom around .05 ± .16, and 29 of them together draw above .9
    about half the time.
    """
    strategy = make_strategy("ab_mcts_a", {"n": 1000})
    state = strategy.start(QUESTION)
    for i in range(30):
        request = Request(Operator.GENERATE, ("root",), first_sample=i, horizon="solution", distinct=False)
        state = strategy.tell(state, [solved(request, f"g{i}", 0.95 if i == 7 else 0.1)])
    for i in range(20):
        request = Request(Operator.REFINE, ("g7",), first_sample=i, horizon="solution", distinct=False)
        state = strategy.tell(state, [solved(request, f"r{i}", 0.95)])
    requests, state = strategy.ask(state, 20)
    assert {request.operator for request in requests} == {Operator.REFINE}
    family = [request for request in requests if request.subjects[0] == "g7" or request.subjects[0][0] == "r"]
    assert len(family) >= 8


def test_a_subtree_of_equal_scores_is_pruned() -> None:
    """Below X: .5 .5 .5 and .9: 3 of 4 are equal, which is 75 %; with one .7 more, 3 of 5 are 60 %, and X competes again."""
    strategy = make_strategy("ab_mcts_m", {"n": 100})
    state = strategy.start(QUESTION)
    told = [("X", "root", 0.501), ("a", "X", 0.5), ("b", "a", 0.499), ("c", "X", 0.9)]
    for i, (name, parent, score) in enumerate(told):
        operator = Operator.GENERATE if parent == "root" else Operator.REFINE
        request = Request(operator, (parent,), first_sample=i, horizon="solution", distinct=False)
        state = strategy.tell(state, [solved(request, name, score)])
    assert state.memory.pruned == {state.tree.index["X"]}
    notes = [op for op in state.operations if op.operator is Operator.PRUNE]
    assert [(op.subjects, op.detail["scores"]) for op in notes] == [(("X",), 4)]
    requests, state = strategy.ask(state, 5)
    assert {request.subjects for request in requests} == {("root",)}
    request = Request(Operator.REFINE, ("X",), first_sample=9, horizon="solution", distinct=False)
    state = strategy.tell(state, [solved(request, "d", 0.7)])
    assert not state.memory.pruned


@pytest.mark.parametrize("scheme", ["ab_mcts_a", "ab_mcts_m"])
def test_the_agent_whose_attempts_score_higher_makes_the_next(scheme: str) -> None:
    strategy = make_strategy(scheme, {"n": 1000, "arms": "second, third"})
    state = strategy.start(QUESTION)
    for agent, score in (("", 0.2), ("second", 0.8), ("third", 0.2)):
        for i in range(30):
            request = Request(
                Operator.GENERATE,
                ("root",),
                first_sample=i,
                horizon="solution",
                distinct=False,
                agent=agent,
            )
            jitter = 0.01 * (i % 5)
            state = strategy.tell(state, [solved(request, f"{agent}{i}", score + jitter)])
    assert state.memory.agents["second"].mean == pytest.approx(0.82)
    requests, state = strategy.ask(state, 20)
    assert [request.agent for request in requests].count("second") >= 18


def test_every_arm_is_tried_where_nothing_is_known() -> None:
    strategy = make_strategy("ab_mcts_a", {"arms": "second,third"})
    requests, _ = strategy.ask(strategy.start(QUESTION), 30)
    assert {request.agent for request in requests} == {"", "second", "third"}


def test_ab_mcts_is_a_tree_since_no_run_is_inside_a_thought() -> None:
    assert {get_scheme(name).structure for name in ("ab_mcts_a", "ab_mcts_m")} == {"tree"}


def test_ab_mcts_names_what_it_needs() -> None:
    for name in ("ab_mcts_a", "ab_mcts_m"):
        values = {**defaults(name), "arms": "second,generator"}
        assert get_scheme(name).needs(values) == {"scores", "agent:second"}
        assert get_scheme(name).needs(defaults(name)) == {"scores"}
        for arms in ("a,,b", "a,a", ","):
            with pytest.raises(UserError, match="not a list of different names"):
                make_strategy(name, {"arms": arms})
    with pytest.raises(UserError, match="draw=score is for the Gaussian prior"):
        make_strategy("ab_mcts_a", {"prior": "beta", "draw": "score"})


def test_another_seed_searches_another_way() -> None:
    world = World(seed=4, goal=2.0)
    asked = [run(make_strategy("ab_mcts_a", {"n": 40}, seed=seed), world).asked for seed in (0, 1)]
    assert asked[0] != asked[1]


def test_requests_that_overtake_each_other_never_share_a_sample() -> None:
    strategy = make_strategy("ab_mcts_a", {"n": 50})
    state = strategy.start(QUESTION)
    flight, state = strategy.ask(state, 4)
    asked = {request.id for request in flight}
    rng = random.Random(0)
    for i in range(40):
        arrived = flight.pop(rng.randrange(len(flight)))
        state = strategy.tell(state, [solved(arrived, f"s{i}", 0.3)])
        new, state = strategy.ask(state, 1)
        assert not asked & {request.id for request in new}
        asked |= {request.id for request in new}
        flight += new
    assert len(asked) == 44


# --- the operator log ---


@pytest.mark.parametrize("name", ["llama_berry", "ab_mcts_a", "ab_mcts_m"])
def test_the_rows_operators_are_those_logged(name: str) -> None:
    logged: set[Operator] = set()
    for seed in range(4):
        world = World(seed=seed, goal=2.0, refuting=0.2, kinds=("value", "outcome"))
        trace = run(make_strategy(name, {"n": 25}), world)
        logged |= {op.operator for op in trace.state.operations}
    assert logged == set(get_scheme(name).operators)
