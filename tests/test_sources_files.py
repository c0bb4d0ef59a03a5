"""Files of problems of every kind, columns by any name, and bad input named with its remedy."""

from __future__ import annotations

import csv
import gzip
import json
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.cli.run import problems
from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.jsonl import read_problems, read_source
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.sources.entries import reader
from thoughtgraph.tasks.sources.hub import HubName, hub_name
from thoughtgraph.tasks.sources.rows import read_rows

ROWS = [
    {"question": "2 + 2?", "answer": "4", "id": "a"},
    {"question": "Who, then?", "answer": "me", "id": "b"},
]
PLAIN = [("a", "2 + 2?", "4"), ("b", "Who, then?", "me")]


def plain(items: Sequence[Item]) -> list[tuple[str, str, str | None]]:
    return [(item.problem.id.split(":")[0], item.problem.question, item.reference) for item in items]


def as_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)


def as_parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)  # pyright: ignore[reportUnknownMemberType]


WRITERS: Mapping[str, Callable[[Path], object]] = {
    "rows.jsonl": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)),
    "rows.json": lambda path: path.write_text(json.dumps(ROWS, indent=2)),
    "lines.json": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode())),
    "rows.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "rows.csv": as_csv,
    "rows.parquet": as_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    assert plain(read_problems(tmp_path / name, load_task("text"))) == PLAIN


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_saved_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list(ROWS)
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"test": one, "train": one.select([1])}).save_to_disk(str(tmp_path / "several"))
    task = load_task("text")
    assert plain(read_problems(tmp_path / "one", task)) == PLAIN
    assert plain(read_source(str(tmp_path / "several"), task, "train")) == PLAIN[1:]
    with pytest.raises(UserError, match="has no split 'dev'; it has test, train: give --split"):
        read_source(str(tmp_path / "several"), task, "dev")
    with pytest.raises(UserError, match="is a folder but no saved dataset"):
        read_problems(tmp_path, task)
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as a saved dataset"):
        read_problems(tmp_path / "one", task)


def test_columns_by_other_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"q": "2 + 2?", "solution": 4, "n": 7, "question": "not this"}\n')
    columns = {"question": "q", "answer": "solution", "id": "n"}
    assert plain(read_problems(path, load_task("text"), columns)) == [("7", "2 + 2?", "4")]


def message(path: Path, task: str = "text", columns: Mapping[str, str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read_problems(path, load_task(task), columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_columns_are_named_with_line_and_flag(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "fine"}\n{"problem": "2 + 2?", "solution": "4"}\n')
    said = message(path)
    assert "line 2: no `question`" in said
    assert said.endswith(
        "line 2 has the columns: problem, solution; say which it is, such as --column question=problem"
    )
    path.write_text('{"id": 1}\n')
    assert message(path).endswith("has the columns: id; say which it is, such as --column question=NAME")
    path.write_text('{"problem": "2 + 2?", "solution": "4"}\n')
    said = message(path, columns={"question": "problem", "answer": "key"})
    assert "line 1: no `key`; line 1 has the columns: problem, solution; say which it is, such as --column answer=solution" in said  # fmt: skip


@pytest.mark.parametrize(
    ("task", "name", "said"),
    [
        ("text", "quest", "unknown left-hand name 'quest' of --column; did you mean 'question'?"),
        ("text", "problem", "unknown left-hand name 'problem' of --column; choose one of: answer, id, question"),
        ("math", "solutoin", "did you mean 'solution'?"),
        ("text2sql", "dbid", "did you mean 'db_id'?"),
    ],
)  # fmt: skip
def test_misspelt_left_hand_names_are_refused(task: str, name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "x", "problem": "y"}\n')
    assert message(path, task, {name: "problem"}).endswith(said)


FULL: Mapping[str, list[dict[str, Any]]] = {
    "text": [{"question": "x"}],
    "gsm8k": [{"question": "x"}],
    "hotpotqa": [{"question": "x"}],
    "math": [{"problem": "x", "answer": "1"}, {"question": "x", "solution": "\\boxed{1}"}],
    "humaneval": [{"prompt": 'def f():\n    "x"\n', "test": "assert f()", "entry_point": "f"}],
    "mbpp": [{"text": "x", "test_list": ["assert f()"]}, {"question": "x", "test_list": ["assert f()"]}],
    "text2sql": [{"question": "x"}],
}


@pytest.mark.parametrize("task", FULL)
def test_every_column_that_a_task_reads_can_be_named(task: str, tmp_path: Path) -> None:
    read: set[str] = set()

    class Watched(UserDict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            read.add(key)
            return super().__getitem__(key)

        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    loaded = load_task(task)
    for fields in FULL[task]:
        reader(loaded)(Watched(fields))
    path = tmp_path / "none.jsonl"
    for name in read:  # the name is taken; only the file is missing
        with pytest.raises(UserError, match="cannot read"):
            read_problems(path, loaded, {name: "x"})
    assert read


BAD = [
    ("rows.json", b'[{"question": "x"},\n {"question": 7}]', "item 2: `question` is not text"),
    ("rows.json", b'[\n{"question": "x"},\n\n3]', "item 2: not a JSON object"),
    ("rows.json", b'[{"question": "x"}', "item 2: not JSON: the array does not end"),
    ("rows.json", b'[{"question": "x"},\n{"question": }]', "item 2: not JSON from here on, line 2 of the file"),
    ("rows.json", b"[" * 100_000, "item 1: not JSON"),
    ("rows.json", b"[]", "has no problems"),
    ("rows.json", b'[{"question": "\xff"}]', "is not UTF-8"),
    ("rows.json", b'{"question": "x"}\n{', "line 2: not JSON"),
    ("rows.csv", b"question,answer\nx\n", "line 2: as many columns as the first line has are wanted"),
    ("rows.csv", b"question\nx,y\n", "line 2: as many columns"),
    ("rows.csv", b"problem\nx\n", "such as --column question=problem"),
    ("rows.csv", b'question\n"x\n', "is no CSV file"),
    ("rows.csv", b"question\n\xff\n", "is not UTF-8"),
    ("rows.csv", b"", "has no problems"),
    ("rows.jsonl", b"", "has no problems"),
    ("rows.jsonl", b'{"question": "x", "id": 1}\n{"question": "x", "id": 1}\n', "line 2: the same problem as line 1"),
    ("rows.jsonl.gz", b"plain", "is no gzip file"),
    ("rows.jsonl.gz", gzip.compress(b'{"question": "x"}', mtime=0)[:-9], "is no gzip file"),
    ("rows.parquet", b"plain", "is no Parquet file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said"), BAD, ids=[f"{name}: {said}" for name, _, said in BAD])
def test_bad_files_are_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    assert said in message(tmp_path / name)


@given(st.binary(max_size=80) | st.text('[]{}":, \nquestionx1', max_size=40).map(str.encode))
def test_no_content_makes_reading_fail(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    for name in ("a.json", "a.jsonl", "a.csv", "a.jsonl.gz"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        try:
            rows = list(read_rows(path))
        except UserError:
            continue
        assert all(row.number >= 1 for row in rows)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5)), max_size=5), st.integers(0, 3))
def test_an_array_is_read_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], indent: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.json"
    path.write_text(json.dumps(rows, indent=indent or None))
    assert [dict(row.fields) for row in read_rows(path)] == rows


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf:openai/gsm8k", HubName("openai/gsm8k")),
        ("hf:openai/gsm8k:main", HubName("openai/gsm8k", "main")),
        ("hf:a/b:c@v1.0", HubName("a/b", "c", "v1.0")),
        ("hf:squad@refs/pr/3", HubName("squad", None, "refs/pr/3")),
    ],
)
def test_names_of_datasets(text: str, name: HubName) -> None:
    assert hub_name(text) == name


@pytest.mark.parametrize("text", ["hf:", "hf:a/b/c", "hf:a b", "hf:a/b:"])
def test_what_names_no_dataset(text: str) -> None:
    with pytest.raises(UserError, match="names no Hugging Face dataset"):
        hub_name(text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_local_datasets_behind_hf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    datasets.Dataset.from_list(ROWS).save_to_disk("saved")
    Path("repo").mkdir()
    Path("repo", "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    asked: list[Any] = []

    def fake(path: str, name: str | None, *, split: str, revision: str | None) -> list[dict[str, str]]:
        asked.append((path, name, split, revision))
        return ROWS

    for form in ("saved", "./saved", str(tmp_path / "saved"), "~/saved", "repo/test.jsonl"):
        assert plain(read_source(f"hf:{form}", load_task("text"), "test")) == PLAIN
    monkeypatch.setattr(datasets, "load_dataset", fake)
    for form in ("repo", "./repo", f"{tmp_path}/repo", "~/repo", "./repo/../repo/"):
        assert plain(problems(f"file:hf:{form}", "text", "test", None)) == PLAIN
    assert plain(read_source("hf:./repo:main", load_task("text"), "test")) == PLAIN
    assert {Path(path).resolve() for path, *_ in asked} == {(tmp_path / "repo").resolve()}
    assert asked[-1][1:] == ("main", "test", None)
    for form in ("./none", "../none/x", "/no/such/folder"):
        with pytest.raises(
            UserError, match=r"there is no '.*'; give hf: a dataset's folder, or hf:OWNER/NAME"
        ):
            hub_name(f"hf:{form}")


def test_a_folder_of_files_is_read_by_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert plain(read_source(f"hf:{tmp_path}/repo", load_task("text"), "test")) == PLAIN


def test_a_dataset_without_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def offline(*args: object, **more: object) -> None:
        raise ConnectionError("Couldn't reach 'a/b' on the Hub\n(offline)")

    def online(*args: object, **more: object) -> Iterator[dict[str, str]]:
        return iter(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError) as caught:
        read_source("hf:a/b", load_task("text"), "test")
    assert str(caught.value).startswith("cannot get the split 'test' of 'hf:a/b' (Couldn't reach 'a/b' on the Hub (offline))")  # fmt: skip
    assert str(caught.value).endswith("or give a local file")
    monkeypatch.setattr(datasets, "load_dataset", online)
    assert plain(read_source("hf:a/b", load_task("text"), "test")) == PLAIN


def test_targets_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"problem": "x", "answer": 1}\n{"problem": "y", "answer": 2}\n')
    column = ["question=problem"]
    for target in ("rows.jsonl", "file:rows.jsonl", f"file:{tmp_path}/rows.jsonl"):
        items = problems(target, "text", "test", None, "", column)
        assert [(item.problem.question, item.reference) for item in items] == [("x", "1"), ("y", "2")]
    assert len(problems("rows.jsonl", "text", "test", 1, "", column)) == 1
    for target in ("file:none.jsonl", "none.jsonl", "some/where", "none.csv"):
        with pytest.raises(UserError, match="there is no file"):
            problems(target, "text", "test", None)
    with pytest.raises(UnknownNameError, match="did you mean 'gsm8k'"):
        problems("gsm8", "text", "test", None)
    with pytest.raises(UserError, match=r"--column is for files; .* run file:PATH --task text2sql"):
        problems("text2sql", "text2sql", "test", None, "", column)
    with pytest.raises(
        UserError, match="cannot read the parameter 'question'; write NAME=VALUE, such as --column"
    ):
        problems("rows.jsonl", "text", "test", None, "", ["question"])
    with pytest.raises(UserError, match="takes no --data"):
        problems("game24", "game24", "test", None, "folder")
    assert [i.reference for i in problems("text2sql", "text2sql", "train", 1)]
