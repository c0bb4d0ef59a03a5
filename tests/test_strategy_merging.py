"""Merged trees: thoughts of one level that reach equal states share a node and its statistics, as an option of every tree scheme."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.ids import derive_rng
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy, schemes
from thoughtgraph.graph.strategies.backup import MeanBackup
from thoughtgraph.graph.strategies.mcts import mcts
from thoughtgraph.graph.strategies.tree import ROOT, Tree

from .scheme_cases import SMALL
from .search_world import World, run

QUESTION = Thought("root", (), Operator.GENERATE, "q", 0)


def step(id_: str, parent: str, depth: int, state: str | None = None, *, terminal: bool = False) -> Thought:
    """Return a step."""
    return Thought(id_, (parent,), Operator.GENERATE, f"text {id_}", depth, state=state, terminal=terminal)


def told(subject: str, thoughts: list[Thought], **scores: float) -> Outcome:
    """Return the outcome of an expansion, with step scores by thought."""
    request = Request(Operator.GENERATE, (subject,), n=len(thoughts))
    return Outcome(request, tuple(thoughts), tuple(Evaluation(t, "step", "s", v) for t, v in scores.items()))


def test_equal_states_share_their_statistics() -> None:
    """By hand. Nodes: a (.2), b (.6); c under a (.8) and d under b (.4) reach state X: one node of score (.8 + .4) / 2 = .6.

    It counts ½ in each parent: N(a) = 1 + ½, Q(a) = (.2 + ½ · .6) / 1.5 = 1/3; N(b) = 1.5, Q(b) = (.6 + .3) / 1.5 = .6;
    N(root) = 3 thoughts below it, Q(root) = (1.5 · 1/3 + 1.5 · .6) / 3 = 1.4 / 3.
    """
    search = mcts(merge_states=True)
    state = search.start(QUESTION)
    state = search.tell(
        state,
        [
            told("root", [step("a", "root", 1, "A"), step("b", "root", 1, "B")], a=0.2, b=0.6),
            told("a", [step("c", "a", 2, "X")], c=0.8),
            told("b", [step("d", "b", 2, "X")], d=0.4),
        ],
    )
    tree = state.tree
    assert len(tree) == 4
    merged = tree.index["c"]
    assert tree.index["d"] == merged
    assert tree.parents(merged) == (tree.index["a"], tree.index["b"])
    assert (tree.visits[merged], tree.value(merged)) == (1.0, pytest.approx(0.6))
    assert (tree.visits[1], tree.value(1)) == (1.5, pytest.approx(1 / 3))
    assert (tree.visits[2], tree.value(2)) == (1.5, pytest.approx(0.6))
    assert (tree.visits[ROOT], tree.value(ROOT)) == (3.0, pytest.approx(1.4 / 3))


def test_only_unfinished_thoughts_of_one_level_with_a_state_are_merged() -> None:
    tree = Tree(QUESTION)
    for thought in (
        step("a", "root", 1, "X"),
        step("b", "root", 1, "Y"),
        step("below", "a", 2, "X"),  # the same state a level lower
        step("none", "b", 2),
        step("none too", "b", 2),
        step("end", "a", 2, "Z", terminal=True),
        step("end too", "b", 2, "Z", terminal=True),
    ):
        tree.add(thought, merge_states=True)
    assert len(tree) == 8
    tree.add(step("twin", "b", 2, "X"), merge_states=True)
    assert len(tree) == 8
    assert tree.parents(tree.index["below"]) == (tree.index["a"], tree.index["b"])


def test_a_merged_thought_lives_while_one_parent_does() -> None:
    search = mcts(merge_states=True)
    state = search.start(QUESTION)
    rejected = Request(Operator.EVALUATE, ("a",), n=0)
    state = search.tell(
        state,
        [
            told("root", [step("a", "root", 1, "A"), step("b", "root", 1, "B")]),
            told("a", [step("c", "a", 2, "X")]),
            told("b", [step("d", "b", 2, "X")]),
            Outcome(rejected, (), (Evaluation("a", "rule", "r", 0.0, request=rejected.id),)),
        ],
    )
    assert not state.tree.verdicts(state.tree.index["c"]).refuted
    rejected = Request(Operator.EVALUATE, ("b",), n=0)
    state = search.tell(
        state, [Outcome(rejected, (), (Evaluation("b", "rule", "r", 0.0, request=rejected.id),))]
    )
    assert state.tree.verdicts(state.tree.index["c"]).refuted


@given(width=st.integers(1, 6), depth=st.integers(1, 12), states=st.integers(1, 4), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_visits_are_conserved_however_many_paths_meet(width: int, depth: int, states: int, seed: int) -> None:
    tree, backup = Tree(QUESTION), MeanBackup()
    level = [0]
    for d in range(1, depth + 1):
        for place in range(width):
            rng = derive_rng(seed, d, place)
            parent = tree.thought[rng.choice(level)].id
            tree.add(step(f"{d}.{place}", parent, d, str(rng.randrange(states))), merge_states=True)
        level = [node for node in range(len(tree)) if tree.level[node] == d] or level
    for node in tree.climb(range(len(tree))):
        backup.update(tree, node)
    assert tree.visits[ROOT] == pytest.approx(len(tree) - 1)


def test_a_thousand_levels_of_merging_paths_do_not_overflow() -> None:
    """2^1000 paths over 2,000 nodes: every node of a level is a child of both nodes above it."""
    search = mcts(merge_states=True)
    state = search.start(QUESTION)
    above = ["root"]
    for level in range(1, 1001):
        names = [f"{level}{side}" for side in "ab"]
        thoughts = [step(f"{name} of {parent}", parent, level, name) for parent in above for name in names]
        for parent in above:
            own = [t for t in thoughts if t.parents == (parent,)]
            state = search.tell(state, [told(parent, own, **{t.id: 0.5 for t in own})])
        above = [thought.id for thought in thoughts[:2]]
    assert len(state.tree) == 2001
    assert state.tree.visits[ROOT] == pytest.approx(2000)
    requests, state = search.ask(state, 4)
    assert requests


MERGING = sorted(name for name, s in schemes().items() if any(p.name == "merge_states" for p in s.parameters))


@pytest.mark.parametrize("name", MERGING)
def test_every_tree_scheme_can_merge(name: str) -> None:
    params = {**SMALL.get(name, {}), **schemes()[name].fill, "merge_states": True}
    merged = 0
    for seed in range(8):  # some schemes end at their first solution, before paths meet
        world = World(seed=seed, letters=2, depth=6, goal=2.0)
        tree = run(make_strategy(name, params), world, limit=120).state.tree
        merged += len(tree.index) - len(tree)
        for node in range(1, len(tree)):
            assert all(tree.level[parent] < tree.level[node] for parent in tree.parents(node))
    assert merged


def test_every_tree_scheme_has_the_option() -> None:
    trees = {name for name, scheme in schemes().items() if scheme.structure == "tree"}
    assert trees - set(MERGING) <= {
        "stepwise_bon",
        "ab_mcts_a",
        "ab_mcts_m",
    }  # nodes of the latter are whole answers
