"""Monte-Carlo tree search: exhaustion, fresh expansions, waves, stopping, priors; and searches that are large or deep."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.graph.strategies import parts
from thoughtgraph.graph.strategies.mcts import mcts
from thoughtgraph.graph.strategies.tree import CLOSED, ROOT

from .search_world import ROOT as START
from .search_world import World, run

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


class Grower:
    """Answers requests with fresh thoughts, cheaply; keeps nothing."""

    def __init__(self) -> None:
        self.made = 0

    def do(self, request: Request, depth: int, *, horizon: int = 1) -> Outcome:
        thoughts: list[Thought] = []
        for sample in range(request.first_sample, request.first_sample + request.n):
            parent = request.subjects[0]
            for step in range(horizon):
                self.made += 1
                name = f"{self.made:020d}"
                made = Thought(
                    name, (parent,), Operator.GENERATE, f"step {name}", depth + 1 + step, sample=sample
                )
                thoughts.append(made)
                parent = name
        values = [Evaluation(t.id, "value", "v", int(t.id) * 7919 % 1000 / 1000) for t in thoughts]
        return Outcome(request, tuple(thoughts), tuple(values))


def test_a_thought_with_only_closed_children_is_sampled_afresh_and_then_given_up() -> None:
    strategy = mcts(branching=2, max_expansions=2)
    state = strategy.start(QUESTION)
    firsts: list[int] = []
    for attempt in range(2):
        (request,), state = strategy.ask(state, 5)
        firsts.append(request.first_sample)
        names = (f"a{attempt}", f"b{attempt}")
        thoughts = tuple(Thought(n, ("root",), Operator.GENERATE, n, 1, terminal=n < "b") for n in names)
        verdict = Evaluation(names[1], "rule", "j", 0.0)
        state = strategy.tell(state, [Outcome(request, thoughts, (verdict,))])
    assert firsts == [0, 2]
    assert strategy.ask(state, 5)[0] == []
    assert state.tree.has(ROOT, CLOSED)


def test_a_dead_end_is_backtracked_from() -> None:
    strategy = mcts(branching=1, max_expansions=1)
    state = strategy.start(QUESTION)
    for name in ("a", "b"):
        (request,), state = strategy.ask(state, 1)
        child = Thought(name, request.subjects, Operator.GENERATE, name, 1)
        state = strategy.tell(state, [Outcome(request, (child,))])
    (request,), state = strategy.ask(state, 1)
    assert request.subjects == ("b",)
    state = strategy.tell(state, [Outcome(request)])
    steps = [op.subjects for op in state.operations if op.operator is Operator.BACKTRACK]
    assert steps == [("b", "a"), ("a", "root")]
    assert strategy.ask(state, 1)[0] == []


def test_a_repeated_child_is_one_child_with_a_higher_count() -> None:
    strategy = mcts(branching=2)
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 1)
    first = Thought("first", ("root",), Operator.GENERATE, "same", 1, count=2)
    wrong = Evaluation("first", "rule", "j", 0.0)
    state = strategy.tell(state, [Outcome(request, (first,), (wrong,))])
    (request,), state = strategy.ask(state, 1)
    again = Thought("again", ("root",), Operator.GENERATE, "same", 1)
    other = Thought("other", ("root",), Operator.GENERATE, "other", 1)
    state = strategy.tell(state, [Outcome(request, (again, other))])
    tree = state.tree
    assert tree.index["again"] == tree.index["first"]
    assert (tree.count[1], tree.prior[1], tree.prior[2]) == (3, 0.75, 0.25)


def test_a_wave_works_on_different_leaves_and_leaves_no_loss_behind() -> None:
    strategy = mcts(branching=4)
    world = World(seed=1, goal=2.0)
    state = strategy.start(START)
    for _ in range(10):
        requests, state = strategy.ask(state, 8)
        assert len({request.subjects for request in requests}) == len(requests)
        assert state.tree.pending[ROOT] == len(requests)
        for request in reversed(requests):
            state = strategy.tell(state, [world.do(request)])
        assert not any(state.tree.pending)


def test_only_a_checked_solution_ends_the_search() -> None:
    strategy = mcts(branching=1)
    request = Request(Operator.GENERATE, ("root",), n=2)
    solution = Thought("s", ("root",), Operator.GENERATE, "s", 1, terminal=True, answer="1", key="1")
    open_ = Thought("o", ("root",), Operator.GENERATE, "o", 1)
    told = Outcome(request, (solution, open_), (Evaluation("s", "value", "v", 1.0),))
    state = strategy.tell(strategy.start(QUESTION), [told])
    assert strategy.ask(state, 1)[0]
    for value, over in ((1.0, True), (0.5, False)):
        check = Request(Operator.EVALUATE, ("s",), n=0, first_sample=int(value))
        state = strategy.tell(state, [Outcome(check, (), (Evaluation("s", "outcome", "v", value),))])
        assert bool(state.found) == over


def test_settings_that_do_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="settings of the weighted backup"):
        mcts(gamma=0.9)


def test_logprob_priors_need_logprobs() -> None:
    strategy = mcts(prior="logprob")
    request = Request(Operator.GENERATE, ("root",), n=2)
    pairs = (("a", -2.0, 2), ("b", -4.0, 2))
    scored = tuple(Thought(n, ("root",), Operator.GENERATE, n, 1, logprob=p, tokens=t) for n, p, t in pairs)
    state = strategy.tell(strategy.start(QUESTION), [Outcome(request, scored)])
    # exp(-1) and exp(-2), normalised: 1 / (1 + 1/e)
    assert state.tree.prior[1] == pytest.approx(0.7310586)
    bare = Thought("c", ("root",), Operator.GENERATE, "c", 1)
    with pytest.raises(UserError, match="use prior=count"):
        strategy.tell(strategy.start(QUESTION), [Outcome(request, (bare,))])


def test_the_search_beats_sampling_at_finding_a_rare_solution() -> None:
    """The value of search, at equal numbers of sampled steps; the scores are informative but noisy."""

    def solved(scheme: str, params: dict[str, Any], requests: int) -> int:
        found = 0
        for seed in range(40):
            world = Guided(seed=seed, depth=4, letters=6, kinds=("value", "outcome"))
            answer = run(make_strategy(scheme, params), world, k=1, limit=requests).answer
            found += answer is not None and answer.score == 1.0
        return found

    steps = 160
    searched = solved("mcts", {"branching": 4}, steps // 4)
    sampled = solved("best_of_n", {"n": steps // 4, "block": 1}, steps // 4)
    assert searched > sampled


class Guided(World):
    """A world in which the digits of a path add up to its quality, so that values of steps point at solutions."""

    def quality(self, text: str) -> float:
        return sum(map(int, text)) / (len(text) * (self.letters - 1))


def test_operations_are_bounded_where_nobody_empties_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "OPERATIONS_KEPT", 100)
    trace = run(make_strategy("mcts"), World(seed=1, goal=2.0), limit=200)
    assert len(trace.state.operations) <= 100
    assert trace.state.dropped > 0


def grow(thoughts: int) -> Any:
    strategy, grower = mcts(branching=10), Grower()
    state: Any = strategy.start(QUESTION)
    while grower.made < thoughts:
        requests, state = strategy.ask(state, 8)
        for request in requests:
            depth = state.tree.depth[state.tree.index[request.subjects[0]]]
            state = strategy.tell(state, [grower.do(request, depth)])
        state.operations.clear()
    assert strategy.answer(state) is not None
    return state


def test_memory_per_thought_is_flat() -> None:
    used: list[float] = []
    for thoughts in (2_000, 8_000):
        tracemalloc.start()
        state = grow(thoughts)
        used.append(tracemalloc.get_traced_memory()[0] / len(state.tree))
        tracemalloc.stop()
        del state
    assert used[1] < 1.15 * used[0]
    assert used[1] < 1500


@pytest.mark.slow
def test_a_hundred_thousand_thoughts() -> None:
    tree = grow(100_000).tree
    assert len(tree) > 100_000
    assert tree.visits[ROOT] == len(tree) - 1
    scores = [tree.score(node) or 0.0 for node in range(1, len(tree))]
    assert tree.value(ROOT) == pytest.approx(sum(scores) / len(scores))


def test_a_depth_of_a_thousand() -> None:
    strategy, grower = mcts(branching=1, backup="weighted"), Grower()
    state = strategy.start(QUESTION)
    for depth in range(1000):
        (request,), state = strategy.ask(state, 1)
        state = strategy.tell(state, [grower.do(request, depth)])
    assert max(state.tree.depth) == 1000
    first = state.tree.thought[1].id
    person = Request(Operator.EVALUATE, (first,), n=0)
    state = strategy.tell(state, [Outcome(person, (), (Evaluation(first, "rule", "person", 0.0),))])
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.thought == "root"


@pytest.mark.parametrize("scheme", ["best_of_n", "mcts"])
def test_a_chain_of_a_thousand_steps_in_one_outcome(scheme: str) -> None:
    strategy, grower = make_strategy(scheme), Grower()
    request = Request(Operator.GENERATE, ("root",), n=3)
    state = strategy.tell(strategy.start(QUESTION), [grower.do(request, 0, horizon=1000)])
    assert len(state.tree) == 3001
    assert strategy.answer(state) is not None
    assert strategy.ask(state, 1)[0]
