"""Votes and choices among finished solutions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import Hand
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.graph.strategies.chains import best_of_n, cot, self_consistency
from thoughtgraph.graph.strategies.voting import Rule

ROOT = Thought("root", (), Operator.GENERATE, "question", 0)
Candidate = tuple[str | None, float | None]


def solutions(*candidates: Candidate, counts: tuple[int, ...] = (), failed: bool = False) -> Outcome:
    """Return one-step solutions with these keys and outcome scores; the sample index is the position."""
    request = Request(Operator.GENERATE, ("root",), n=len(candidates), horizon="answer", distinct=False)
    thoughts: list[Thought] = []
    evaluations: list[Evaluation] = []
    for i, (key, score) in enumerate(candidates):
        count = counts[i] if counts else 1
        answer = None if key is None else f"the answer {key}"
        thoughts.append(
            Thought(
                f"t{i}", ("root",), Operator.GENERATE, f"text {i}", 1, sample=i, count=count,
                terminal=True, answer=answer, key=key,
            )
        )  # fmt: skip
        if score is not None:
            evaluations.append(Evaluation(f"t{i}", "outcome", "judge", score))
        elif failed:
            evaluations.append(Evaluation(f"t{i}", "outcome", "judge", error="NaN"))
    return Outcome(request, tuple(thoughts), tuple(evaluations))


def decided(rule: Rule, outcome: Outcome) -> tuple[str, float | None]:
    strategy = best_of_n(select=rule)
    answer = strategy.answer(strategy.tell(strategy.start(ROOT), [outcome]))
    assert answer is not None
    assert answer.text == (None if answer.key is None else f"the answer {answer.key}")
    return answer.thought, answer.score


def test_the_three_rules() -> None:
    told = solutions(("x", 0.3), ("y", 0.8), ("x", 0.4), ("x", 0.05), ("z", 0.1))
    assert decided("best", told) == ("t1", 0.8)
    assert decided("majority", told) == ("t2", pytest.approx(3 / 5))
    assert decided("weighted", told) == ("t1", pytest.approx(0.8 / 1.65))


def test_counts_weigh_in_votes() -> None:
    told = solutions(("x", 0.3), ("y", 0.5), counts=(4, 2))
    assert decided("majority", told) == ("t0", pytest.approx(4 / 6))
    assert decided("weighted", told) == ("t0", pytest.approx(1.2 / 2.2))


@pytest.mark.parametrize("failed", [False, True])
def test_an_unscored_or_failed_solution_never_beats_a_scored_one(failed: bool) -> None:
    told = solutions(("x", None), ("x", None), ("y", 0.01), failed=failed)
    assert decided("best", told) == ("t2", 0.01)
    assert decided("weighted", told) == ("t2", 1.0)


def test_a_failed_step_never_wins_by_product() -> None:
    strategy = best_of_n(aggregation="prod")
    request = Request(Operator.GENERATE, ("root",), n=2, horizon="answer", distinct=False)
    thoughts: list[Thought] = []
    for name in ("a", "b"):
        step = Thought(f"{name}1", ("root",), Operator.GENERATE, name, 1)
        last = Thought(
            f"{name}2", (step.id,), Operator.GENERATE, name, 2, terminal=True, answer=name, key=name
        )
        thoughts += [step, last]
    judged = [
        Evaluation("a1", "step", "j", error="NaN"),
        Evaluation("a2", "step", "j", 0.9),
        Evaluation("b1", "step", "j", 0.5),
        Evaluation("b2", "step", "j", 0.5),
    ]
    state = strategy.tell(strategy.start(ROOT), [Outcome(request, tuple(thoughts), tuple(judged))])
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.thought, answer.score) == ("b2", 0.25)


def test_a_weighted_vote_without_weights_is_a_majority_and_says_so() -> None:
    for scores, unscored in (((None, None, None), 3), ((0.0, 0.0, None), 1)):
        strategy = best_of_n(select="weighted")
        told = solutions(*zip(("y", "x", "x"), scores, strict=True))
        state = strategy.tell(strategy.start(ROOT), [told])
        state.operations.clear()
        answer = strategy.answer(state)
        assert answer is not None
        assert (answer.key, answer.score) == ("x", pytest.approx(2 / 3))
        (operation,) = state.operations
        assert operation.operator is Operator.SELECT
        assert operation.detail["final"] == "majority"
        assert operation.detail["unscored"] == unscored
        strategy.answer(state)
        assert len(state.operations) == 1


def test_missing_scores_are_visible_where_they_happen() -> None:
    strategy = best_of_n()
    state = strategy.tell(strategy.start(ROOT), [solutions(("x", None), ("y", 0.5), failed=True)])
    (operation,) = [op for op in state.operations if op.operator is Operator.EVALUATE]
    detail = dict(operation.detail)
    assert (detail["scored"], detail["unscored"], detail["failed"]) == (1, 1, 1)


def test_ties_go_to_the_better_solution_then_to_the_earlier_sample() -> None:
    assert decided("majority", solutions(("x", 0.2), ("y", 0.9), ("x", 0.3), ("y", 0.1)))[0] == "t1"
    assert decided("majority", solutions(("x", None), ("y", None)))[0] == "t0"
    assert decided("best", solutions(("x", 0.5), ("y", 0.5)))[0] == "t0"
    assert decided("weighted", solutions(("x", 0.25), ("y", 0.5), ("x", 0.25)))[0] == "t1"


def test_an_answer_without_a_canonical_form_is_a_last_resort() -> None:
    strategy = self_consistency()
    told = solutions(("x", None), (None, None))
    bare = Thought("raw", ("root",), Operator.GENERATE, "r", 1, terminal=True, answer="some words")
    state = strategy.tell(strategy.start(ROOT), [Outcome(told.request, (bare,))])
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.text, answer.key) == ("some words", None)
    state = strategy.tell(state, [solutions(("x", None), (None, None), (None, None))])
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.key, answer.score) == ("x", 1.0)


@pytest.mark.parametrize("scheme", ["cot", "self_consistency", "best_of_n", "beam", "mcts"])
def test_nothing_finished_gives_the_best_unfinished_thought(scheme: str) -> None:
    strategy = make_strategy(scheme)
    request = Request(Operator.GENERATE, ("root",), n=4)
    names = ("unscored", "low", "high", "wrong")
    thoughts = tuple(Thought(n, ("root",), Operator.GENERATE, n, 1) for n in names)
    evaluations = (
        Evaluation("low", "value", "j", 0.1),
        Evaluation("high", "value", "j", 0.4),
        Evaluation("wrong", "value", "j", 0.9),
        Evaluation("wrong", "rule", "j", 0.0),
    )
    state = strategy.tell(strategy.start(ROOT), [Outcome(request, thoughts, evaluations)])
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.thought, answer.text, answer.score) == ("high", None, 0.4)
    person = Request(Operator.EVALUATE, ("high",), n=0)
    verdict = Evaluation("high", "rule", "person", 0.0)
    state = strategy.tell(state, [Outcome(person, (), (verdict,))])
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.thought, answer.score) == ("low", 0.1)


def test_the_answer_is_the_solution_that_stopped_the_search() -> None:
    strategy = self_consistency(stop_score=1.0)
    state = strategy.tell(strategy.start(ROOT), [solutions(("x", 0.0), ("x", 0.0), ("y", 1.0))])
    assert strategy.ask(state, 1)[0] == []
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.key == "y"


def test_chains_are_asked_for_in_blocks() -> None:
    strategy = self_consistency(n=20, block=8)
    requests, state = strategy.ask(strategy.start(ROOT), 2)
    more, state = strategy.ask(state, 2)
    asked = [(r.n, r.first_sample, r.horizon, r.distinct, r.temperature) for r in (*requests, *more)]
    assert asked == [
        (8, 0, "answer", False, 0.7),
        (8, 8, "answer", False, 0.7),
        (4, 16, "answer", False, 0.7),
    ]
    # a block lost in a crash is asked again; one that was told is not
    state = strategy.tell(strategy.start(ROOT), [Outcome(requests[1], error="lost")])
    assert strategy.ask(state, 9)[0] == [requests[0], more[0]]


def test_chain_of_thought_is_one_greedy_sample() -> None:
    (request,), state = cot().ask(cot().start(ROOT), 8)
    assert (request.n, request.temperature, request.horizon) == (1, 0.0, "answer")
    assert cot().ask(cot().tell(state, [Outcome(request)]), 8)[0] == []


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=12
    ),
    st.sampled_from(["best", "majority", "weighted"]),
)
def test_shares_are_in_range_and_the_winner_is_a_candidate(candidates: list[Candidate], rule: Rule) -> None:
    node, score = decided(rule, solutions(*candidates))
    assert node in {f"t{i}" for i in range(len(candidates))}
    assert score is None or 0.0 <= score <= 1.0
    assert score is not None or all(s is None for _, s in candidates)


def likely(*paths: tuple[float | None, float | None]) -> Outcome:
    """Return one-step solutions with these outcome scores and log-probabilities."""
    told = solutions(*((f"k{i}", score) for i, (score, _) in enumerate(paths)))
    thoughts = (replace(t, logprob=path[1]) for t, path in zip(told.thoughts, paths, strict=True))
    return replace(told, thoughts=tuple(thoughts))


def test_joint_weighs_the_score_by_the_probability_of_the_path() -> None:
    # 0.98 e^-9 = 0.00012, 0.6 e^-2 = 0.081, 0.9 e^-2.5 = 0.074, 0 e^0 = 0; the unscored one comes last
    told = likely((0.98, -9.0), (0.6, -2.0), (0.9, -2.5), (0.0, 0.0), (None, 0.0))
    assert decided("joint", told) == ("t1", 0.6)
    assert decided("best", told) == ("t0", 0.98)


def test_joint_without_scores_takes_the_likeliest() -> None:
    assert decided("joint", likely((None, -3.0), (None, -1.0), (None, -2.0))) == ("t1", None)


def test_joint_multiplies_over_the_steps_of_a_path() -> None:
    search = Hand("mcts", select="joint", branching=2)
    search.grow(search.one(), {"a": 0.5, "b": 0.5})
    for name, logprob in (("a", -1.0), ("b", -5.0)):
        node = search.tree.index[name]
        search.tree.thought[node] = replace(search.tree.thought[node], logprob=logprob)
    for request in search.ask(2):
        [parent] = request.subjects
        search.grow(
            request, {f"{parent}!": {"a": 0.8, "b": 0.9}[parent]}, logprob={"a": -4.0, "b": -1.0}[parent]
        )
    # 0.8 e^-5 = 0.0054 against 0.9 e^-6 = 0.0022, though b's has the better score and the likelier last step
    answer = search.strategy.answer(search.state)
    assert answer.text == "a!"
    assert answer.score == 0.8


def test_joint_needs_log_probabilities() -> None:
    strategy = best_of_n(select="joint")
    with pytest.raises(UserError, match=r"select=joint needs log-probabilities.*use select=best"):
        strategy.answer(strategy.tell(strategy.start(ROOT), [solutions(("x", 0.5))]))
