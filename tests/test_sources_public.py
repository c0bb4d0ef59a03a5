"""Public sets where they are looked for, by split, and what is said where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.hotpotqa import HotpotTask
from thoughtgraph.tasks.jsonl import read_problems
from thoughtgraph.tasks.registry import TASKS, load_task
from thoughtgraph.tasks.sources.public import given_data
from thoughtgraph.tasks.text2sql import SOURCE

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
GSM8K = {"question": "Ann has 2 cats and 3 dogs. How many pets?", "answer": "2+3=<<2+3=5>>5\n#### 5"}
MATH = {"problem": "What is $1+1$?", "solution": "It is $\\boxed{2}$.", "level": "Level 1", "type": "Algebra"}
MATH500 = {"problem": "What is half?", "solution": "\\boxed{\\frac12}", "answer": "\\frac{1}{2}", "subject": "Algebra", "level": 1, "unique_id": "test/algebra/1.json"}  # fmt: skip
HOTPOT = {
    "_id": "5a8b",
    "question": "Are Ann and Bob of the same age?",
    "answer": "yes",
    "type": "comparison",
    "level": "easy",
    "supporting_facts": [["Ann", 0]],
    "context": [["Ann", ["Ann is 7.", " She sings."]], ["Bob", ["Bob is 7."]]],
}
PUBLIC = ("gsm8k", "math", "hotpotqa", "humaneval", "mbpp", "text2sql")


@pytest.fixture(autouse=True)
def nothing_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THOUGHTGRAPH_DATA", raising=False)


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(list(rows)) if path.suffix == ".json" else "".join(json.dumps(r) + "\n" for r in rows)
    path.write_text(text)
    return path


def load(task: str, split: str, data: object = "") -> list[Item]:
    return list(load_task(task, str(data)).load(split))


def test_gsm8k_from_a_file_a_folder_and_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "test.jsonl", GSM8K, GSM8K, GSM8K)
    for data in (path, tmp_path):
        items = load("gsm8k", "test", data)
        assert [item.problem.question for item in items] == [GSM8K["question"]] * 3
        assert [item.problem.id.partition(":")[0] for item in items[1:]] == ["2", "3"]  # the set has no ids
        assert items[0].reference == GSM8K["answer"]
    monkeypatch.setenv("THOUGHTGRAPH_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"no test.jsonl or gsm8k_test.jsonl"):
        load("gsm8k", "test")  # any set's file could be called that
    write(tmp_path / "gsm8k" / "test.jsonl", GSM8K)
    assert len(load("gsm8k", "test")) == 1
    write(tmp_path / "gsm8k_train.jsonl", GSM8K, GSM8K)
    assert len(load("gsm8k", "train")) == 2


def test_math_from_folders_of_json(tmp_path: Path) -> None:
    for name in ("algebra/10", "algebra/2", "geometry/1"):
        write(tmp_path / "MATH" / "test" / f"{name}.jsonl", MATH).rename(
            tmp_path / "MATH" / "test" / f"{name}.json"
        )
    items = load("math", "test", tmp_path)
    assert [i.problem.id.split(":")[0] for i in items] == ["test/algebra/2.json", "test/algebra/10.json", "test/geometry/1.json"]  # fmt: skip
    assert {i.reference for i in items} == {"2"}
    with pytest.raises(UserError, match="it has --split test"):
        load("math", "math500", tmp_path)
    (tmp_path / "MATH" / "test" / "algebra" / "3.json").write_text("{")
    with pytest.raises(
        UserError, match=r"algebra/3.json' \(math, split test\) has 1 bad file, .*: file 2: not JSON"
    ):
        load("math", "test", tmp_path)


def test_math500_and_files_of_the_users_own(tmp_path: Path) -> None:
    path = write(tmp_path / "math500.jsonl", MATH500, {"question": "1+1?", "answer": 2, "id": "own"})
    first, own = load("math", "math500", tmp_path)
    assert (first.problem.id.split(":")[0], first.reference) == ("test/algebra/1.json", "\\frac{1}{2}")
    assert (own.problem.question, own.reference) == ("1+1?", "2")
    assert len(load("math", "test", path)) == 2  # a file that is named is the split, whatever its name
    write(path, {"problem": "p", "solution": "no box"})
    with pytest.raises(UserError, match=r"line 1: `solution` has no \\boxed\{\} answer"):
        load("math", "math500", path)


def test_hotpotqa_with_and_without_paragraphs(tmp_path: Path) -> None:
    bare = {"question": "Who?", "answer": "Ann", "type": "bridge"}
    hub = HOTPOT | {
        "_id": None,
        "id": "hub",
        "context": {"title": ["Ann"], "sentences": [["Ann is 7.", " She sings."]]},
    }
    write(tmp_path / "hotpot_dev_distractor_v1.json", HOTPOT, bare, hub)
    first, second, third = load("hotpotqa", "dev", tmp_path)
    assert first.problem.question == "Are Ann and Bob of the same age?\nParagraphs:\nAnn: Ann is 7. She sings.\nBob: Bob is 7."  # fmt: skip
    assert (first.problem.id.split(":")[0], first.reference) == ("5a8b", "yes")
    assert second.problem.question == "Who?"
    assert third.problem.question.endswith("Paragraphs:\nAnn: Ann is 7. She sings.")
    verdict = HotpotTask().grade("q", "Ann Lee", "Ann")
    assert verdict is not None
    assert (verdict.correct, verdict.score) == (False, pytest.approx(2 / 3))
    write(tmp_path / "hotpot_dev_distractor_v1.json", HOTPOT | {"context": [["Ann"]]})
    with pytest.raises(UserError, match=r"`context` is not a list of \[title, \[sentences\]\]"):
        load("hotpotqa", "dev", tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_datasets_saved_from_the_hub(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    one = datasets.Dataset.from_list([GSM8K])
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "saved"))
    assert load("gsm8k", "train", tmp_path / "saved")[0].reference == GSM8K["answer"]
    with pytest.raises(UserError, match="no split 'validation'; it has train, test"):
        load("hotpotqa", "dev", tmp_path / "saved")
    (tmp_path / "shards" / "main").mkdir(parents=True)
    for n in range(2):
        table = pyarrow.Table.from_pylist([GSM8K])
        parquet.write_table(table, tmp_path / "shards" / "main" / f"test-0000{n}-of-00002.parquet")  # pyright: ignore[reportUnknownMemberType]
    assert len(load("gsm8k", "test", tmp_path / "shards")) == 2


def test_datasets_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[Any] = []

    def fake(path: str, name: str | None, *, split: str, revision: str | None) -> list[dict[str, Any]]:
        asked.append((path, name, split, revision))
        return [HOTPOT]

    monkeypatch.setattr(datasets, "load_dataset", fake)
    assert len(load("hotpotqa", "dev", "hf:hotpotqa/hotpot_qa:distractor@1908d6a")) == 1
    assert asked == [("hotpotqa/hotpot_qa", "distractor", "validation", "1908d6a")]


@pytest.mark.parametrize("task", PUBLIC)
def test_an_unknown_split_says_which_there_are(task: str) -> None:
    with pytest.raises(UserError, match=f"{task} has no split 'everything'; give --split "):
        load(task, "everything")


@pytest.mark.parametrize("task", [t for t in PUBLIC if t not in ("text2sql", "humaneval", "mbpp")])
def test_missing_data_say_what_to_give(task: str, tmp_path: Path) -> None:
    split = "dev" if task == "hotpotqa" else "test"
    with pytest.raises(UserError) as caught:
        load(task, split)
    said = str(caught.value)
    assert "THOUGHTGRAPH_DATA is not set" in said
    assert all(part in said for part in ("https://", "--data FILE or FOLDER", "--data hf:"))
    with pytest.raises(UserError, match=r"has no .* for .* get it from"):
        load(task, split, tmp_path)
    with pytest.raises(UserError, match="there is no "):
        load(task, split, tmp_path / "none")


def test_a_file_of_another_split_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm8k_train_1000.jsonl", GSM8K)
    with pytest.raises(
        UserError, match=r"gsm8k_train_1000.jsonl is train by its name, not test; give --split train, or"
    ):
        load("gsm8k", "test", path)
    assert len(load("gsm8k", "train", path)) == 1


def test_a_row_without_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"prompt": "How many?", "output": "5"})
    with pytest.raises(
        UserError,
        match=r"rows.jsonl' \(gsm8k, split test\) has 1 bad line.* no `question`.*--column question=prompt",
    ):
        load("gsm8k", "test", path)


def test_a_row_without_its_reference_is_refused_where_it_is_to_be_graded(tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", GSM8K, {"question": "How many?", "solution": "5"})
    with pytest.raises(UserError, match=r"line 2: no `answer`; .*--column answer=solution"):
        load("gsm8k", "test", path)
    assert (
        read_problems(path, load_task("gsm8k"))[1].reference is None
    )  # a file of the user's own may ask openly


def test_bad_rows_of_several_files_name_each(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "main").mkdir()
    for n in range(2):
        table = pyarrow.Table.from_pylist([{"question": n}] * 4)
        parquet.write_table(table, tmp_path / "main" / f"test-0000{n}-of-00002.parquet")  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(UserError) as caught:
        load("gsm8k", "test", tmp_path)
    said = str(caught.value)
    assert said.startswith("'gsm8k, split test' has 8 bad rows, nothing was started: ")
    assert f"{tmp_path}/main/test-00000-of-00002.parquet, row 1: `question` is not text" in said
    assert f"{tmp_path}/main/test-00001-of-00002.parquet, row 1: `question` is not text" in said
    assert said.endswith("; also 3 more")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match=r"/none.jsonl' \(gsm8k, split test\) has no problems"):
        load("gsm8k", "test", path)


def test_what_was_given_is_not_advised(tmp_path: Path) -> None:
    path = write(tmp_path / "hot.json", HOTPOT)
    with pytest.raises(UserError) as caught:
        load("hotpotqa", "test", path)
    assert str(caught.value) == "hotpotqa has no split 'test'; give --split train or dev or dev_fullwiki"
    with pytest.raises(
        UserError, match="give --split train or dev or dev_fullwiki, or a file: thoughtgraph run FILE"
    ):
        load("hotpotqa", "test")
    with pytest.raises(UserError) as caught:
        SOURCE._found("dev", tmp_path / "none")  # pyright: ignore[reportPrivateUsage]
    assert str(caught.value).endswith("and give --data FILE or FOLDER")


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(GSM8K) + "\nbroken\n")
    assert len(list(load_task("gsm8k", str(path)).load("test", 1))) == 1  # what is not wanted is not read
    with pytest.raises(UserError, match="line 2: not JSON"):
        load_task("gsm8k", str(path)).load("test")
    with pytest.raises(UserError, match="a limit of 0 problems"):
        load_task("gsm8k", str(path)).load("test", 0)


def test_what_is_recorded_of_where_data_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THOUGHTGRAPH_DATA", "shared")
    assert given_data(None) == given_data("") == given_data("shared") == ""
    assert given_data("hf:a/b") == "hf:a/b"
    assert given_data("postgresql://me@host/x") == "postgresql://me@host/x"
    (tmp_path / "mine").mkdir()
    assert given_data("hf:mine") == given_data("hf:./mine") == f"hf:{tmp_path}/mine"
    assert given_data("x/y") == str(tmp_path / "x" / "y")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_domain_of_its_name_or_family(task: str) -> None:
    loaded = load_task(task)
    assert loaded.name == task
    assert loaded.domain.name in (task, "numbers")
    if task in PUBLIC:
        assert loaded.grade("Database: sales\nq\n", None, '{"tests": ["x"], "setup": "", "test": "x", "entry_point": "f"}').correct is False  # type: ignore[union-attr] # fmt: skip


def test_the_shared_samples_load_whole() -> None:
    if not DATA.is_dir():
        pytest.skip("the public data is not on this machine")
    for task, split, name, count in (
        ("gsm8k", "train", "gsm8k_train_1000.jsonl", 1000),
        ("math", "math500", "math500.jsonl", 500),
        ("hotpotqa", "dev", "hotpotqa_dev_300.json", 300),
    ):
        items = load(task, split, DATA / name)
        assert len({item.problem.id for item in items}) == len(items) == count
        assert all(item.reference for item in items)
