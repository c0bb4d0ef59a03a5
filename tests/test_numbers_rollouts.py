"""Labels by rollouts: the data rule, the counts, and that collecting twice is collecting once."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Price, Sample
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UserError
from thoughtgraph.graph.ledger import Commit, RunSpec
from thoughtgraph.graph.records import Operator, Problem, Thought
from thoughtgraph.storage.labels import read_labels
from thoughtgraph.storage.read import list_runs, list_units, run_spec
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.numbers import NumbersTask
from thoughtgraph.tasks.numbers_puzzles import data_file, game24, held_out
from thoughtgraph.tasks.numbers_steps import parse_puzzle
from thoughtgraph.training.numbers_rollouts import (
    Plan,
    Progress,
    Roller,
    collect,
    label_run,
    source_of,
)
from thoughtgraph.training.scorer_puzzles import forbidden_in, known_by_heart, problems, touches_held_out
from thoughtgraph.training.traces import Count, Prefix, label_of, labelled_traces, read_counts, read_prefixes

PLAN = Plan("train", 4, samples=4, rollouts=2, batch=16)


@pytest.fixture(autouse=True)
def _public_list() -> None:  # pyright: ignore[reportUnusedFunction]
    try:
        data_file("24.csv")
    except UserError as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the labels of `PLAN`."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("labels") / "labels.db"
    store = SqlStore.open(path)
    asyncio.run(collect(store, PLAN))
    store.close()
    return path


@pytest.fixture
def store(collected: Path, tmp_path: Path) -> SqlStore:
    """A copy of it."""
    shutil.copy(collected, tmp_path / "labels.db")
    return SqlStore.open(tmp_path / "labels.db")


def prefix(question: str, *steps: str, terminal: bool = False, answer: str | None = None) -> Prefix:
    return Prefix("t", "root", "p", question, steps, 0, terminal, answer, answer)


class Recited:
    """A policy that completes with the lines it was given, in turn."""

    name = "recited"
    chat = False
    limits = Limits(batch=8)
    price = Price()

    def __init__(self, *completions: str | ModelError) -> None:
        self.completions = completions
        self.calls: list[GenerationCall] = []

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        self.calls += calls
        errors = [text for text in self.completions if isinstance(text, ModelError)]
        samples = tuple(Sample(text, "end", 12) for text in self.completions if isinstance(text, str))
        return [errors[0] if errors else Generation(samples, 4) for _ in calls]


async def roll(
    found: Prefix, *completions: str | ModelError, forbidden: frozenset[tuple[int, ...]] = frozenset()
) -> Count | None:
    policy = Recited(*completions)
    plan = replace(PLAN, rollouts=len(completions))
    return await Roller(policy, Scheduler(), plan, forbidden, Progress()).count(found)


async def test_completions_are_graded_exactly_and_counted() -> None:
    start = prefix("4 5 6 10 -> 24", "4 * 5 = 20 (left: 6 10 20)")
    right = "20 - 6 = 14 (left: 10 14)\n10 + 14 = 24 (left: 24)\n"
    wrong = "6 * 10 = 4 (left: 4 20)\n4 + 20 = 24 (left: 24)\n"
    unfinished = "20 - 6 = 14 (left: 10 14)\n"
    beyond = right + "24 + 1 = 25 (left: 25)\n"
    assert await roll(start, right, wrong, unfinished, "", beyond) == Count(2, 5)


async def test_a_terminal_prefix_is_its_own_single_rollout() -> None:
    steps = ("4 * 6 = 24 (left: 1 24)", "1 * 24 = 24 (left: 24)")
    done = prefix("1 4 6 -> 24", *steps, terminal=True, answer="1 * 4 * 6")
    assert await roll(done, "never asked") == Count(1, 1)
    assert await roll(replace(done, answer="1 + 4 * 6"), "never asked") == Count(0, 1)
    assert await roll(replace(done, answer=None), "never asked") == Count(0, 1)


async def test_completions_through_a_held_out_puzzle_do_not_count() -> None:
    test = game24("test")[0].numbers
    start = prefix(f"{' '.join(map(str, (*test, 50)))} -> 24")
    rest = " ".join(map(str, reversed(test)))
    assert await roll(start, f"50 / 50 = 1 (left: {rest})\n", "", forbidden=held_out()) == Count(0, 1)
    assert await roll(start, f"50 / 50 = 1 (left: {rest})\n", forbidden=held_out()) is None


async def test_a_failed_call_is_no_failed_rollout() -> None:
    start = prefix("4 5 6 10 -> 24", "4 * 5 = 20 (left: 6 10 20)")
    progress = Progress()
    roller = Roller(Recited(ModelError("too long")), Scheduler(), PLAN, frozenset(), progress)
    assert await roller.count(start) is None
    assert (progress.failed, progress.prefixes) == (1, 0)
    with pytest.raises(ModelUnavailableError):
        await roll(start, ModelUnavailableError("gone"))


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_puzzles_are_seen_in_any_order_at_the_start_and_on_the_way(split: str) -> None:
    numbers = game24(split)[7].numbers
    shuffled = " ".join(map(str, numbers[::-1]))
    forbidden = forbidden_in("train")
    assert touches_held_out(f"{shuffled} -> 24", (), forbidden)
    assert touches_held_out(f"{shuffled} -> 30", (), forbidden)
    on_the_way = ("1 + 2 = 3 (left: 3 4 5 6 7)", f"3 + 4 = 7 (left: {shuffled})")
    assert touches_held_out("1 2 4 5 6 7 -> 24", on_the_way, forbidden)
    assert not touches_held_out("1 2 4 5 6 7 -> 24", on_the_way[:1], forbidden)
    assert not touches_held_out("1 2 3 -> 24", ("noise",), forbidden)


def test_validation_traces_keep_off_the_test_puzzles_alone() -> None:
    assert forbidden_in("val") == {puzzle.numbers for puzzle in game24("test")}
    assert forbidden_in("train") == held_out()


def test_training_puzzles_are_distinct_mixed_neither_held_out_nor_known_by_heart() -> None:
    questions = [item.problem.question for item in problems(NumbersTask(), "train", 100)]
    assert len(questions) == len(set(questions)) == 100
    forbidden = held_out()
    puzzles = [parse_puzzle(question) for question in questions]
    assert not any(puzzle.numbers in forbidden for puzzle in puzzles)
    assert not any(known_by_heart(question) for question in questions)
    assert sum(len(puzzle.numbers) == 4 and puzzle.target == 24 for puzzle in puzzles) > 50
    assert {len(puzzle.numbers) for puzzle in puzzles} == {3, 4, 5, 6}
    assert any(puzzle.target != 24 for puzzle in puzzles)
    assert [item.problem.question for item in problems(NumbersTask(), "train", 20)] == questions[:20]


def test_the_training_puzzles_of_the_list_are_known_by_heart() -> None:
    listed = game24("train")[0]
    assert known_by_heart(str(listed))
    assert known_by_heart(f"{' '.join(map(str, listed.numbers[::-1]))} -> 24")
    assert not known_by_heart(str(replace(listed, target=30)))
    assert not known_by_heart("1 1 4 20 -> 24")


def test_validation_puzzles_are_those_of_the_validation_ranks() -> None:
    questions = [item.problem.question for item in problems(NumbersTask("game24"), "val", 100)]
    assert questions == [str(puzzle) for puzzle in game24("val")]


def test_labels_have_counts_and_collecting_again_adds_none(store: SqlStore) -> None:
    [run] = [summary.spec.id for summary in list_runs(store.database)]
    prefixes = read_prefixes(store.database, run)
    labels = read_labels(store.database, run, "mc")
    assert {label.thought for label in labels} == {p.thought for p in prefixes}
    assert len(labels) == len(prefixes) >= 10
    terminal = {p.thought for p in prefixes if p.terminal}
    for label in labels:
        rollouts = 1 if label.thought in terminal else 2
        assert label.successes is not None
        assert (label.rollouts, label.value) == (rollouts, label.successes / rollouts)
        assert label.source.startswith("mc:builtin:numbers@")
    settings = run_spec(store.database, run).settings
    assert (settings["scheme"], settings["tools"], settings["scorer"]) == ("self_consistency", False, "none")
    assert asyncio.run(collect(store, PLAN)) == run
    assert read_labels(store.database, run, "mc") == labels
    asyncio.run(collect(store, replace(PLAN, puzzles=5)))
    assert read_labels(store.database, run, "mc")[: len(labels)] == labels
    assert [len(list_units(store.database, run)), run.split("-")[0]] == [5, "train"]


def test_an_interrupted_collection_computes_only_what_is_missing(store: SqlStore) -> None:
    run = list_runs(store.database)[0].spec.id
    whole = {label.thought: label for label in read_labels(store.database, run, "mc")}
    lost = sorted(whole)[: len(whole) // 2]
    with store.database.writing() as connection:
        for thought in lost:
            connection.exec_driver_sql("delete from label where thought = ?", (thought,))
    asyncio.run(collect(store, PLAN))
    again = {label.thought: label for label in read_labels(store.database, run, "mc")}
    assert again.keys() == whole.keys()
    assert all(again[thought] == whole[thought] for thought in whole if thought not in lost)
    # prompts of a chunk decode in other batches the second time, which changes a token only at a rounding boundary
    assert all(again[thought].rollouts == whole[thought].rollouts for thought in lost)


def test_equal_prefixes_share_their_rollouts(store: SqlStore) -> None:
    run = list_runs(store.database)[0].spec.id
    counts = read_counts(store.database, run, read_labels(store.database)[0].source)
    seen: dict[tuple[str, tuple[str, ...]], list[Count]] = {}
    for found in read_prefixes(store.database, run):
        seen.setdefault((found.question, found.steps), []).append(counts[found.thought])
    assert max(map(len, seen.values())) > 1
    assert all(len(set(values)) == 1 for values in seen.values())


async def test_prefixes_that_touch_a_held_out_puzzle_get_no_label(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "rule.db")
    held = " ".join(map(str, game24("val")[2].numbers))
    problem = Problem("p", "numbers", "1 1 2 3 4 -> 24")
    store.create_run(RunSpec("train-x", "numbers", "self_consistency", {}, 0), [problem])
    lease = store.claim("train-x", "worker", ttl=60)
    assert lease is not None
    root = Thought("a0", (), Operator.GENERATE, problem.question, 0)
    fine = Thought("a1", ("a0",), Operator.GENERATE, "1 + 1 = 2 (left: 2 2 3 4)", 1)
    touching = Thought("a2", ("a0",), Operator.GENERATE, f"1 * 1 = 1 (left: {held})", 1)
    after = Thought("a3", ("a2",), Operator.GENERATE, "1 + 2 = 3 (left: 3 4 5)", 2)
    store.commit(lease, Commit((root, fine, touching, after)))
    policy = Recited("")
    await label_run(store, "train-x", policy, replace(PLAN, rollouts=1), Scheduler(), Progress())
    assert [label.thought for label in read_labels(store.database)] == ["a1"]
    assert len(policy.calls) == 1


def test_counts_of_one_thought_add_up_and_traces_carry_them_by_step() -> None:
    first = Prefix("a", "root", "p", "q", ("one",), 0, False, None, None)
    second = Prefix("b", "a", "p", "q", ("one", "two"), 0, True, "x", "x")
    other = Prefix("c", "root", "p", "q", ("three",), 1, True, "y", "y")
    bare = Prefix("d", "root", "p", "q", ("four",), 2, True, None, None)
    traces = labelled_traces([first, second, other, bare], {"a": Count(1, 2), "c": Count(0, 1)})
    assert [(t.leaf.thought, t.counts) for t in traces] == [("b", (Count(1, 2), None)), ("c", (Count(0, 1),))]
    label = label_of("a", source_of("policy@1"), Count(1, 4))
    assert (label.kind, label.source, label.value) == ("mc", "mc:policy@1", 0.25)


def test_a_model_that_is_not_in_this_process_is_refused(store: SqlStore, tmp_path: Path) -> None:
    script = tmp_path / "outputs.jsonl"
    script.write_text("{}\n", encoding="utf-8")
    with pytest.raises(UserError):
        asyncio.run(collect(store, replace(PLAN, model=f"scripted:{script}")))
