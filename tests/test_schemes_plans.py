"""Chains of attempts, workflows, graphs of operations and forests, against values and requests worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.graph.records import Evaluation, EvaluationKind, Nested, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import get_scheme, make_strategy
from thoughtgraph.graph.strategies.chains import best_of_n
from thoughtgraph.graph.strategies.plan import portion

from .cases_plans import SMALL
from .search_world import World, run

ROOT = Thought("root", (), Operator.GENERATE, "question", 0)
Reply = Callable[[Request], Outcome]
Judged = tuple[str | None, float | None]


class Played:
    """A search whose requests a function answers, in waves of k."""

    def __init__(self, name: str, reply: Reply, k: int = 100, **params: Any) -> None:
        self.strategy = make_strategy(name, params)
        self.state: Any = self.strategy.start(ROOT)
        self.waves: list[list[Request]] = []
        self.reply, self.k = reply, k
        self.go_on()

    def go_on(self) -> None:
        while True:
            requests, self.state = self.strategy.ask(self.state, self.k)
            if not requests:
                return
            self.waves.append(requests)
            self.state = self.strategy.tell(self.state, [self.reply(request) for request in requests])

    @property
    def requests(self) -> list[Request]:
        return [request for wave in self.waves for request in wave]

    @property
    def operations(self) -> list[tuple[str, tuple[str, ...], dict[str, Any]]]:
        return [(op.operator.value, op.subjects, dict(op.detail)) for op in self.state.operations]

    def answer(self) -> tuple[str, float | None]:
        answer = self.strategy.answer(self.state)
        assert answer is not None
        return answer.thought, answer.score

    def refute(self, thought: str) -> None:
        """Have a person say that a thought is wrong."""
        request = Request(Operator.EVALUATE, (thought,), n=0)
        verdict = Evaluation(thought, "rule", "person", 0.0, request=request.id)
        self.state = self.strategy.tell(self.state, [Outcome(request, (), (verdict,))])


def attempt(request: Request, name: str, key: str | None = None, place: int = 0, **changes: Any) -> Thought:
    """Return a whole attempt, finished if it has an answer."""
    fields: dict[str, Any] = {
        "id": name,
        "parents": request.subjects,
        "operator": request.operator,
        "text": f"text {name}",
        "depth": 1 if request.subjects == ("root",) else 2,
        "request": request.id,
        "sample": request.first_sample + place,
        "terminal": key is not None,
        "answer": key,
        "key": key,
        "whole": True,
    }
    return Thought(**(fields | changes))


def said(thought: str, value: float | None, kind: EvaluationKind = "outcome") -> Evaluation:
    return Evaluation(thought, kind, "judge", value, error=None if value is not None else "it failed")


def outcome(request: Request, *thoughts: tuple[str, str | None, float | None]) -> Outcome:
    """Return attempts with these names, answers and outcome scores."""
    made = tuple(attempt(request, name, key, place) for place, (name, key, _) in enumerate(thoughts))
    return Outcome(request, made, tuple(said(name, v) for name, _, v in thoughts if v is not None))


def worded(request: Request, kind: EvaluationKind, text: str) -> Outcome:
    """Return words about every subject."""
    evaluations = tuple(Evaluation(s, kind, "judge", text=text, request=request.id) for s in request.subjects)
    return Outcome(request, (), evaluations)


def shape(request: Request) -> tuple[str, str, tuple[str, ...], int, int]:
    return request.operator.value, request.action, request.subjects, request.n, request.first_sample


# --- prompting, outcome and process verifiers, weighted votes


@pytest.mark.parametrize("scheme", ["cot", "self_consistency", "best_of_n", "weighted_vote"])
def test_prompting_is_the_action_of_the_request(scheme: str) -> None:
    for prompting, action in (("few_shot", "few_shot"), ("zero_shot", "zero_shot"), ("plain", "")):
        strategy = make_strategy(scheme, {"prompting": prompting})
        (request,), _ = strategy.ask(strategy.start(ROOT), 1)
        assert (request.action, request.horizon, request.distinct) == (action, "answer", False)
        values = {p.name: p.default for p in get_scheme(scheme).parameters} | {"prompting": prompting}
        assert get_scheme(scheme).needs(values) - {"scores"} == ({action} if action else set[str]())
    assert get_scheme(scheme).raw == {"prompting": "plain"}
    assert make_strategy(scheme, {}) == make_strategy(scheme, {"prompting": "few_shot"})


def chains(*scores: Sequence[float | None], outcomes: Sequence[float | None] = ()) -> Outcome:
    """Return one chain for each sequence of step scores, its key its letter; None is an evaluation that failed."""
    request = Request(Operator.GENERATE, ("root",), n=len(scores), horizon="answer", distinct=False)
    thoughts: list[Thought] = []
    evaluations: list[Evaluation] = []
    for sample, (name, steps) in enumerate(zip("abcdef", scores, strict=False)):
        parent = "root"
        for depth, score in enumerate(steps, start=1):
            last = depth == len(steps)
            key = name if last else None
            thoughts.append(
                Thought(
                    f"{name}{depth}", (parent,), Operator.GENERATE, f"{name}{depth}", depth,
                    sample=sample, terminal=last, answer=key, key=key,
                )
            )  # fmt: skip
            parent = f"{name}{depth}"
            evaluations.append(said(parent, score, "step"))
        if sample < len(outcomes):
            evaluations.append(said(parent, outcomes[sample]))
    return Outcome(request, tuple(thoughts), tuple(evaluations))


def chosen(told: Outcome, scheme: str = "best_of_n", **params: Any) -> tuple[str | None, float | None]:
    strategy = make_strategy(scheme, params)
    answer = strategy.answer(strategy.tell(strategy.start(ROOT), [told]))
    assert answer is not None
    return answer.key, answer.score


def test_outcome_and_process_verifier_choose_differently() -> None:
    """A: steps .9 .2 .9, last .9, product .162, minimum .2. B: .8 .8 .8, last .8, product .512. C: .7 .9, last .9 → no: .85, product .595."""
    told = chains((0.9, 0.2, 0.9), (0.8, 0.8, 0.8), (0.7, 0.85))
    assert chosen(told, by="orm") == ("a", 0.9)
    assert chosen(told, by="prm") == ("c", pytest.approx(0.595))
    assert chosen(told, by="prm", aggregation="min") == ("b", 0.8)
    assert chosen(told) == ("a", 0.9)
    assert chosen(told, aggregation="prod") == ("c", pytest.approx(0.595))


def test_a_check_of_the_solution_goes_first_but_for_a_process_verifier() -> None:
    told = chains((0.9, 0.9), (0.5, 0.6), (0.4, 0.4), outcomes=(0.0, 1.0, 0.5))
    assert chosen(told, by="orm") == ("b", 1.0)
    assert chosen(told) == ("b", 1.0)
    assert chosen(told, by="prm") == ("a", pytest.approx(0.81))
    # votes: a .81, b .30, c .16 of 1.27
    assert chosen(told, by="prm", select="weighted") == ("a", pytest.approx(0.81 / 1.27))
    # a solution that only a check judged has no process score
    bare = Outcome(told.request, told.thoughts, tuple(e for e in told.evaluations if e.kind == "outcome"))
    assert chosen(bare, by="prm")[1] is None


def test_a_process_verifier_neither_wins_by_a_failure_nor_revives_the_refuted() -> None:
    told = chains((None, 0.9), (0.5, 0.5))
    assert chosen(told, by="prm") == ("b", 0.25)
    refuted = Outcome(told.request, told.thoughts, (*told.evaluations, said("b1", 0.0, "rule")))
    assert chosen(refuted, by="prm") == ("a", None)


def test_an_outcome_verifier_has_nothing_to_aggregate() -> None:
    with pytest.raises(UserError, match="by=orm goes by one score a solution"):
        make_strategy("best_of_n", {"by": "orm", "aggregation": "prod"})
    assert make_strategy("best_of_n", {"by": "orm", "aggregation": "last"}) == best_of_n(by="orm")
    needs = get_scheme("best_of_n").needs
    assert "scores" in needs({"prompting": "plain", "select": "weighted"})
    assert "step_scores" in needs({"prompting": "plain", "select": "best", "by": "prm"})
    assert needs({"prompting": "plain", "select": "majority"}) == set()


def test_the_weighted_vote_sums_the_scores_at_the_last_step() -> None:
    """X: .9 (one sample); Y: .4 + .3 + .3 = 1.0, by product .2 · .4 + … far less. Share 1.0 / 1.9."""
    told = chains((0.9,), (0.2, 0.4), (0.1, 0.3), (0.1, 0.3))
    thoughts = tuple(
        Thought(
            t.id, t.parents, t.operator, t.text, t.depth, sample=t.sample, terminal=t.terminal,
            answer=t.answer, key=None if t.key is None else ("x" if t.key == "a" else "y"),
        )
        for t in told.thoughts
    )  # fmt: skip
    voted = Outcome(told.request, thoughts, told.evaluations)
    assert chosen(voted, "weighted_vote") == ("y", pytest.approx(1.0 / 1.9))
    assert chosen(voted, "weighted_vote", aggregation="prod")[0] == "x"
    assert chosen(voted, "best_of_n") == ("x", 0.9)
    assert "scores" in get_scheme("weighted_vote").needs({"prompting": "plain"})


# --- step-wise best-of-N


def step(request: Request, name: str, place: int, key: str | None = None) -> Thought:
    return attempt(request, name, key, place, whole=False)


def test_stepwise_best_of_n_keeps_one_candidate_a_step() -> None:
    """Round 1: a .3, b .7, c refuted: b. Round 2 of b: d .6 unfinished, e .8 finished, f .9 whose score failed: e, and the end."""
    rounds = {
        "root": (("a", None, 0.3), ("b", None, 0.7), ("c", None, 0.9)),
        "b": (("d", None, 0.6), ("e", "42", 0.8), ("f", "7", None)),
    }

    def reply(request: Request) -> Outcome:
        listed = rounds[request.subjects[0]]
        thoughts = tuple(step(request, name, place, key) for place, (name, key, _) in enumerate(listed))
        verdicts = [said(name, score, "step") for name, _, score in listed]
        refutations = [said(name, 0.0, "rule") for name, _, _ in listed if name == "c"]
        return Outcome(request, thoughts, (*verdicts, *refutations))

    played = Played("stepwise_bon", reply, n=3)
    assert [shape(r) for r in played.requests] == [
        ("generate", "", ("root",), 3, 0),
        ("generate", "", ("b",), 3, 0),
    ]
    assert all(r.horizon == "step" and not r.distinct for r in played.requests)
    assert played.answer() == ("e", 0.8)
    pruned = [(ids, detail.get("reason")) for name, ids, detail in played.operations if name == "prune"]
    assert pruned == [
        (("c",), "refuted"),
        (("a",), "stepwise"),
        (("c",), "stepwise"),
        (("d",), "stepwise"),
        (("f",), "stepwise"),
    ]


def test_a_finished_candidate_that_was_not_kept_is_no_answer_while_the_kept_one_is_there() -> None:
    """Round 1: a finished .5, b unfinished .6, kept. Round 2: c finished .4 is kept, so it is the answer, though a has more."""

    def reply(request: Request) -> Outcome:
        if request.subjects == ("root",):
            thoughts = (step(request, "a", 0, "1"), step(request, "b", 1))
            return Outcome(request, thoughts, (said("a", 0.5, "step"), said("b", 0.6, "step")))
        return Outcome(request, (step(request, "c", 0, "2"),), (said("c", 0.4, "step"),))

    played = Played("stepwise_bon", reply, n=2)
    assert played.answer() == ("c", 0.4)
    played.refute("c")
    assert played.answer() == ("a", 0.5)
    assert Played("stepwise_bon", reply, n=2, max_steps=1).answer() == ("a", 0.5)


def test_stepwise_chains_draw_samples_of_their_own() -> None:
    strategy = make_strategy("stepwise_bon", {"n": 3, "chains": 3})
    requests, _ = strategy.ask(strategy.start(ROOT), 9)
    assert [(r.n, r.first_sample) for r in requests] == [(3, 0), (3, 3), (3, 6)]


# --- self-refine


class Refiner:
    """Drafts and refines; attempt i has this answer and score. The critic falls silent at one attempt."""

    def __init__(self, *attempts: Judged, silent: int = -1, broken: Sequence[int] = ()) -> None:
        self.attempts, self.silent, self.broken = attempts, silent, broken

    def __call__(self, request: Request) -> Outcome:
        if request.operator is Operator.EVALUATE:
            number = int(request.subjects[0][1:])
            if number == self.silent:
                return Outcome(request)
            if number in self.broken:
                failed = Evaluation(request.subjects[0], "critique", "judge", error="unreadable")
                return Outcome(request, (), (failed,))
            return worded(request, "critique", "the sum is wrong")
        number = 0 if request.subjects == ("root",) else 1 + int(request.subjects[0][1:])
        key, score = self.attempts[number]
        return outcome(request, (f"t{number}", key, score))


def test_self_refine_criticises_and_rewrites_three_times() -> None:
    played = Played("self_refine", Refiner(("1", 0.9), ("2", 0.1), ("3", 0.2), ("4", 0.3)))
    assert [shape(r) for r in played.requests] == [
        ("generate", "", ("root",), 1, 0),
        ("evaluate", "critique", ("t0",), 1, 0),
        ("refine", "", ("t0",), 1, 0),
        ("evaluate", "critique", ("t1",), 1, 0),
        ("refine", "", ("t1",), 1, 0),
        ("evaluate", "critique", ("t2",), 1, 0),
        ("refine", "", ("t2",), 1, 0),
    ]
    assert {r.horizon for r in played.requests if r.grows} == {"solution"}
    assert played.answer() == ("t3", 0.3)  # the last, though the first was better
    best = Played("self_refine", Refiner(("1", 0.9), ("2", 0.1), ("3", 0.2), ("4", 0.3)), select="best")
    assert best.answer() == ("t0", 0.9)


def test_self_refine_stops_when_the_critic_has_nothing_to_say() -> None:
    played = Played("self_refine", Refiner(("1", None), ("2", None), silent=1), rounds=5)
    assert [r.operator.value for r in played.requests] == ["generate", "evaluate", "refine", "evaluate"]
    assert played.answer() == ("t1", None)


def test_a_criticism_that_failed_is_no_praise() -> None:
    played = Played("self_refine", Refiner(("1", None), ("2", None), broken=(0,)), rounds=1)
    assert [r.operator.value for r in played.requests] == ["generate", "evaluate", "refine"]

    def dead(request: Request) -> Outcome:
        refiner = Refiner(("1", None), ("2", None))
        return refiner(request) if request.grows else Outcome(request, error="the model failed")

    assert [r.operator.value for r in Played("self_refine", dead, rounds=1).requests][-1] == "refine"


def test_the_last_attempt_is_the_last_that_lives_and_is_finished() -> None:
    played = Played("self_refine", Refiner(("1", None), ("2", None), (None, None)), rounds=2)
    assert played.answer()[0] == "t1"
    played.refute("t1")
    assert played.answer()[0] == "t0"


def test_several_chains_of_refinements_vote_with_their_last_attempts() -> None:
    """Chains 0 and 2 end with x after drafting y; chain 1 ends with y: x wins 2 of 3, though drafts and ends together are 4 y to 2 x."""

    def reply(request: Request) -> Outcome:
        if request.operator is Operator.EVALUATE:
            return worded(request, "critique", "hm")
        if request.subjects == ("root",):
            return outcome(request, (f"d{request.first_sample}", "y", None))
        number = int(request.subjects[0][1:])
        return outcome(request, (f"e{number}", "y" if number == 1 else "x", None))

    played = Played("self_refine", reply, rounds=1, chains=3)
    assert [len(wave) for wave in played.waves] == [3, 3, 3]
    assert played.answer() == ("e0", pytest.approx(2 / 3))


# --- sequential revisions

TABLE: dict[str, list[Judged]] = {
    "a": [("x", 0.9), ("y", 0.2), ("y", 0.2)],
    "b": [("y", 0.3), ("y", 0.3), ("x", 0.1)],
    "c": [("y", 0.3), ("y", 0.25), ("z", 0.5)],
}


def revised(request: Request) -> Outcome:
    """Return attempt a0 for chain 0, a1 for its first revision, as in the table."""
    if request.subjects == ("root",):
        name = "abc"[request.first_sample]
        return outcome(request, (f"{name}0", *TABLE[name][0]))
    name, number = request.subjects[0][0], int(request.subjects[0][1:]) + 1
    made = attempt(request, f"{name}{number}", TABLE[name][number][0], depth=number + 1)
    return Outcome(request, (made,), (said(made.id, TABLE[name][number][1]),))


def test_selection_within_and_across_chains_differs_from_a_flat_vote() -> None:
    """Within, weighted: a: x .9 > y .4, so x with .9; b: y .6 > x .1, so y with .3; c: y .55 > z .5, so y with .3.
    Across, weighted: x .9 > y .6, share .9 / 1.5. Flat majority: y 6 of 9. Flat weighted: y 1.55 > x 1.0 > z .5, of 3.05."""
    params: dict[str, Any] = {"chains": 3, "revisions": 3}
    assert Played("sequential_revisions", revised, **params).answer() == ("a0", pytest.approx(0.6))
    flat = Played("sequential_revisions", revised, select="majority", **params)
    assert flat.answer() == ("b0", pytest.approx(6 / 9))
    weighted = Played("sequential_revisions", revised, select="weighted", **params)
    assert weighted.answer() == ("b0", pytest.approx(1.55 / 3.05))
    assert Played("sequential_revisions", revised, select="best", **params).answer() == ("a0", 0.9)


def test_the_choice_among_chains_counts_all_candidates() -> None:
    played = Played("sequential_revisions", revised, chains=3, revisions=3)
    played.answer()
    detail = played.operations[-1][2]
    assert (detail["final"], detail["candidates"], detail["unscored"]) == ("weighted", 9, 0)


def test_without_scores_the_hierarchy_is_majorities() -> None:
    def unscored(request: Request) -> Outcome:
        told = revised(request)
        return Outcome(request, told.thoughts)

    # within: a y (a1, a2), b y (b0, b1), c y (c0, c1); across: y, 3 of 3; of a1, b0, c0 the samples are 1, 1, 2 and b0 is less deep
    played = Played("sequential_revisions", unscored, chains=3, revisions=3)
    assert played.answer() == ("b0", 1.0)


def test_a_revision_reads_the_last_four_attempts_newest_first() -> None:
    def reply(request: Request) -> Outcome:
        number = 0 if request.subjects == ("root",) else int(request.subjects[0][1:]) + 1
        made = attempt(request, f"t{number}", "x", depth=number + 1)
        return Outcome(request, (made,), (said(made.id, 0.0, "rule"),) if number == 1 else ())

    played = Played("sequential_revisions", reply, chains=1, revisions=6, select="majority")
    assert [(r.operator.value, r.subjects) for r in played.requests] == [
        ("generate", ("root",)),
        ("refine", ("t0",)),
        ("refine", ("t1", "t0")),  # refuted attempts too: there is something to learn from them
        ("refine", ("t2", "t1", "t0")),
        ("refine", ("t3", "t2", "t1", "t0")),
        ("refine", ("t4", "t3", "t2", "t1")),
    ]
    tree = played.state.tree
    last = tree.index["t5"]
    assert [tree.thought[node].id for node in tree.parents(last)] == ["t4", "t3", "t2", "t1"]
    assert played.answer() == ("t0", 1.0)


def test_a_revision_that_came_to_nothing_takes_its_turn_only() -> None:
    def reply(request: Request) -> Outcome:
        if request.first_sample == 1:
            return Outcome(request, error="the model failed")
        return outcome(request, (f"t{request.first_sample}", "x", None))

    played = Played("sequential_revisions", reply, chains=1, revisions=4)
    assert [(r.subjects, r.first_sample) for r in played.requests] == [
        (("root",), 0),
        (("t0",), 1),
        (("t0",), 2),
        (("t2", "t0"), 3),
    ]


def test_parallel_chains_are_begun_as_there_is_room_and_earlier_ones_go_first() -> None:
    strategy = make_strategy("sequential_revisions", {"chains": 1_000_000, "revisions": 2})
    first, state = strategy.ask(strategy.start(ROOT), 2)
    assert [r.first_sample for r in first] == [0, 1]
    state = strategy.tell(state, [outcome(first[1], ("b0", "x", None))])
    more, state = strategy.ask(state, 2)
    assert [r.subjects for r in more] == [("b0",), ("root",)]
    state = strategy.tell(state, [outcome(first[0], ("a0", "x", None))])
    (revision,), state = strategy.ask(state, 1)
    assert revision.subjects == ("a0",)
    assert len(state.memory.lines) == 3  # of a million


# --- agent workflow


def worker(
    request: Request, plan: str = "count the apples\n\n  count the pears \nadd them up", **scores: float
) -> Outcome:
    """Plan, solve and integrate; p0, p1, … are results of parts, w0, w1, … attempts at the whole, s0, s1, … integrated."""
    if request.action == "plan":
        made = attempt(request, "plan", text=plan)
        return Outcome(request, (made,))
    if request.operator is Operator.EVALUATE:
        return worded(request, "critique", "look again")
    if request.nested is not None:
        letter = "p" if request.nested.question else "w"
        name = f"{letter}{request.first_sample}"
        key = None if request.nested.question else "9"
        return Outcome(request, (attempt(request, name, key, nested=f"run {name}"),))
    names = [f"s{i}" for i in range(request.n)]
    return outcome(request, *((name, f"answer {name}", scores.get(name)) for name in names))


def test_the_workflow_plans_solves_checks_and_integrates() -> None:
    played = Played("agent_workflow", worker)
    assert [[shape(r) for r in wave] for wave in played.waves] == [
        [("generate", "plan", ("root",), 1, 0)],
        [
            ("generate", "", ("plan",), 1, 0),
            ("generate", "", ("plan",), 1, 1),
            ("generate", "", ("plan",), 1, 2),
        ],
        [("evaluate", "critique", (f"p{i}",), 1, 0) for i in range(3)],
        [("aggregate", "", ("p0", "p1", "p2"), 1, 0)],
    ]
    # three equal parts of 3/4: 1/4 of all; then 1/4 of the 3/4 that are left; then 1/4 of 1/2
    nested = [r.nested for r in played.waves[1] if r.nested]
    assert [(n.scheme, n.params, n.question) for n in nested] == [
        ("cot", (), "count the apples"),
        ("cot", (), "count the pears"),
        ("cot", (), "add them up"),
    ]
    assert [n.share for n in nested] == [pytest.approx(1 / 4), pytest.approx(1 / 3), pytest.approx(1 / 2)]
    tree = played.state.tree
    assert [tree.thought[n].id for n in tree.parents(tree.index["s0"])] == ["p0", "p1", "p2"]
    assert played.answer() == ("s0", None)


def test_the_workflow_without_a_plan_integrates_several_attempts() -> None:
    played = Played("agent_workflow", worker, plan=False, check=False, n=2, solver="self_consistency")
    assert [[shape(r) for r in wave] for wave in played.waves] == [
        [("generate", "", ("root",), 1, i) for i in range(3)],
        [("aggregate", "", ("w0", "w1", "w2"), 2, 0)],
    ]
    assert [
        r.nested and (r.nested.scheme, dict(r.nested.params), r.nested.question) for r in played.waves[0]
    ] == [("self_consistency", {"temperature": 0.7}, None)] * 3
    # attempts have answers too, but what was integrated of them goes first; with scores, the best of it
    assert played.answer()[0] == "s0"
    scored = Played("agent_workflow", lambda r: worker(r, s0=0.1, s1=0.6), plan=False, check=False, n=2)
    assert scored.answer() == ("s1", 0.6)
    cut = Played("agent_workflow", worker, plan=False, check=False, n=2, select="majority")
    cut.refute("s0")
    cut.refute("s1")
    assert cut.answer() == ("w0", 1.0)


def test_a_plan_of_one_part_is_refined_and_long_plans_are_cut() -> None:
    played = Played("agent_workflow", worker, max_parts=1)
    assert [shape(r) for r in played.requests][-1] == ("refine", "", ("p0",), 1, 0)
    assert played.waves[1][0].nested == Nested("cot", (), "count the apples", 0.75)


def without_solutions(request: Request) -> Outcome:
    if request.nested is not None and request.nested.question:
        return Outcome(request, error="a sub-problem cannot be read as a problem")
    return worker(request)


def planning(plan: Reply) -> Reply:
    return lambda request: plan(request) if request.action == "plan" else worker(request)


@pytest.mark.parametrize(
    "reply",
    [
        planning(lambda request: Outcome(request, error="the model failed")),
        planning(lambda request: worker(request, plan="  \n ")),
        planning(lambda request: Outcome(request, worker(request).thoughts, (said("plan", 0.0, "rule"),))),
        planning(lambda request: Outcome(request, (attempt(request, "plan", "9"),))),
        without_solutions,
    ],
    ids=["failed", "empty", "refuted", "an answer", "unsolvable"],
)
def test_a_plan_that_leads_nowhere_is_dropped(reply: Reply) -> None:
    played = Played("agent_workflow", reply)
    tried = [r for r in played.requests if r.nested and r.nested.question is None]
    assert [shape(r) for r in tried] == [("generate", "", ("root",), 1, i) for i in range(3)]
    assert shape(played.requests[-1]) == ("aggregate", "", ("w0", "w1", "w2"), 1, 0)
    assert played.answer()[0] == "s0"


def test_a_plan_refuted_before_its_parts_were_begun_is_not_continued() -> None:
    played = Played("agent_workflow", lambda r: Outcome(r, error="stopped"))
    strategy, state = played.strategy, played.strategy.start(ROOT)
    (plan,), state = strategy.ask(state, 1)
    played.state = strategy.tell(state, [worker(plan)])
    played.refute("plan")
    requests, _ = strategy.ask(played.state, 9)
    assert [shape(r) for r in requests] == [("generate", "", ("root",), 1, i) for i in range(3)]


def test_workflows_side_by_side_have_samples_of_their_own() -> None:
    strategy = make_strategy("agent_workflow", {"workflows": 2, "solvers": 3})
    requests, state = strategy.ask(strategy.start(ROOT), 9)
    assert [shape(r) for r in requests] == [
        ("generate", "plan", ("root",), 1, 0),
        ("generate", "plan", ("root",), 1, 3),
    ]
    state = strategy.tell(state, [Outcome(r, error="no") for r in requests])
    requests, _ = strategy.ask(state, 9)
    assert [r.first_sample for r in requests] == list(range(6))


def test_a_workflow_needs_what_its_stages_and_its_solver_need() -> None:
    scheme = get_scheme("agent_workflow")
    values = {p.name: p.default for p in scheme.parameters}
    assert scheme.needs(values) == {"plan", "critique", "aggregate", "refine"}
    bare = scheme.needs(values | {"plan": False, "check": False, "solver": "beam"})
    assert bare == {"step_scores", "aggregate", "refine"}
    with pytest.raises(UnknownNameError, match="did you mean 'cot'"):
        make_strategy("agent_workflow", {"solver": "cott"})


# --- graph of thoughts


class Graph:
    """Grows attempts whose scores are listed by operation: g generated, a aggregated, r refined, in the order of the operations."""

    def __init__(
        self, *scores: Sequence[float], orders: Sequence[str | None] = (), kind: EvaluationKind = "outcome"
    ) -> None:
        self.scores, self.orders, self.kind = list(scores), list(orders), kind
        self.values: dict[str, float] = {}

    def __call__(self, request: Request) -> Outcome:
        if request.action == "control":
            order = self.orders.pop(0)
            return (
                Outcome(request, error="the model failed")
                if order is None
                else worded(request, "choice", order)
            )
        if request.action == "value":
            (subject,) = request.subjects
            return Outcome(request, (), (said(subject, self.values[subject], "value"),))
        letter, turn = request.operator.value[0], len(self.scores)
        thoughts: list[Thought] = []
        for place, score in enumerate(self.scores.pop(0)):
            made = attempt(request, f"{letter}{turn}.{place}", f"{letter}{turn}.{place}", place)
            self.values[made.id] = score
            thoughts.append(made)
        judged = () if self.kind == "value" else tuple(said(t.id, self.values[t.id]) for t in thoughts)
        return Outcome(request, tuple(thoughts), judged)


PLAN: dict[str, Any] = {"generate": 3, "keep": 2, "aggregate": 2, "refine": 2, "stop_score": None}


def test_the_graph_of_operations_has_thoughts_of_several_parents() -> None:
    """Generated .2 .5 .4: keeps .5 and .4. Aggregated of both .45 .1: keeps .5 and .45, drops .4 .1.
    Refines the .5: .3 .7: keeps .7 .5, drops .45 .3. Aggregates .7 and .5: .6 .6: keeps .7 and the first .6, drops .6 .5.
    Refines the .7: .1 .65: keeps .7 .65, drops .6 .1."""
    graph = Graph((0.2, 0.5, 0.4), (0.45, 0.1), (0.3, 0.7), (0.6, 0.6), (0.1, 0.65))
    played = Played("got", graph, rounds=2, **PLAN)
    assert [shape(r) for r in played.requests] == [
        ("generate", "", ("root",), 3, 0),
        ("aggregate", "", ("g5.1", "g5.2"), 2, 2),
        ("refine", "", ("g5.1",), 2, 4),
        ("aggregate", "", ("r3.1", "g5.1"), 2, 6),
        ("refine", "", ("r3.1",), 2, 8),
    ]
    assert {r.horizon for r in played.requests} == {"solution"}
    tree = played.state.tree
    parents = {tree.thought[n].id: [tree.thought[p].id for p in tree.parents(n)] for n in range(1, len(tree))}
    assert parents == {
        "g5.0": ["root"],
        "g5.1": ["root"],
        "g5.2": ["root"],
        "a4.0": ["g5.1", "g5.2"],
        "a4.1": ["g5.1", "g5.2"],
        "r3.0": ["g5.1"],
        "r3.1": ["g5.1"],
        "a2.0": ["r3.1", "g5.1"],
        "a2.1": ["r3.1", "g5.1"],
        "r1.0": ["r3.1"],
        "r1.1": ["r3.1"],
    }
    pruned = [ids[0] for name, ids, _ in played.operations if name == "prune"]
    assert pruned == ["g5.0", "g5.2", "a4.1", "a4.0", "r3.0", "a2.1", "g5.1", "a2.0", "r1.0"]
    assert played.answer() == ("r3.1", 0.7)


def test_an_evaluator_may_score_the_thoughts() -> None:
    played = Played(
        "got", Graph((0.2, 0.5, 0.4), (0.9, 0.1), (0.3, 0.2), kind="value"), judge="value", **PLAN
    )
    assert [shape(r)[:3] for r in played.requests] == [
        ("generate", "", ("root",)),
        *(("evaluate", "value", (f"g3.{i}",)) for i in range(3)),
        ("aggregate", "", ("g3.1", "g3.2")),
        *(("evaluate", "value", (f"a2.{i}",)) for i in range(2)),
        ("refine", "", ("a2.0",)),
        *(("evaluate", "value", (f"r1.{i}",)) for i in range(2)),
    ]
    assert played.answer() == ("a2.0", 0.9)
    assert get_scheme("got").needs({"judge": "value", "control": "model", "parts": 0}) == {
        "value",
        "control",
        "aggregate",
        "refine",
    }


def test_the_operations_of_a_single_thought_are_refinements() -> None:
    played = Played("got", Graph((0.2, 0.5, 0.4), (0.1, 0.1), (0.6, 0.1)), **(PLAN | {"keep": 1}))
    assert [shape(r) for r in played.requests][1:] == [
        ("refine", "", ("g3.1",), 2, 2),
        ("refine", "", ("g3.1",), 2, 4),
    ]


def test_a_model_may_order_the_operations() -> None:
    """It orders a refinement, fresh attempts, an aggregation, and stops; the plan would have gone on to a ninth operation."""
    graph = Graph(
        (0.2, 0.5, 0.4),
        (0.3, 0.6),
        (0.1, 0.2, 0.55),
        (0.1, 0.1),
        orders=["Refine ", "generate", "aggregate", "stop"],
    )
    played = Played("got", graph, control="model", rounds=4, **PLAN)
    assert [shape(r)[:4] for r in played.requests] == [
        ("generate", "", ("root",), 3),
        ("evaluate", "control", ("g4.1", "g4.2"), 1),
        ("refine", "", ("g4.1",), 2),
        ("evaluate", "control", ("r3.1", "g4.1"), 1),
        ("generate", "", ("root",), 3),
        ("evaluate", "control", ("r3.1", "g2.2"), 1),
        ("aggregate", "", ("r3.1", "g2.2"), 2),
        ("evaluate", "control", ("r3.1", "g2.2"), 1),
    ]
    ordered = [
        (d["operation"], d["by"]) for name, _, d in played.operations if name == "select" and "by" in d
    ]
    assert ordered == [("refine", "model"), ("generate", "model"), ("aggregate", "model"), ("stop", "model")]


def test_an_order_that_cannot_be_read_or_done_falls_to_the_plan() -> None:
    graph = Graph((0.2, 0.5, 0.4), (0.3, 0.6), (0.1, 0.2), orders=["dance", None])
    played = Played("got", graph, control="model", **PLAN)
    assert [r.operator.value for r in played.requests if r.grows] == ["generate", "aggregate", "refine"]
    ordered = [
        (d["operation"], d["by"]) for name, _, d in played.operations if name == "select" and "by" in d
    ]
    assert ordered == [("aggregate", "plan"), ("refine", "plan")]
    single = Graph((0.2, 0.5, 0.4), (0.3, 0.6), orders=["aggregate", "stop"])
    alone = Played("got", single, control="model", **(PLAN | {"keep": 1}))
    ordered = [(d["operation"], d["by"]) for name, _, d in alone.operations if name == "select" and "by" in d]
    assert ordered == [("aggregate", "plan"), ("stop", "model")]
    assert [r.operator.value for r in alone.requests if r.grows] == ["generate", "refine"]


class Splitter(Graph):
    """Splits the question in two; results of part 0 score .1 .8, of part 1 .6 .3."""

    PARTS = ((0.1, 0.8), (0.6, 0.3))

    def __call__(self, request: Request) -> Outcome:
        if request.action == "split":
            halves = tuple(attempt(request, f"half{i}", place=i, text=f"half {i}?") for i in range(request.n))
            return Outcome(request, halves)
        if request.nested is None:
            return super().__call__(request)
        half = int(request.subjects[0][-1])
        made = attempt(request, f"h{half}.{request.first_sample}", nested="run")
        return Outcome(request, (made,), (said(made.id, self.PARTS[half][request.first_sample], "step"),))


def test_parts_are_answered_apart_and_their_best_results_aggregated() -> None:
    params: dict[str, Any] = PLAN | {"generate": 2, "parts": 2, "solver": "self_consistency"}
    played = Played("got", Splitter((0.4, 0.2), (0.5, 0.1)), **params)
    assert [shape(r) for r in played.requests] == [
        ("generate", "split", ("root",), 2, 0),
        ("generate", "", ("half0",), 1, 0),
        ("generate", "", ("half0",), 1, 1),
        ("generate", "", ("half1",), 1, 0),
        ("generate", "", ("half1",), 1, 1),
        ("aggregate", "", ("h0.1", "h1.0"), 2, 4),
        ("refine", "", ("a2.0",), 2, 6),
    ]
    nested = [r.nested for r in played.requests if r.nested]
    assert [(n.question, n.share) for n in nested] == [
        ("half 0?", pytest.approx(0.75 / 4)),
        ("half 0?", pytest.approx(0.75 / 3.25)),
        ("half 1?", pytest.approx(0.75 / 2.5)),
        ("half 1?", pytest.approx(0.75 / 1.75)),
    ]
    assert dict(nested[0].params) == {"temperature": 0.7}
    tree = played.state.tree
    assert [tree.thought[n].id for n in tree.parents(tree.index["a2.0"])] == ["h0.1", "h1.0"]
    pruned = [ids[0] for name, ids, _ in played.operations if name == "prune"]
    assert pruned == ["h1.1", "h0.0", "a2.1", "r1.1"]
    assert played.answer() == ("r1.0", 0.5)
    assert get_scheme("got").needs({"judge": "team", "control": "plan", "parts": 2, "solver": "cot"}) == {
        "scores",
        "split",
        "aggregate",
        "refine",
    }


def test_parts_that_nobody_answered_leave_the_whole_question() -> None:
    def reply(request: Request) -> Outcome:
        return Outcome(request, error="no") if request.nested else graph(request)

    graph = Splitter((0.2, 0.5), (0.4, 0.2), (0.5, 0.1))
    played = Played("got", reply, **(PLAN | {"generate": 2, "parts": 2}))
    assert [r.operator.value for r in played.requests if not r.nested] == [
        "generate",
        "generate",
        "aggregate",
        "refine",
    ]
    assert played.requests[5].subjects == ("root",)


def test_a_part_whose_aggregation_fails_is_tried_again_as_often_as_the_plan_allows() -> None:
    def reply(request: Request) -> Outcome:
        return Outcome(request, error="no") if request.operator is Operator.AGGREGATE else graph(request)

    graph = Splitter()
    played = Played("got", reply, **(PLAN | {"generate": 2, "parts": 2, "rounds": 2}))
    tried = [r.first_sample for r in played.requests if r.operator is Operator.AGGREGATE]
    assert tried == [4, 6, 8, 10]


# --- forest


def grown(request: Request, key: str | None) -> Outcome:
    return outcome(request, (f"tree{request.first_sample}", key, None))


def test_a_forest_stops_at_more_than_half_of_its_trees() -> None:
    """Five trees, one at a time: x y x x, and x has 3 > 2.5 after four of them."""
    keys = "xyxxy"
    played = Played("forest", lambda r: grown(r, keys[r.first_sample]), k=1, trees=5)
    assert [shape(r) for r in played.requests] == [("generate", "", ("root",), 1, i) for i in range(4)]
    assert played.answer() == ("tree0", pytest.approx(3 / 4))
    played.refute("tree2")  # x has 2: the vote is open again
    played.go_on()
    assert [r.first_sample for r in played.requests] == [0, 1, 2, 3, 4]
    assert played.answer() == ("tree0", pytest.approx(2 / 4))


def test_half_of_the_trees_are_not_enough_and_all_may_grow_at_once() -> None:
    played = Played("forest", lambda r: grown(r, "x"), k=1, trees=4)
    assert len(played.requests) == 3
    wave = Played("forest", lambda r: grown(r, None if r.first_sample else "x"), trees=4)
    assert [len(w) for w in wave.waves] == [4]
    assert wave.answer() == ("tree0", 1.0)


def test_trees_get_equal_parts_of_the_budget() -> None:
    wave = Played("forest", lambda r: grown(r, None), trees=4)
    assert [r.nested for r in wave.requests] == [
        Nested("mcts", (), None, share) for share in (1 / 4, 1 / 3, 1 / 2, 1.0)
    ]
    fixed = Played("forest", lambda r: grown(r, None), trees=2, share=0.2, scheme="beam")
    assert [r.nested for r in fixed.requests] == [Nested("beam", (), None, 0.2)] * 2


def test_a_forest_is_of_trees() -> None:
    with pytest.raises(UserError, match=r"scheme=cot grows no tree; give one of .*beam.*mcts"):
        make_strategy("forest", {"scheme": "cot"})
    with pytest.raises(UnknownNameError, match="did you mean 'mcts'"):
        make_strategy("forest", {"scheme": "mtcs"})


# --- what holds for all of them


@given(of=st.integers(1, 200), part=st.floats(0.05, 1.0))
def test_portions_of_what_is_left_are_equal_parts(of: int, part: float) -> None:
    left = 1.0
    for place in range(of):
        share = portion(place, of, part)
        assert 0.0 < share <= 1.0 + 1e-9
        assert left * share == pytest.approx(part / of)
        left -= part / of


FILLED = [
    "self_consistency",
    "best_of_n",
    "weighted_vote",
    "stepwise_bon",
    "self_refine",
    "sequential_revisions",
    "agent_workflow",
    "got",
    "forest",
]


@pytest.mark.parametrize("name", FILLED)
def test_filled_a_search_goes_on_as_long_as_it_is_paid(name: str) -> None:
    scheme = get_scheme(name)
    assert scheme.fill
    params = {**SMALL.get(name, {}), **scheme.raw, **scheme.fill}
    trace = run(make_strategy(name, params), World(seed=1, goal=2.0), limit=500)
    assert len(trace.told) >= 500
    assert trace.answer is not None


@pytest.mark.parametrize("name", [*FILLED, "cot"])
def test_with_models_that_only_continue_text_no_action_is_asked_that_they_do_not_know(name: str) -> None:
    scheme = get_scheme(name)
    trace = run(make_strategy(name, {**SMALL.get(name, {}), **scheme.raw}), World(seed=2, goal=2.0))
    asked = {(o.request.operator is Operator.EVALUATE, o.request.action) for o in trace.told}
    known = {(True, a) for a in ("value", "vote", "compare", "critique", "discriminate")}
    assert asked <= known | {(False, ""), (False, "finish")}
