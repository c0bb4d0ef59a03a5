"""Compute-optimal scaling: difficulty, table, and the hand-over from the probe to the chosen scheme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import defaults, get_scheme, make_strategy, schemes
from thoughtgraph.graph.schemes.composition import _KEPT  # pyright: ignore[reportPrivateUsage]
from thoughtgraph.graph.schemes.compute_optimal import kept_table, read_table
from thoughtgraph.graph.strategies.meta import MetaState

from .scheme_cases import SMALL
from .search_world import ROOT as START
from .search_world import World, run

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)

EASY: dict[str, Any] = {"scheme": "self_consistency", "params": {"n": 6, "block": 2}}
MIDDLE: dict[str, Any] = {"scheme": "beam", "params": {"beams": 6, "width": 2}}
HARD: dict[str, Any] = {"scheme": "mcts", "params": {}}


@pytest.fixture
def table() -> str:
    """A table of two budgets: 500 with edges .25 and .5, and 2000 with one choice."""
    budgets = {
        "500": {"edges": [0.25, 0.5], "choices": [EASY, MIDDLE, HARD]},
        "2000": {"edges": [], "choices": [HARD]},
    }
    return json.dumps({"task": "text", "model": "m", "probe": 4, "budgets": budgets})


def probed(request: Request, *samples: tuple[str | None, float | None]) -> Outcome:
    """Return chains of one step with answers and scores; answer None is an unfinished one."""
    thoughts: list[Thought] = []
    verdicts: list[Evaluation] = []
    for i, (answer, score) in enumerate(samples, start=request.first_sample):
        thought = Thought(
            f"p{i}",
            ("root",),
            Operator.GENERATE,
            f"step {i}",
            1,
            request=request.id,
            sample=i,
            terminal=answer is not None,
            answer=answer,
            key=answer,
        )
        thoughts.append(thought)
        if score is not None:
            verdicts.append(Evaluation(thought.id, "step", "v", score, request=request.id))
    return Outcome(request, tuple(thoughts), tuple(verdicts))


def after_probe(table: str, *samples: tuple[str | None, float | None], **params: object) -> tuple[Any, Any]:
    """Return a search that was told its probe of these samples."""
    strategy = make_strategy("compute_optimal", {"table": table, "block": 2, **params})
    state = strategy.start(QUESTION)
    requests, state = strategy.ask(state, 8)
    assert sum(request.n for request in requests) == len(samples)
    for request in requests:
        part = samples[request.first_sample : request.first_sample + request.n]
        state = strategy.tell(state, [probed(request, *part)])
    return strategy, state


@pytest.mark.parametrize(
    ("samples", "difficulty", "chosen"),
    [
        # 1 - (.9 + .8 + .7 + .6) / 4 = .25: on the edge, so the easier bin
        ([("1", 0.9), ("1", 0.8), ("2", 0.7), ("1", 0.6)], 0.25, "self_consistency"),
        # the unfinished and the unscored say nothing: 1 - (.6 + .4) / 2 = .5
        ([("1", 0.6), (None, 0.1), ("2", 0.4), ("1", None)], 0.5, "beam"),
        ([("1", 0.4), ("1", 0.4), ("2", 0.4), ("1", 0.4)], 0.6, "mcts"),
        # nothing scored: three of four agree, and an unfinished one agrees with nobody
        ([("1", None), ("1", None), ("2", None), ("1", None)], 0.25, "self_consistency"),
        ([("1", None), ("1", None), (None, None), ("2", None)], 0.5, "beam"),
        ([(None, None)] * 4, 1.0, "mcts"),
    ],
)
def test_difficulty_by_hand_and_the_bin_it_falls_in(
    table: str, samples: list[tuple[str | None, float | None]], difficulty: float, chosen: str
) -> None:
    _, state = after_probe(table, *samples)
    assert state.difficulty == pytest.approx(difficulty)
    assert state.strategy.name == chosen
    (note,) = [op for op in state.operations if "scheme" in op.detail]
    assert (note.operator, note.subjects) == (Operator.SELECT, ("root",))
    assert note.detail == {"scheme": chosen, "difficulty": pytest.approx(difficulty)}


def test_a_refuted_solution_scores_nothing(table: str) -> None:
    strategy = make_strategy("compute_optimal", {"table": table, "probe": 2})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    told = probed(request, ("1", None), ("1", None))
    verdicts = (Evaluation("p0", "rule", "r", 0.0, request=request.id), Evaluation("p1", "step", "v", 0.8))
    state = strategy.tell(state, [Outcome(request, told.thoughts, verdicts)])
    assert state.difficulty == pytest.approx(1 - (0 + 0.8) / 2)


def test_a_probe_that_came_to_nothing_is_hard(table: str) -> None:
    strategy = make_strategy("compute_optimal", {"table": table})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    state = strategy.tell(state, [Outcome(request, error="the model failed")])
    assert state.difficulty == 1.0
    assert strategy.ask(state, 1)[0]


def test_the_probe_counts_and_stays_in_the_pool(table: str) -> None:
    """Six chains in blocks of two, four of them the probe's: two more are drawn, from where the probe ended, and all six vote."""
    strategy, state = after_probe(table, ("1", 0.9), ("1", 0.9), ("1", 0.9), ("2", 0.9))
    requests, state = strategy.ask(state, 8)
    assert [(r.first_sample, r.n) for r in requests] == [(4, 2)]
    state = strategy.tell(state, [probed(requests[0], ("2", 0.9), ("1", 0.9))])
    assert strategy.ask(state, 8)[0] == []
    answer = strategy.answer(state)
    assert answer is not None
    assert (answer.text, answer.score) == ("1", pytest.approx(4 / 6))


def test_nothing_is_noted_twice_at_the_hand_over(table: str) -> None:
    _, state = after_probe(table, ("1", 0.9), ("1", 0.9), ("1", 0.9), ("2", 0.9))
    made = [op for op in state.operations if op.operator is Operator.GENERATE]
    assert len(made) == 2
    assert state.operations is state.inner.operations
    state.operations.clear()
    assert state.inner.operations == []


def test_nothing_is_asked_beyond_the_probe_before_it_is_told(table: str) -> None:
    strategy = make_strategy("compute_optimal", {"table": table, "block": 2})
    state = strategy.start(QUESTION)
    requests, state = strategy.ask(state, 8)
    assert [(r.first_sample, r.n, r.horizon) for r in requests] == [(0, 2, "answer"), (2, 2, "answer")]
    assert strategy.ask(state, 8)[0] == []
    state = strategy.tell(state, [probed(requests[1], ("1", 0.9), ("1", 0.9))])
    assert strategy.ask(state, 8)[0] == []
    answer = strategy.answer(state)
    assert answer is not None
    assert answer.text == "1"


@pytest.mark.parametrize(
    ("tokens", "chosen"),
    [(0, "beam"), (100, "beam"), (500, "beam"), (1999, "beam"), (2000, "mcts"), (9999, "mcts")],
)
def test_the_nearest_budget_not_above_is_used(table: str, tokens: int, chosen: str) -> None:
    _, state = after_probe(table, *[("1", 0.6)] * 4, budget_tokens=tokens)
    assert state.strategy.name == chosen


def test_an_outcome_of_the_chosen_scheme_may_come_before_the_probes(table: str) -> None:
    world = World(seed=2, goal=2.0)
    strategy = make_strategy("compute_optimal", {"table": table, "block": 2})
    trace = run(strategy, world, limit=12)
    state = strategy.tell(strategy.start(START), [*trace.told[2:], *trace.told[:2]])
    assert isinstance(state, MetaState)
    assert state.difficulty == trace.state.difficulty
    assert set(state.tree.index) == set(trace.state.tree.index)


def test_without_a_table_nothing_is_paid() -> None:
    strategy = make_strategy("compute_optimal")
    state = strategy.start(QUESTION)
    with pytest.raises(UserError, match="thoughtgraph compare … --learn FILE"):
        strategy.ask(state, 1)
    assert strategy.answer(state) is None


def test_the_needs_are_those_of_any_scheme_it_may_choose(table: str) -> None:
    scheme = get_scheme("compute_optimal")
    values = {**defaults("compute_optimal"), "table": table, "budget_tokens": 700}
    chosen = ("self_consistency", EASY), ("beam", MIDDLE), ("mcts", HARD)
    wanted = {"few_shot"}
    for name, choice in chosen:
        wanted |= get_scheme(name).needs({**defaults(name), **choice["params"]})
    assert scheme.needs(values) == wanted
    assert scheme.needs({**defaults("compute_optimal"), "prompting": "plain"}) == frozenset()


WRONG: list[tuple[Any, str]] = [
    ({"edges": [0.5, 0.25], "choices": [EASY] * 3}, "do not ascend"),
    ({"edges": [1.5], "choices": [EASY] * 2}, "do not ascend within"),
    ({"edges": [0.5], "choices": [EASY]}, "1 edges and 1 choices"),
    ({"edges": [], "choices": [{"scheme": "no", "params": {}}]}, "unknown scheme 'no'"),
    ({"edges": [], "choices": [{"scheme": "beam", "params": {"beams": 0}}]}, "beams=0 is not possible"),
    (
        {"edges": [], "choices": [{"scheme": "beam", "params": {"beams": 2, "width": 4}}]},
        "leaves no beam of 2",
    ),
    ({"edges": [], "choices": [{"scheme": "compute_optimal", "params": {}}]}, "choose another scheme"),
    (
        {"edges": [], "choices": [{"scheme": "forest", "params": {"scheme": "x.yaml"}}]},
        "x.yaml' is a file's scheme",
    ),
    (
        {"edges": [], "choices": [{"scheme": "nowhere.yaml", "params": {}}]},
        "cannot read the scheme 'nowhere.yaml'",
    ),
    ({"edges": []}, "is not one .budget 500 has no `choices`"),
    ([], "is not one .budget 500 is no object"),
    ({"edges": 1, "choices": []}, "`edges` of budget 500 is no list"),
    ({"edges": ["x"], "choices": [EASY] * 2}, "an edge of budget 500 is no number"),
    ({"edges": [], "choices": ["beam"]}, "a choice of budget 500 is no object"),
    ({"edges": [], "choices": [{"scheme": "beam"}]}, "a choice of budget 500 has no `params`"),
    (
        {"edges": [], "choices": [{"scheme": "beam", "params": []}]},
        "`params` of a choice of budget 500 is no",
    ),
    ({"edges": [], "choices": [{"scheme": 3, "params": {}}]}, "of a choice of budget 500 is no text"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_table_is_refused_before_the_search(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"task": "t", "model": "m", "probe": 4, "budgets": {"500": change}}))
    with pytest.raises(UserError, match=message) as raised:
        kept_table(str(path), None)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match=message):
        make_strategy("compute_optimal", {"table": path.read_text()})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON from line 1 on"),
        ("[]", "it is no object"),
        ("{\n", "it is no JSON from line 2 on"),
        ("\0", "it is no JSON"),
        ("9" * 9999, "a number in it is too long"),
        ("[" * 99999, "it is nested too deeply"),
        ('{"probe": 1}', "it has no `budgets`"),
        ('{"probe": 1, "budgets": []}', "its `budgets` is no object"),
        ('{"probe": "x", "budgets": {}}', "its `probe` is no whole number"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"is not one .{message}"):
        kept_table(str(path), None)
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"is not one \(it is no text\)"):
        kept_table(str(path), None)
    path.write_text('{"probe": 1, "budgets": {}}')
    with pytest.raises(UserError, match="needs a budget"):
        kept_table(str(path), None)
    with pytest.raises(UserError, match=r"cannot be read: No such file .*; give a file that .*--learn FILE"):
        kept_table(str(tmp_path / "none.json"), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -1}, "temperature=-1 is not possible; give a number ≥ 0, or none"),
        ({"temperature": "hot"}, "temperature='hot' is not possible"),
        ({"budgets": {"many": {}}}, "the budget 'many' in it is no number of tokens"),
        (
            {"budgets": {"5": {"edges": [], "choices": [EASY]}, "5.0": {"edges": [], "choices": [HARD]}}},
            "names a budget twice",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(table: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(json.dumps(json.loads(table) | change))


@pytest.mark.parametrize(
    ("learned", "given", "drawn"),
    [(1.6, {}, 1.6), (1.6, {"temperature": 0.9}, 0.9), (None, {}, None), (None, {"temperature": 0.9}, 0.9)],
)
def test_the_probe_is_drawn_as_the_table_was_learned(
    table: str, learned: float | None, given: dict[str, Any], drawn: float | None
) -> None:
    known = kept_table(json.dumps({**json.loads(table), "temperature": learned}), None)
    assert read_table(known).temperature == learned
    strategy = make_strategy("compute_optimal", {"table": known, **given})
    requests, _ = strategy.ask(strategy.start(QUESTION), 8)
    assert {request.temperature for request in requests} == {drawn}


def test_a_sample_that_left_no_thought_does_not_count(table: str) -> None:
    strategy = make_strategy("compute_optimal", {"table": table})
    state = strategy.start(QUESTION)
    (request,), state = strategy.ask(state, 8)
    state = strategy.tell(state, [probed(request, ("1", None), ("1", None), ("2", None))])
    assert state.difficulty == pytest.approx(1 - 2 / 3)  # three of four: the fourth left nothing


def test_what_is_kept_is_the_tables_meaning(table: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(table)
    kept = kept_table(str(path), None)
    assert read_table(kept) == read_table(table)
    assert kept_table(kept, None) == kept_table(json.dumps(json.loads(table), indent=3), None) == kept
    assert kept_table("auto", table) == kept
    with pytest.raises(UserError, match="no policy table for this task and model"):
        kept_table("auto", None)


def test_no_file_is_read_but_when_a_run_is_set_up(table: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(table)
    with pytest.raises(UserError, match=r"policy\.json' is a file, which is read when a run is set up"):
        make_strategy("compute_optimal", {"table": str(path)})
    preset = tmp_path / "mine.yaml"
    preset.write_text(f"name: mine\nbase: compute_optimal\nparams: {{table: {path}}}")
    with pytest.raises(UserError, match=r"mine\.yaml: table=.* is a file"):
        get_scheme(str(preset))


def test_a_choice_that_is_a_file_is_kept_with_its_text(tmp_path: Path) -> None:
    file = tmp_path / "narrow.yaml"
    file.write_text("name: narrow\nbase: beam\nparams: {beams: 4, width: 2}")
    choice = {"scheme": str(file), "params": {"beams": 6}}
    kept = kept_table(json.dumps({"probe": 1, "budgets": {"500": {"edges": [], "choices": [choice]}}}), None)
    file.unlink()
    assert "narrow@" in kept
    _KEPT.clear()  # as in another process
    _, state = after_probe(kept, ("1", 0.9))
    assert state.strategy.name.startswith("narrow@")
    assert kept_table(kept, None) == kept


@pytest.mark.parametrize("name", [name for name in schemes() if name != "compute_optimal"])
def test_every_scheme_can_be_chosen_and_carries_on_from_a_probe(name: str) -> None:
    choice = {"scheme": name, "params": {**get_scheme(name).raw, **SMALL.get(name, {})}}
    budgets = {"1": {"edges": [], "choices": [choice]}}
    table = json.dumps({"task": "t", "model": "m", "probe": 3, "budgets": budgets})
    for seed in range(3):
        world = World(seed=seed, goal=2.0, refuting=0.2)
        trace = run(make_strategy("compute_optimal", {"table": table, "block": 2}), world, limit=3000)
        assert trace.asked[-1] == []
        assert trace.state.strategy.name == name
        assert trace.answer is not None
        probe = [thought for outcome in trace.told[:2] for thought in outcome.thoughts]
        assert {thought.id for thought in probe} <= set(trace.state.tree.index)
