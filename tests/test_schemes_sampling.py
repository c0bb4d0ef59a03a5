"""Particles and adaptive self-consistency: weights, draws and stopping rules by hand."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.ids import derive_rng
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import defaults, get_scheme, make_strategy
from thoughtgraph.graph.strategies.particles import Resampling, logit, resample, weights
from thoughtgraph.graph.strategies.posteriors import beta_lead, dirichlet_lead

from .search_world import ROOT as START
from .search_world import World, run

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


def stepped(request: Request, *made: tuple[str, float | None, str | None]) -> Outcome:
    """Return the outcome of a step request: names with scores and, of finished ones, answers."""
    thoughts = [
        Thought(
            name,
            request.subjects,
            Operator.GENERATE,
            name,
            1,
            request=request.id,
            sample=request.first_sample + i,
            terminal=answer is not None,
            answer=answer,
            key=answer,
        )
        for i, (name, _, answer) in enumerate(made)
    ]
    verdicts = [
        Evaluation(name, "step", "v", score, request=request.id)
        for name, score, _ in made
        if score is not None
    ]
    return Outcome(request, tuple(thoughts), tuple(verdicts))


# --- weights ---


def test_weights_by_hand() -> None:
    """exp(logit s) is the odds: .9 → 9, .5 → 1, .1 → 1/9; they sum to 91/9. At T = 2 their roots 3, 1, 1/3 sum to 13/3."""
    assert weights([0.9, 0.5, 0.1], [1, 1, 1]) == pytest.approx([81 / 91, 9 / 91, 1 / 91])
    assert weights([0.9, 0.5, 0.1], [1, 1, 1], 2.0) == pytest.approx([9 / 13, 3 / 13, 1 / 13])
    # two particles at the second thought weigh twice: 9, 2, 1/9 of 100/9
    assert weights([0.9, 0.5, 0.1], [1, 2, 1]) == pytest.approx([0.81, 0.18, 0.01])
    assert logit(0.5) == 0.0


def test_scores_of_0_and_1_are_clipped() -> None:
    """Odds 10⁷ - 1 and 1 / (10⁷ - 1)."""
    assert logit(1.0) == pytest.approx(math.log(1e7 - 1))
    assert logit(0.0) == pytest.approx(-logit(1.0))
    assert weights([1.0, 1.0, 0.0], [1, 1, 1]) == pytest.approx([0.5, 0.5, 0.0], abs=1e-9)


def test_an_unscored_particle_weighs_nothing_beside_scored_ones() -> None:
    assert weights([None, 0.2, None], [3, 1, 1]) == [0.0, 1.0, 0.0]
    assert weights([None, None], [3, 1]) == [0.75, 0.25]


@given(
    scores=st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=8),
    temperature=st.floats(0.01, 100),
)
def test_weights_are_shares_and_rise_with_the_score(scores: list[float | None], temperature: float) -> None:
    parts = weights(scores, [1] * len(scores), temperature)
    assert sum(parts) == pytest.approx(1.0)
    pairs = sorted((s, p) for s, p in zip(scores, parts, strict=True) if s is not None)
    assert all(p <= q + 1e-12 for (_, p), (_, q) in itertools.pairwise(pairs))


class Fixed(random.Random):
    """Draws the same number always."""

    def random(self) -> float:
        return 0.6


def test_systematic_draws_by_hand() -> None:
    """Points (.6 + i) / 4 = .15, .4, .65, .9 on the sum .5, .8, 1: two, one, one."""
    assert resample([0.5, 0.3, 0.2], 4, Fixed(), "systematic") == [2, 1, 1]
    # a part of 0 is never drawn, even at the end of the line, where the sum may fall short of 1
    assert resample([0.0, 1.0 - 1e-12, 0.0], 4, Fixed(), "systematic") == [0, 4, 0]


@pytest.mark.parametrize("how", ["multinomial", "systematic"])
def test_drawing_is_unbiased(how: Resampling) -> None:
    """Each count has mean n p and, drawn independently, variance n p (1 - p); systematically, no more than ¼. Five standard errors over 4,000 seeds."""
    parts, n, seeds = [0.05, 0.4, 0.3, 0.25, 0.0], 7, 4000
    totals = [0] * len(parts)
    for seed in range(seeds):
        counts = resample(parts, n, derive_rng(seed, "x"), how)
        assert sum(counts) == n
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        if how == "systematic":
            assert all(abs(c - n * p) < 1.0 for c, p in zip(counts, parts, strict=True))
    for total, p in zip(totals, parts, strict=True):
        variance = n * p * (1 - p) if how == "multinomial" else 0.25
        assert abs(total / seeds - n * p) <= 5 * math.sqrt(variance / seeds) + 1e-12


# --- the filter ---


def test_a_round_by_hand() -> None:
    """Scores .9, .1, .5 and an unfinished particle that nobody scored: parts 81/91, 1/91, 9/91 and 0. Systematic draws from the seed's number."""
    strategy = make_strategy("particle_filter", {"n": 4, "resampling": "systematic"}, seed=3)
    state = strategy.start(QUESTION)
    requests, state = strategy.ask(state, 8)
    assert [(r.subjects, r.n, r.first_sample, r.horizon, r.distinct) for r in requests] == [
        (("root",), 4, 0, "step", False)
    ]
    made = (("a", 0.9, None), ("b", 0.1, None), ("c", 0.5, None), ("d", None, None))
    state = strategy.tell(state, [stepped(requests[0], *made)])
    offset = derive_rng(3, "resample", 0, 1).random()
    sums = {"a": 81 / 91, "b": 82 / 91, "c": 1.0}
    drawn = Counter(next(n for n, s in sums.items() if (i + offset) / 4 < s) for i in range(4))
    requests, state = strategy.ask(state, 8)
    assert {r.subjects[0]: r.n for r in requests} == drawn
    pruned = [op.subjects[0] for op in state.operations if op.operator is Operator.PRUNE]
    assert set(pruned) == {"a", "b", "c", "d"} - set(drawn)


def test_finished_particles_stay_and_compete() -> None:
    """.9999 finished against .5: odds 9999 to 1; all four places go to the finished one, and the search is over."""
    strategy = make_strategy("particle_filter", {"n": 4})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    made = (("a", 0.9999, "7"), ("b", 0.5, None), ("c", None, None), ("d", None, "8"))
    state = strategy.tell(state, [stepped(request, *made)])
    assert strategy.ask(state, 8)[0] == []
    assert state.memory.particles == {state.tree.index["a"]: 4}
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.text, answer.score) == ("7", 0.9999)


def test_the_vote_counts_particles() -> None:
    """Nobody is scored, so nobody is preferred: whatever is drawn, a vote counts the copies in the population."""
    strategy = make_strategy("particle_filter", {"n": 30, "select": "majority"}, seed=1)
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    made = [(f"p{i}", None, str(i % 3)) for i in range(30)]
    state = strategy.tell(state, [stepped(request, *made)])
    held = Counter[str]()
    for node, copies in state.memory.particles.items():
        held[state.tree.thought[node].answer or ""] += copies
    assert sum(held.values()) == 30
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.text == held.most_common(1)[0][0]
    assert answer.score == pytest.approx(max(held.values()) / 30)


def test_a_failed_request_loses_its_particles_and_the_others_fill_their_places() -> None:
    strategy = make_strategy("particle_filter", {"n": 6, "resampling": "systematic"})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    made = [(f"p{i}", 0.5, None) for i in range(6)]
    state = strategy.tell(state, [stepped(request, *made)])
    requests, state = strategy.ask(state, 8)
    assert [r.n for r in requests] == [1] * 6
    state = strategy.tell(state, [Outcome(r, error="the model failed") for r in requests[1:]])
    assert strategy.ask(state, 8)[0] == []
    state = strategy.tell(state, [stepped(requests[0], ("q", 0.5, None))])
    (request,), state = strategy.ask(state, 8)
    assert (request.subjects, request.n) == (("q",), 6)
    state = strategy.tell(state, [Outcome(request, error="the model failed")])
    assert strategy.ask(state, 8)[0] == []
    assert state.memory.over


@pytest.mark.parametrize("scheme", ["particle_filter", "particle_gibbs"])
@given(seed=st.integers(0, 999), n=st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_multiplicities_sum_to_the_number_of_particles(scheme: str, seed: int, n: int) -> None:
    world = World(seed=seed, goal=2.0, refuting=0.1, failing=0.1, depth=4)
    strategy = make_strategy(scheme, {"n": n}, seed=seed)
    state = strategy.start(START)
    while True:
        requests, state = strategy.ask(state, 3)
        swarm = state.memory
        assert sum(swarm.population().values()) in (0, n)
        if not requests:
            break
        for request in requests:
            assert request.n == swarm.particles[state.tree.index[request.subjects[0]]]
        state = strategy.tell(state, [world.do(request) for request in requests])


def test_the_reference_is_kept_and_free_particles_may_follow_it() -> None:
    """n = 3, one reference: the first path has the only scores, so it is drawn for sure, and everyone follows it in the second iteration too."""
    strategy = make_strategy("particle_gibbs", {"n": 3, "iterations": 2, "references": 1})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    assert request.n == 3
    state = strategy.tell(state, [stepped(request, ("a", 0.9, None), ("b", None, None), ("c", None, None))])
    (request,), state = strategy.ask(state, 8)
    assert (request.subjects, request.n) == (("a",), 3)
    state = strategy.tell(state, [stepped(request, ("a1", 0.9, "1"), ("a2", None, "2"), ("a3", None, "3"))])
    tree = state.tree
    assert state.memory.iteration == 1
    assert state.memory.references == [[0, tree.index["a"], tree.index["a1"]]]
    (request,), state = strategy.ask(state, 8)
    assert (request.subjects, request.n, request.first_sample) == (("root",), 2, 3)
    state = strategy.tell(state, [stepped(request, ("d", None, None), ("e", None, None))])
    (request,), state = strategy.ask(state, 8)  # a is the only one with a score: both free ones go on from it
    assert (request.subjects, request.n, request.first_sample) == (("a",), 2, 3)
    state = strategy.tell(state, [stepped(request, ("a4", 0.9, "4"), ("a5", None, "5"))])
    assert strategy.ask(state, 8)[0] == []
    assert sum(state.memory.population().values()) == 3
    assert state.memory.population()[tree.index["a1"]] >= 1


def test_particles_leave_the_samples_of_another_scheme_alone() -> None:
    strategy = make_strategy("particle_filter", {"n": 4})
    state = strategy.start(QUESTION)
    probe = Request(Operator.GENERATE, ("root",), n=5, horizon="answer", distinct=False)
    chain = Thought("x", ("root",), Operator.GENERATE, "x", 1, terminal=True, answer="9", key="9")
    state = strategy.tell(state, [Outcome(probe, (chain,))])
    (request,), state = strategy.ask(state, 8)
    assert (request.first_sample, request.n) == (5, 4)
    state = strategy.tell(state, [stepped(request, ("a", 0.5, None))])
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.text == "9"


def test_references_need_a_free_particle() -> None:
    with pytest.raises(UserError, match="references=4 leaves no free particle of 4"):
        make_strategy("particle_gibbs", {"n": 4, "references": 4})


def test_another_seed_draws_another_population() -> None:
    world = World(seed=4, goal=2.0, depth=5)
    asked = [run(make_strategy("particle_filter", seed=seed), world).asked for seed in (0, 1)]
    assert asked[0] != asked[1]


@pytest.mark.parametrize("name", ["particle_filter", "particle_gibbs", "adaptive_consistency"])
def test_the_rows_operators_are_those_logged(name: str) -> None:
    logged: set[Operator] = set()
    for seed in range(4):
        trace = run(make_strategy(name), World(seed=seed, goal=2.0, refuting=0.2))
        logged |= {op.operator for op in trace.state.operations}
    assert logged == set(get_scheme(name).operators)


# --- when a vote is decided ---


def test_the_beta_criterion_by_hand() -> None:
    """P(p > ½), p ~ Beta(v1 + 1, v2 + 1). 3 : 0: 1 - ½⁴ = .9375. 4 : 0: 1 - ½⁵ = .96875. 1 : 1: ½. 5 : 1: 1 - (1 + 7) / 2⁷ = .9375."""
    assert beta_lead(3, 0) == 0.9375
    assert beta_lead(4, 0) == 0.96875
    assert beta_lead(1, 1) == 0.5
    assert beta_lead(5, 1) == 0.9375
    assert beta_lead(7, 1) == pytest.approx(1 - 10 / 512)


@given(first=st.integers(0, 40), second=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_it_is_the_integral_of_the_beta_density(first: int, second: int) -> None:
    points = 2000

    def integral(low: float) -> float:
        """Simpson's rule from `low` to 1."""
        h = (1.0 - low) / points
        xs = [low + h * i for i in range(points + 1)]
        ys = [x**first * (1 - x) ** second for x in xs]
        return h / 3 * (ys[0] + ys[-1] + 4 * sum(ys[1:-1:2]) + 2 * sum(ys[2:-1:2]))

    assert beta_lead(first, second) == pytest.approx(integral(0.5) / integral(0.0), abs=1e-6)


def test_large_votes_neither_overflow_nor_lose_their_sense() -> None:
    """For 1,100 tosses: 5 standard deviations, Φ(100 / √1101 = 3.01) = .9987."""
    assert beta_lead(600, 500) == pytest.approx(0.9987, abs=2e-4)
    assert beta_lead(3000, 1000) == pytest.approx(1.0)


def test_the_dirichlet_criterion_is_fair_and_agrees_with_drawing() -> None:
    """Three equals: 1/3 each. Otherwise compared with 20,000 draws: five standard errors of a share are at most 5 · ½ / √20000 = .018."""
    assert dirichlet_lead([2, 2, 2]) == pytest.approx(1 / 3, abs=1e-4)
    assert dirichlet_lead([4, 1]) == beta_lead(4, 1)
    assert dirichlet_lead([4]) == beta_lead(4, 0)
    rng = random.Random(1)
    for votes in ([3, 2, 1], [5, 4, 4, 1], [1, 1, 1, 1, 1], [30, 22, 9]):
        wins = 0
        for _ in range(20_000):
            drawn = [rng.gammavariate(v + 1, 1.0) for v in votes]
            wins += drawn[0] == max(drawn)
        assert dirichlet_lead(votes) == pytest.approx(wins / 20_000, abs=0.018)


@given(votes=st.lists(st.integers(1, 20), min_size=3, max_size=6))
@settings(max_examples=20, deadline=None)
def test_more_rivals_make_a_lead_less_sure(votes: list[int]) -> None:
    ordered = sorted(votes, reverse=True)
    assert dirichlet_lead(votes) <= beta_lead(*ordered[:2]) + 1e-4
    assert dirichlet_lead(votes) >= 1 / len(votes) - 1e-4


# --- adaptive self-consistency ---


def answered(request: Request, *answers: str | None) -> Outcome:
    """Return whole chains of one step with these answers; None: no finished solution."""
    thoughts = [
        Thought(
            f"{request.first_sample + i}",
            ("root",),
            Operator.GENERATE,
            "step",
            1,
            request=request.id,
            sample=request.first_sample + i,
            terminal=answer is not None,
            answer=answer,
            key=answer,
        )
        for i, answer in enumerate(answers)
    ]
    return Outcome(request, tuple(thoughts))


def adaptive(**params: object) -> tuple[Any, Any]:
    strategy = make_strategy("adaptive_consistency", params)
    return strategy, strategy.start(QUESTION)


def drawn_until_decided(answers: str, **params: object) -> int:
    """Return how many samples are drawn of these answers, one letter each; `-` for none."""
    strategy, state = adaptive(**params)
    drawn = 0
    while True:
        requests, state = strategy.ask(state, 8)
        if not requests:
            return drawn
        (request,) = requests
        assert request.first_sample == drawn
        part = answers[drawn : drawn + request.n]
        state = strategy.tell(
            state, [answered(request, *(None if letter == "-" else letter for letter in part))]
        )
        drawn += request.n


def test_it_stops_when_the_leader_is_sure() -> None:
    """Blocks of one: 3 : 0 is .9375 < .95 and 4 : 0 .96875. a b a a a a a a: 5 : 1 is .9375, 6 : 1 1 - 9/256 = .965, after seven samples."""
    assert drawn_until_decided("a" * 40, block=1) == 4
    assert drawn_until_decided("abaaaaaa" * 5, block=1) == 7
    assert drawn_until_decided("ab" * 20, block=1) == 40
    assert drawn_until_decided("-" * 40, block=1) == 40
    assert drawn_until_decided("a" * 40, block=3) == 6
    assert drawn_until_decided("a" * 40, block=1, confidence=0.9) == 3


def test_rivals_together_keep_the_dirichlet_criterion_going() -> None:
    """a a a a a b c: 5 : 1 : 1. Against the runner-up .9375 either way; against both it is less, so it goes on longer."""
    answers = "abac" + "a" * 36
    beta = drawn_until_decided(answers, block=1, confidence=0.93)
    assert drawn_until_decided(answers, block=1, confidence=0.93, criterion="dirichlet") > beta


def test_a_window_of_one_mind_stops() -> None:
    assert drawn_until_decided("aabaaaaaaa" + "b" * 30, criterion="window") == 10
    assert drawn_until_decided("aaaaa" * 8, criterion="window") == 5
    assert drawn_until_decided("aaaa-aaaab" * 4, criterion="window") == 40


def test_a_refuted_vote_is_no_vote_and_sampling_goes_on() -> None:
    strategy, state = adaptive(block=4)
    (request,), state = strategy.ask(state, 8)
    assert strategy.ask(state, 8)[0] == []  # one block at a time
    state = strategy.tell(state, [answered(request, "a", "a", "a", "a")])
    assert strategy.ask(state, 8)[0] == []
    person = Request(Operator.EVALUATE, ("0",), n=0)
    state = strategy.tell(state, [Outcome(person, (), (Evaluation("0", "rule", "person", 0.0),))])
    (request,), state = strategy.ask(state, 8)
    assert request.first_sample == 4


def test_adaptive_asks_as_it_is_told() -> None:
    assert get_scheme("adaptive_consistency").needs(defaults("adaptive_consistency")) == {"few_shot"}
    strategy, state = adaptive(prompting="plain", temperature=0.3)
    (request,), state = strategy.ask(state, 1)
    assert (request.action, request.temperature, request.horizon, request.n) == ("", 0.3, "answer", 5)
