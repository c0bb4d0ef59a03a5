"""Whole searches compared with values computed by hand, stored in tests/golden.

The Monte-Carlo tree, told in this order (value scores; count in brackets):

    root ─┬─ A .4 (3) ─┬─ C .5 (2)
          │            └─ D .9 (2) ─── G .3 (4)
          └─ B .6 (1) ─┬─ E outcome 0, terminal (1)
                       ├─ F .8 (3)
                       └─ R refuted (4)

Mean backup: N counts the living thoughts of a subtree, Q is the mean of their scores.

    D: N 2, (.9 + .3) / 2 = .6           A: N 4, (.4 + .5 + .9 + .3) / 4 = 2.1 / 4 = .525
    B: N 3, (.6 + 0 + .8) / 3 = 1.4 / 3  root: N 7, (2.1 + 1.4) / 7 = .5

Weighted backup, lr = γ = 1: N is 1 at birth and grows by 1 with each expansion at or below, Q = Σ N_c Q_c / Σ N_c.

    D: N 2, .3                                   A: N 3, (1 · .5 + 2 · .3) / 3 = 1.1 / 3
    B: N 2, (1 · 0 + 1 · .8) / 2 = .4            root: N 4 (four expansions), (3 · 1.1/3 + 2 · .4) / 5 = 1.9 / 5 = .38

First pick with PUCT, c = 1, after the mean backup: Q + P √ΣN / (1 + N)

    A: .525 + .75 · √7 / 5 = .525 + .3968627 = .9218627      B: .4666667 + .25 · √7 / 4 = .4666667 + .1653595 = .6320261

so A; in A: C .5 + .5 · √3 / 2 = .9330127 beats D .6 + .5 · √3 / 3 = .8886751. C is asked: A has one virtual loss.

    A: .525 · 4/5 + .75 · √8 / 6 = .42 + .3535534 = .7735534   B: .4666667 + .25 · √8 / 4 = .6434434

so A again, where C is under way, so D, and in D: G. Then nothing in A is left: B, where E is closed and R refuted: F.

UCT, c = 1: A .525 + √(ln 7 / 4) = 1.2224794, B .4666667 + √(ln 7 / 3) = 1.2720465, so F first; with one loss on B and N(root) = 8,
A .525 + √(ln 8 / 4) = 1.2460134 beats B 1.4/3 · 3/4 + √(ln 8 / 4) = 1.0710134; in A: C .5 + √ln 4 beats D .6 + √(ln 4 / 2).
The other entries are the same formulas with the other statistics.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from thoughtgraph.graph.ids import address
from thoughtgraph.graph.records import Evaluation, EvaluationKind, Operator, Outcome, Request, Thought
from thoughtgraph.graph.strategies.beam import beam
from thoughtgraph.graph.strategies.formulas import Puct, Uct
from thoughtgraph.graph.strategies.mcts import BackupName, SelectorName, mcts
from thoughtgraph.graph.strategies.parts import TreeState
from thoughtgraph.graph.strategies.search import TreeSearch
from thoughtgraph.graph.strategies.tree import ROOT, Tree
from thoughtgraph.graph.strategies.voting import Rule

GOLDEN = Path(__file__).with_name("golden")
QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)
BACKUPS: list[BackupName] = ["mean", "weighted"]
SELECTORS: list[SelectorName] = ["puct", "uct"]


def load(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def told(request: Request, children: list[Any], depth: int) -> Outcome:
    thoughts: list[Thought] = []
    evaluations: list[Evaluation] = []
    for sample, (name, kind, value, count, terminal) in enumerate(children):
        thoughts.append(
            Thought(
                name,
                request.subjects,
                Operator.GENERATE,
                f"step {name}",
                depth,
                request=request.id,
                sample=sample,
                count=count,
                terminal=terminal is not False,
                answer=name if terminal is True else terminal or None,
                key=name if terminal is True else terminal or None,
            )
        )
        if value is not None:
            evaluations.append(Evaluation(name, cast(EvaluationKind, kind), "hand", value))
    return Outcome(request, tuple(thoughts), tuple(evaluations))


def grown(strategy: TreeSearch[None], golden: Any) -> TreeState[None]:
    state = strategy.start(QUESTION)
    for step in golden["tells"]:
        request = Request(Operator.GENERATE, (step["of"],), n=8)
        depth = state.tree.depth[state.tree.index[step["of"]]] + 1
        state = strategy.tell(state, [told(request, step["children"], depth)])
    return state


@pytest.mark.parametrize("backup", BACKUPS)
def test_backups_after_every_tell(backup: BackupName) -> None:
    golden = load("mcts_tree.json")
    for steps in range(1, len(golden["tells"]) + 1):
        tree = grown(mcts(c=1.0, backup=backup), {"tells": golden["tells"][:steps]}).tree
        expected = golden["tells"][steps - 1][backup]
        assert set(expected) == set(tree.index)
        for name, (visits, value) in expected.items():
            node = tree.index[name]
            assert (name, tree.visits[node]) == (name, visits)
            assert tree.value(node) == (None if value is None else pytest.approx(value, abs=1e-12))


def test_priors_are_the_shares_of_the_samples() -> None:
    golden = load("mcts_tree.json")
    tree = grown(mcts(), golden).tree
    assert {name: tree.prior[tree.index[name]] for name in golden["priors"]} == golden["priors"]


@pytest.mark.parametrize("backup", BACKUPS)
@pytest.mark.parametrize("selector", SELECTORS)
def test_selection_with_virtual_loss(backup: BackupName, selector: SelectorName) -> None:
    golden = load("mcts_tree.json")
    wave = golden["waves"][f"{backup}-{selector}"]
    strategy = mcts(c=1.0, backup=backup, selector=selector)
    state = grown(strategy, golden)
    formula = Puct(1.0) if selector == "puct" else Uct(1.0)
    asked: list[Request] = []
    for pick, expected in zip(wave["picks"], wave["root_scores"], strict=True):
        assert root_scores(formula, state.tree) == pytest.approx(expected, abs=1e-6)
        requests, state = strategy.ask(state, 1)
        assert [request.subjects for request in requests] == [(pick,)]
        asked += requests
    assert strategy.ask(state, 1)[0] == []
    state = strategy.tell(state, [Outcome(request, error="lost") for request in asked])
    assert not any(state.tree.pending)
    requests, state = strategy.ask(grown(strategy, golden), 3)
    assert [request.subjects[0] for request in requests] == wave["picks"]


def root_scores(formula: Puct | Uct, tree: Tree) -> dict[str, float]:
    children = tree.children(ROOT)
    scores = formula.scores(tree, ROOT, children)
    return {tree.thought[child].id: score for child, score in zip(children, scores, strict=True)}


def test_the_formulas_of_x1_and_openr() -> None:
    golden = load("mcts_tree.json")
    # x1: N(root) = 4, no priors: Q + √3 / (1 + N) · (1.25 + ln(19656 / 19652)) = Q + 2.1654160 / (1 + N)
    tree = grown(mcts(backup="weighted"), golden).tree
    x1 = Puct(1.25, base=19652, shift=0, total="visits-1", priors=False)
    expected = {"A": 1.1 / 3 + 2.1654160 / 4, "B": 0.4 + 2.1654160 / 3}
    assert root_scores(x1, tree) == pytest.approx(expected, abs=1e-6)
    # OpenR: N(root) = 7: Q + P · √7 / (1 + N) · (1.25 + ln(19660 / 19652)) = Q + 3.3082657 · P / (1 + N)
    tree = grown(mcts(backup="mean"), golden).tree
    openr = Puct(1.25, base=19652, shift=1, total="visits")
    expected = {"A": 0.525 + 0.75 * 3.3082657 / 5, "B": 1.4 / 3 + 0.25 * 3.3082657 / 4}
    assert root_scores(openr, tree) == pytest.approx(expected, abs=1e-6)


def test_the_weighted_backup_with_discount_and_learning_rate() -> None:
    # γ = .5, lr = .5. Tell 1: root has no value yet: .5 · .5 = .25.
    # Tell 2 (A gets C .5, D .9): A = .5 · .4 + .5 · .5 · .7 = .375, N 2; root = .5 · .25 + .25 · (2 · .375 + .6) / 3 = .2375
    golden = load("mcts_tree.json")
    strategy = mcts(backup="weighted", gamma=0.5, lr=0.5)
    tree = grown(strategy, {"tells": golden["tells"][:1]}).tree
    assert tree.value(ROOT) == pytest.approx(0.25)
    tree = grown(strategy, {"tells": golden["tells"][:2]}).tree
    assert tree.value(tree.index["A"]) == pytest.approx(0.375)
    assert tree.value(ROOT) == pytest.approx(0.2375)


def test_refuted_thoughts_that_count() -> None:
    # mean: B = (.6 + 0 + .8 + 0) / 4 = .35; root = (2.1 + 1.4) / 8
    tree = grown(mcts(count_refuted=True), load("mcts_tree.json")).tree
    assert (tree.value(tree.index["B"]), tree.visits[tree.index["B"]]) == (pytest.approx(0.35), 4)
    assert tree.value(ROOT) == pytest.approx(3.5 / 8)


@pytest.mark.parametrize("select", ["weighted", "majority", "best"])
def test_beam(select: Rule) -> None:
    # Round 1: B .9 and A 0 are the best N // M = 2; the unscored D comes last, though it was sampled first.
    # Round 2: A2 is finished and takes no place; B2 .95 first, then B1 and A1 tie at .3 and B's request is the earlier one.
    # Round 3: A2, P, Q and Z are four finished samples (W is refuted), so the search is over.
    # weighted: x .6 + .2 = .8, y .9, z .4: y with .9 / 2.1. majority: x with 2 of 4, led by A2. best: Q.
    golden = load("beam_tree.json")
    strategy = beam(beams=4, width=2, select=select)
    state = strategy.start(QUESTION)
    for depth, round_ in enumerate(golden["rounds"], start=1):
        requests, state = strategy.ask(state, 9)
        assert [[request.subjects[0], request.n] for request in requests] == round_["asks"]
        state.operations.clear()
        for request in reversed(requests):
            children = [
                [name, "rule", 0.0, count, key or False]
                if score == -1
                else [name, "step", score, count, key or False]
                for name, score, count, key in round_["tells"][request.subjects[0]]
            ]
            state = strategy.tell(state, [told(request, children, depth)])
        pruned = [op.subjects[0] for op in state.operations if op.operator is Operator.PRUNE]
        assert pruned == round_["pruned"]
    assert strategy.ask(state, 9)[0] == []
    answer = strategy.answer(state)
    assert answer is not None
    thought, key, score = golden["answers"][select]
    assert (answer.thought, answer.key) == (thought, key)
    assert answer.score == pytest.approx(score, abs=1e-6)


def test_request_ids_are_their_content() -> None:
    requests, _ = beam(beams=4, width=2).ask(beam(beams=4, width=2).start(QUESTION), 1)
    content = ("generate", ["root"], 4, 0, "step", True, None, "", "", 0, None)
    assert [request.id for request in requests] == [address("request", *content)]
