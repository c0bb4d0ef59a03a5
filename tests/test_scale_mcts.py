"""Monte-Carlo tree searches over steps that are large, deep or wide: bounded memory, no recursion, near-linear time."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from thoughtgraph.graph.records import Evaluation, EvaluationKind, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.graph.strategies.preferences import preference_pairs
from thoughtgraph.graph.strategies.tree import ROOT

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)
HUGE = 1_000_000
SCHEMES: dict[str, dict[str, object]] = {
    "mcts_x1": {"branching": 10, "iterations": HUGE},
    "mcts_openr": {"branching": 10, "paths": HUGE},
    "rstar": {"rollouts": HUGE, "depth": 8, "answers": 4, "votes": 2},
    "rstar_math": {"branching": 10, "iterations": HUGE},
    "rest_mcts": {"branching": 10, "iterations": HUGE, "end_gate": None},
    "lats": {"branching": 10, "iterations": HUGE},
}
ROLLING: dict[str, dict[str, object]] = {"mcts_x1": {"simulations": 1}}
DEEP: dict[str, dict[str, object]] = {
    "rstar": {"actions": "A1", "thoughts": 1, "depth": HUGE},
    "rstar_math": {"branching": 1, "depth": HUGE},
    "lats": {"branching": 1, "depth": HUGE},
}
REPLIES: dict[str, tuple[EvaluationKind, float | None]] = {
    "value": ("value", 0.5),
    "critique": ("critique", None),
    "reflect": ("reflection", None),
    "discriminate": ("agreement", 0.5),
}


class Grower:
    """Answers requests with fresh thoughts, cheaply: chains of three steps, every tenth end of which is finished."""

    def __init__(self, finishing: int = 10) -> None:
        self.made = 0
        self.finishing = finishing
        """A new thought in so many is finished; 0: none."""

    def do(self, request: Request, depth: int, *, length: int = 3) -> Outcome:
        if not request.grows:
            kind, value = REPLIES[request.action]
            text = None if value is not None else "mind"
            said = tuple(Evaluation(s, kind, "r", value and luck(s), text=text) for s in request.subjects)
            return Outcome(request, (), said)
        thoughts: list[Thought] = []
        for sample in range(request.first_sample, request.first_sample + request.n):
            parent = request.subjects[0]
            steps = 1 if request.horizon == "step" else min(request.steps or length, length)
            for step in range(steps):
                self.made += 1
                name = f"{self.made:020d}"
                end = self.finishing > 0 and step == steps - 1 and self.made % self.finishing == 0
                answer = str(self.made % 7) if end else None
                thoughts.append(
                    Thought(
                        name,
                        (parent,),
                        Operator.GENERATE,
                        f"step {name}",
                        depth + 1 + step,
                        sample=sample,
                        terminal=end,
                        answer=answer,
                        key=answer,
                        logprob=-1.0,
                        tokens=2,
                    )
                )
                parent = name
        values = [Evaluation(t.id, "step", "v", luck(t.id)) for t in thoughts]
        return Outcome(request, tuple(thoughts), tuple(values))


def luck(name: str) -> float:
    """Return a score in (0, 1) that follows from a thought's name."""
    return int(name) * 7919 % 1000 / 1001 + 0.0005


def grow(scheme: str, thoughts: int, grower: Grower, wave: int = 8, **params: object) -> Any:
    """Search until so many thoughts were made."""
    strategy = make_strategy(scheme, {**SCHEMES[scheme], **params})
    state: Any = strategy.start(QUESTION)
    while grower.made < thoughts:
        requests, state = strategy.ask(state, wave)
        assert requests
        for request in requests:
            depth = state.tree.depth[state.tree.index[request.subjects[0]]]
            state = strategy.tell(state, [grower.do(request, depth)])
        state.operations.clear()
    assert strategy.answer(state) is not None
    return state


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_hundred_thousand_thoughts(scheme: str) -> None:
    state = grow(scheme, 100_000, Grower())
    assert len(state.tree) > 100_000
    assert state.tree.visits[ROOT] > 0
    assert 0.0 <= state.tree.value(ROOT) <= 1.0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_memory_per_thought_is_flat(scheme: str) -> None:
    used: list[float] = []
    for thoughts in (1_000, 4_000):
        tracemalloc.start()
        state = grow(scheme, thoughts, Grower())
        used.append(tracemalloc.get_traced_memory()[0] / len(state.tree))
        tracemalloc.stop()
        del state
    assert used[1] < 1.25 * used[0]
    assert used[1] < 3000


@pytest.mark.parametrize(
    "scheme", [*(s for s in SCHEMES if s != "rest_mcts"), pytest.param("rest_mcts", marks=pytest.mark.slow)]
)
def test_a_depth_of_a_thousand(scheme: str) -> None:
    """One thought an expansion, none finished, roll-outs that come to nothing: a single path; then its first thought is rejected."""
    params = {**SCHEMES[scheme], **ROLLING.get(scheme, {}), **DEEP.get(scheme, {"branching": 1})}
    strategy = make_strategy(scheme, params)
    state: Any = strategy.start(QUESTION)
    grower = Grower(finishing=0)
    while max(state.tree.depth) < 1000:
        requests, state = strategy.ask(state, 4)
        assert requests
        for request in requests:
            depth = state.tree.depth[state.tree.index[request.subjects[0]]]
            lost = request.horizon == "answer"
            state = strategy.tell(state, [Outcome(request) if lost else grower.do(request, depth)])
    first = state.tree.thought[1].id
    person = Request(Operator.EVALUATE, (first,), n=0)
    state = strategy.tell(state, [Outcome(person, (), (Evaluation(first, "rule", "person", 0.0),))])
    answer: Any = strategy.answer(state)
    assert answer is not None
    strategy.ask(state, 4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ten_thousand_children_of_one_thought(scheme: str) -> None:
    wide = (
        {"thoughts": 10_000, "actions": "A1,A2", "answers": 10_000}
        if scheme == "rstar"
        else {"branching": 10_000}
    )
    strategy = make_strategy(scheme, {**SCHEMES[scheme], **wide, **ROLLING.get(scheme, {})})
    state: Any = strategy.start(QUESTION)
    grower = Grower()
    for wave in range(3):
        requests, state = strategy.ask(state, 8)
        assert requests
        for request in requests:
            depth = state.tree.depth[state.tree.index[request.subjects[0]]]
            few = grower.do(request, depth) if wave == 0 else Outcome(request, error="lost")
            state = strategy.tell(state, [few])
    assert len(state.tree.children(ROOT)) >= 10_000
    assert strategy.answer(state) is not None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_chain_of_a_thousand_steps_in_one_outcome(scheme: str) -> None:
    strategy = make_strategy(scheme, {**SCHEMES[scheme], **ROLLING.get(scheme, {})})
    request = Request(Operator.GENERATE, ("root",), n=3, horizon="answer")
    grower = Grower(finishing=1)
    state: Any = strategy.tell(strategy.start(QUESTION), [grower.do(request, 0, length=1000)])
    assert len(state.tree) == 3001
    assert strategy.answer(state) is not None
    assert strategy.ask(state, 1)[0]


def test_preference_pairs_of_a_deep_and_a_wide_tree() -> None:
    for parents, n in ((1000, 2), (1, 10_000)):
        strategy: Any = make_strategy("rstar_math", {"depth": HUGE})
        state: Any = strategy.start(QUESTION)
        parent = "root"
        for level in range(parents):
            names = [f"{level}.{i}" for i in range(n)]
            request = Request(Operator.GENERATE, (parent,), n=n)
            thoughts = tuple(
                Thought(
                    name,
                    (parent,),
                    Operator.GENERATE,
                    name,
                    level + 1,
                    sample=i,
                    terminal=i > 0,
                    answer=name,
                    key=name,
                )
                for i, name in enumerate(names)
            )
            checks = tuple(
                Evaluation(t.id, "outcome", "c", float(i % 2)) for i, t in enumerate(thoughts) if t.terminal
            )
            state = strategy.tell(state, [Outcome(request, thoughts, checks)])
            parent = names[0]
        assert len(preference_pairs(state.tree)) <= 4 * parents
