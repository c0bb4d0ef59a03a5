"""Reasoning graphs that the tests of drawings and of exports share."""

from typing import Any

from hypothesis import strategies as st

from thoughtgraph.graph.records import Evaluation, EvaluationKind, Operator, Problem, Thought
from thoughtgraph.graph.view import ReasoningGraph

PROBLEM = Problem("p1", "numbers", "4 5 6 10 -> 24")
SOURCE = "score:builtin:numbers@1f3a"

HOSTILE = "a\x1b[31mred\x1b[0m \x1b]0;title\x07b\x9b1mc\r\n\td\u202ee\u2028f\x00\x08g [red]h[/red] \ud800"


def thought(id_: str, parents: tuple[str, ...], text: str, depth: int, **fields: Any) -> Thought:
    operator = Operator.AGGREGATE if len(parents) > 1 else Operator.GENERATE
    return Thought(id_, parents, operator, text, depth, **fields)


def graph_of(*thoughts: Thought, **fields: Any) -> ReasoningGraph:
    return ReasoningGraph(PROBLEM, {t.id: t for t in thoughts}, **fields)


def judged(id_: str, kind: EvaluationKind, value: float | None, **fields: Any) -> Evaluation:
    return Evaluation(id_, kind, SOURCE, value, **fields)


def small() -> ReasoningGraph:
    evaluations = {
        "a": (judged("a", "step", 0.2), judged("a", "step", 0.93)),
        "b": (judged("b", "rule", 0.0, text="10 - 6 is 4, not 5"),),
        "c": (judged("c", "step", 0.41),),
        "d": (judged("d", "value", 0.75, rollouts=8, successes=6),),
        "e": (judged("e", "step", None, error="out of memory"),),
    }
    return graph_of(
        thought("r", (), PROBLEM.question, 0),
        thought("b", ("r",), "10 - 6 = 5 (left: 4 5 5)", 1, tokens=13),
        thought("c", ("r",), "4 + 5 = 9 (left: 6 9 10)", 1),
        thought("a", ("r",), "4 * 5 = 20 (left: 6 10 20)", 1, tokens=14, count=3),
        thought("e", ("a",), "20 - 10 = 10 (left: 6 10)", 2),
        thought("d", ("a",), "20 + 10 = 30 (left: 6 30)", 2, terminal=True, answer="4 * 5 + 10 - 6"),
        thought("m", ("e", "c"), "both", 3, logprob=-1.5),
        evaluations=evaluations,
        answer="4 * 5 + 10 - 6",
        best="d",
        visits={"r": 9, "a": 1},
    )


def chain(length: int) -> ReasoningGraph:
    steps = [thought(f"n{i}", (f"n{i - 1}",) if i else (), f"step {i}", i) for i in range(length)]
    return graph_of(*steps, answer="end", best=f"n{length - 1}")


def wide(children: int, text: str = "step") -> ReasoningGraph:
    steps = [thought(f"n{i}", ("r",), f"{text} {i}", 1) for i in range(children)]
    return graph_of(thought("r", (), "q", 0), *steps, best=f"n{children - 1}", answer="a")


def with_texts(*texts: str) -> ReasoningGraph:
    return graph_of(thought("r", (), "q", 0), *(thought(f"n{i}", ("r",), t, 1) for i, t in enumerate(texts)))


values = st.none() | st.floats(0, 1)


@st.composite
def graphs(draw: st.DrawFn) -> ReasoningGraph:
    thoughts: list[Thought] = []
    for i in range(draw(st.integers(0, 8))):
        known = [t.id for t in thoughts]
        parents = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True)) if known else []
        thoughts.append(
            Thought(
                f"n{i}",
                tuple(parents),
                draw(st.sampled_from(Operator)),
                draw(st.text()),
                depth=draw(st.integers(0, 9)),
                count=draw(st.integers(1, 3)),
                terminal=draw(st.booleans()),
                answer=draw(st.none() | st.text()),
                logprob=draw(st.none() | st.floats(max_value=0, allow_infinity=False)),
            )
        )
    ids = [t.id for t in thoughts]
    kinds: list[EvaluationKind] = ["step", "outcome", "value", "rule", "critique"]
    judgement = st.tuples(
        st.sampled_from(kinds), values, st.none() | st.text(), st.none() | st.integers(0, 9)
    )
    evaluations = {
        i: tuple(judged(i, k, v, text=t, rollouts=n) for k, v, t, n in draw(st.lists(judgement, max_size=3)))
        for i in draw(st.lists(st.sampled_from(ids), unique=True) if ids else st.just([]))
    }
    best = draw(st.none() | st.sampled_from(ids)) if ids else None
    visits = {i: draw(st.integers(0, 9)) for i in ids}
    return graph_of(
        *thoughts, evaluations=evaluations, best=best, answer=draw(st.none() | st.text()), visits=visits
    )
