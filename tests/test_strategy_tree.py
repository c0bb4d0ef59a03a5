"""The tree's numbers: scores, refutation, aggregates over paths, merging, several parents."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.records import Evaluation, EvaluationKind, Operator, Thought
from thoughtgraph.graph.strategies.evaluation import FirstKnown, Stop, settle, solution_score
from thoughtgraph.graph.strategies.tree import REFUTED, ROOT, TAINTED, Aggregation, Tree, Verdicts

HOWS: list[Aggregation] = ["last", "min", "prod", "mean"]
RULE = FirstKnown()


def thought(name: str, *parents: str, terminal: bool = False, text: str = "", count: int = 1) -> Thought:
    return Thought(name, parents, Operator.GENERATE, text or name, 0, terminal=terminal, count=count)


def said(name: str, kind: EvaluationKind, value: float | None) -> Evaluation:
    return Evaluation(name, kind, "judge", value, error=None if value is not None else "it failed")


def judge(tree: Tree, *evaluations: Evaluation) -> list[str]:
    """Take evaluations in; return what they newly refuted."""
    for evaluation in evaluations:
        tree.judge(tree.index[evaluation.thought], evaluation)
    _, refuted = settle(tree, RULE, {tree.index[e.thought] for e in evaluations})
    return [tree.thought[node].id for node in refuted]


def chain(*names: str) -> Tree:
    tree = Tree(thought("root"))
    for parent, name in zip(("root", *names), names, strict=False):
        tree.add(thought(name, parent))
    return tree


@pytest.mark.parametrize(
    ("verdicts", "score"),
    [
        (Verdicts(False, None, None, None), None),
        (Verdicts(False, None, None, 0.3), 0.3),
        (Verdicts(False, None, 0.0, 0.3), 0.0),
        (Verdicts(False, 0.5, 0.1, 0.3), 0.5),
        (Verdicts(True, 1.0, 1.0, 1.0), 0.0),
    ],
)
def test_the_score_is_the_first_kind_known(verdicts: Verdicts, score: float | None) -> None:
    assert RULE.score(verdicts) == score


def test_kinds_are_averaged_and_failures_and_critiques_are_no_numbers() -> None:
    tree = chain("a")
    critique = Evaluation("a", "critique", "critic", text="hm")
    broken = Evaluation("a", "critique", "critic", error="the critic failed")
    judge(tree, said("a", "rule", 1.0), critique, broken)
    assert tree.score(1) is None
    assert not tree.has(1, TAINTED)
    judge(tree, said("a", "value", None))
    assert tree.score(1) is None
    assert tree.has(1, TAINTED)
    judge(tree, said("a", "value", 0.2), said("a", "value", 0.8), said("a", "value", None))
    assert tree.score(1) == pytest.approx(0.5)
    assert not tree.has(1, TAINTED)
    judge(tree, said("a", "outcome", 1.0), said("a", "outcome", 0.0))
    assert tree.score(1) == 0.5
    assert tree.verdicts(1) == (False, 0.5, pytest.approx(0.5), None)


def test_a_refutation_refutes_what_was_built_on_it() -> None:
    tree = chain("a", "b", "c")
    tree.add(thought("other", "root"))
    tree.add(thought("joined", "c", "other"))
    tree.add(thought("leaf", "joined"))
    assert judge(tree, said("b", "rule", 0.0)) == ["b", "c"]
    assert tree.score(tree.index["c"]) == 0.0
    assert not tree.has(tree.index["joined"], REFUTED)
    assert judge(tree, said("other", "rule", 0.0)) == ["other", "joined", "leaf"]


def test_several_parents_are_kept_and_the_first_is_primary() -> None:
    tree = chain("a", "b")
    node = tree.add(thought("joined", "b", "a", "root"))
    assert tree.parents(node) == (2, 1, 0)
    assert tree.path(node) == [0, 1, 2, node]
    assert tree.depth[node] == 3
    assert all(node in tree.children(parent) for parent in (0, 1, 2))


def test_siblings_with_the_same_text_share_a_node() -> None:
    tree = Tree(thought("root"))
    first = tree.add(thought("a", "root", text="same", count=2), merge=True)
    assert tree.add(thought("b", "root", text="same"), merge=True) == first
    assert tree.add(thought("b", "root", text="same"), merge=True) == first
    assert (tree.count[first], len(tree)) == (3, 2)
    assert tree.add(thought("c", "root", text="same", terminal=True), merge=True) != first
    assert tree.add(thought("d", "b", text="same"), merge=True) not in (first, ROOT)
    assert tree.children(first) == [tree.index["d"]]


def test_a_failed_step_leaves_the_path_unknown_and_an_unjudged_one_is_left_out() -> None:
    tree = chain("a", "b", "c")
    judge(tree, said("a", "step", 0.5), said("c", "step", 0.8))
    assert [tree.path_score(3, how) for how in HOWS] == [0.8, 0.5, 0.4, pytest.approx(0.65)]
    judge(tree, said("b", "step", None))
    assert [tree.path_score(3, how) for how in HOWS] == [0.8, None, None, None]
    judge(tree, said("b", "value", 0.1))
    assert [tree.path_score(3, how) for how in HOWS] == pytest.approx([0.8, 0.1, 0.04, 1.4 / 3])
    assert tree.path_score(ROOT, "prod") is None


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=30), st.randoms())
def test_aggregates_are_those_of_the_path_whatever_the_order_of_judgement(
    scores: list[float | None], order: object
) -> None:
    names = [f"t{i}" for i in range(len(scores))]
    tree = chain(*names)
    judgements = [said(n, "step", s) for n, s in zip(names, scores, strict=True) if s is not None]
    order.shuffle(judgements)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - a Random
    for judgement in judgements:
        judge(tree, judgement)
    for depth in range(1, len(scores) + 1):
        known = [score for score in scores[:depth] if score is not None]
        expected = (
            [scores[depth - 1], min(known), math.prod(known), sum(known) / len(known)]
            if known
            else [None] * 4
        )
        assert [tree.path_score(depth, how) for how in HOWS] == [
            None if e is None else pytest.approx(e) for e in expected
        ]


def test_a_solution_is_scored_by_its_outcome_before_its_steps() -> None:
    tree = chain("a", "b")
    judge(tree, said("a", "step", 0.9), said("b", "step", 0.8))
    assert solution_score(tree, 2, "min") == 0.8
    judge(tree, said("b", "outcome", 0.0))
    assert solution_score(tree, 2, "min") == 0.0


def test_only_an_outcome_stops_and_a_refutation_revokes_it() -> None:
    tree = chain("a")
    judge(tree, said("a", "value", 1.0), said("a", "step", 1.0), said("a", "rule", 1.0))
    assert not Stop(1.0).found(tree, 1)
    judge(tree, said("a", "outcome", 1.0))
    assert Stop(1.0).found(tree, 1)
    assert not Stop(None).found(tree, 1)
    judge(tree, said("a", "rule", 0.0))
    assert not Stop(1.0).found(tree, 1)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.lists(st.integers(0, 10**6), max_size=8))
def test_climbing_visits_every_ancestor_once_children_first(places: list[int], starts: list[int]) -> None:
    tree = Tree(thought("root"))
    for i, place in enumerate(places):
        tree.add(thought(f"t{i}", tree.thought[place % len(tree)].id))
    nodes = [start % len(tree) for start in starts]
    ancestors = {ancestor for node in nodes for ancestor in tree.path(node)}
    climbed = list(tree.climb(nodes))
    assert sorted(climbed) == sorted(ancestors)
    place_of = {node: index for index, node in enumerate(climbed)}
    assert all(place_of[node] < place_of[tree.parent[node]] for node in climbed if node)
