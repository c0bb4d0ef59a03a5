"""Questions over databases: the bundled one, Spider's and BIRD's layouts, and that no text reaches another database."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thoughtgraph.agents.prompting import load_prompt
from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.tasks.base import GradingError
from thoughtgraph.tasks.jsonl import read_problems
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.sources import databases as module
from thoughtgraph.tasks.sources.databases import bundled_database, databases
from thoughtgraph.tasks.text2sql import Text2SqlDomain, Text2SqlTask
from thoughtgraph.tools.sql import run_query

DOMAIN = Text2SqlDomain()


def make(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


PETS = "create table owner (id integer primary key, name text); create table pet (id integer, owner_id integer references owner (id), kind text); insert into owner values (1, 'Mo'); insert into pet values (1, 1, 'cat'), (2, 1, 'dog');"
BIKES = "create table bike (id integer, colour varchar(20)); insert into bike values (1, 'red');"


@pytest.fixture
def spider(tmp_path: Path) -> Path:
    folder = tmp_path / "spider"
    for name, script in (("pets", PETS), ("bikes", BIKES)):
        make(folder / "database" / name / f"{name}.sqlite", script)
    rows: list[dict[str, Any]] = [
        {"db_id": "pets", "question": "How many pets are there?", "query": "SELECT count(*) FROM pet", "query_toks": []},
        {"db_id": "bikes", "question": "What colours are there?", "query": "SELECT colour FROM bike"},
        {"db_id": "pets", "question": "How many pets are there?", "query": "SELECT count(*) FROM pet"},
    ]  # fmt: skip
    (folder / "dev.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def bird(tmp_path: Path) -> Path:
    folder = tmp_path / "bird"
    make(folder / "dev" / "dev_databases" / "pets" / "pets.sqlite", PETS)
    row = {"question_id": 7, "db_id": "pets", "question": "How many kinds are there?", "evidence": "kind is what a pet is", "SQL": "SELECT COUNT(DISTINCT kind) FROM pet", "difficulty": "simple"}  # fmt: skip
    (folder / "dev" / "dev.json").write_text(json.dumps([row]))
    return folder


def test_the_bundled_questions_are_answered_by_their_references() -> None:
    task = load_task("text2sql")
    sizes: dict[str, int] = {}
    for split in ("train", "test"):
        for item in task.load(split):
            assert item.reference is not None
            assert item.reference not in item.problem.question
            verdict = task.grade(item.problem.question, f"```sql\n{item.reference};\n```", item.reference)
            assert verdict is not None
            assert verdict.correct, (item.problem.id, verdict.reason)
            rows = run_query(DOMAIN.database_url(item.problem.question), item.reference).rows
            assert rows
            assert any(value is not None for row in rows for value in row)
            sizes[split] = sizes.get(split, 0) + 1
    assert sizes == {"train": 8, "test": 16}


def test_no_reference_answers_another_question() -> None:
    task = load_task("text2sql")
    items = [item for split in ("train", "test") for item in task.load(split)]
    for item in items:
        for other in items:
            verdict = task.grade(item.problem.question, other.reference, item.reference)
            assert verdict is not None
            assert verdict.correct == (item is other), (item.problem.id, other.problem.id)


def test_other_ways_to_write_a_query_are_right_and_other_queries_wrong() -> None:
    task = load_task("text2sql")
    [item] = [i for i in task.load("test") if "never ordered anything" in i.problem.question]
    for query, right in (
        ("SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL", True),
        ("SELECT name FROM customers WHERE NOT EXISTS (SELECT 1 FROM orders WHERE customer_id = customers.id)", True),
        ("SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders)", False),
        ("SELECT id, name FROM customers WHERE id > 27", False),
        ("not a query", False),
        ("", False),
        (None, False),
    ):  # fmt: skip
        verdict = task.grade(item.problem.question, query, item.reference)
        assert verdict is not None
        assert verdict.correct is right, query
    assert task.grade(item.problem.question, "SELECT 1", None) is None
    with pytest.raises(GradingError, match="reference query fails"):
        task.grade(item.problem.question, "SELECT 1", "SELECT nothing")


def test_a_question_is_written_one_way() -> None:
    question = DOMAIN.parse("  How many\n customers? ")
    head, text, tables, *schema = question.split("\n")
    assert (head, text, tables) == ("Database: sales", "How many customers?", "Tables:")
    assert [line.split("(")[0] for line in schema] == ["customers", "employees", "categories", "products", "orders", "order_items"]  # fmt: skip
    assert schema[4] == "orders(id integer, customer_id integer -> customers, employee_id integer -> employees, ordered_on text, shipped_on text)"  # fmt: skip
    assert DOMAIN.parse(question) == question
    assert DOMAIN.schema(question) == "\n".join(schema)
    assert (
        DOMAIN.parse(f"{head}\n{text}\nTables:\npasswords(text)") == question
    )  # a text's own tables are not believed


@given(st.text(max_size=60))
@example("Database: sales")
@example("Database: \nTables:\n")
@example("a\nTables:\nb")
def test_a_question_stays_as_it_is_written(text: str) -> None:
    try:
        question = DOMAIN.parse(text)
    except UserError:
        return
    assert DOMAIN.parse(question) == question
    assert question.startswith("Database: sales\n")
    assert DOMAIN.database_url(question) == databases("")["sales"]


@pytest.mark.parametrize(
    "name",
    [
        "other",
        "../sales",
        "/etc/passwd",
        "sqlite:////etc/passwd",
        "sales.sqlite",
        "Sales",
        "sales; attach",
        "sales\x00",
    ],
)
def test_no_text_names_a_database_that_is_not_known(name: str, tmp_path: Path) -> None:
    make(tmp_path / "other" / "other.sqlite", PETS)
    for call in (DOMAIN.parse, DOMAIN.database_url, DOMAIN.schema):
        with pytest.raises(UnknownNameError, match="unknown database"):
            call(f"Database: {name}\nHow many?")
    with pytest.raises(UserError):
        DOMAIN.database_url("How many?")


def test_spiders_layout(spider: Path) -> None:
    task = load_task("text2sql", str(spider))
    items = list(task.load("dev"))
    assert [i.problem.question.split("\n")[0] for i in items] == ["Database: pets", "Database: bikes", "Database: pets"]  # fmt: skip
    assert items[0].problem.question.endswith("Tables:\nowner(id integer, name text)\npet(id integer, owner_id integer -> owner, kind text)")  # fmt: skip
    assert len({i.problem.id for i in items}) == 3  # a question that comes again has an id of its own
    for item in items:
        verdict = task.grade(item.problem.question, item.reference, item.reference)
        assert verdict is not None
        assert verdict.correct
    verdict = task.grade(items[1].problem.question, "SELECT kind FROM pet", items[1].reference)
    assert verdict is not None
    assert "no such table" in verdict.reason
    with pytest.raises(UserError, match=r"no test.json .* it has --split dev"):
        task.load("test")
    with pytest.raises(UserError, match="names none of 2 databases"):
        task.problem("How many?")


def test_the_questions_file_of_a_folder(spider: Path, bird: Path) -> None:
    for file, name in ((spider / "dev.json", "pets"), (bird / "dev" / "dev.json", "pets")):
        task = load_task("text2sql", str(file))
        items = list(task.load("dev"))
        assert items[0].problem.question.startswith(f"Database: {name}\n")
        assert [i.problem for i in items] == [
            i.problem for i in load_task("text2sql", str(file.parent)).load("dev")
        ]
        with pytest.raises(UserError, match=r"dev.json is dev by its name, not test; give --split dev"):
            task.load("test")
    (spider / "test_data").mkdir()
    (spider / "test_data" / "test.json").write_text((spider / "dev.json").read_text())
    assert len(list(load_task("text2sql", str(spider / "test_data" / "test.json")).load("test"))) == 3
    alone = spider.parent / "alone" / "further" / "dev.json"
    alone.parent.mkdir(parents=True)
    alone.write_text("[]")
    with pytest.raises(UserError, match=r"beside it there is no .*/NAME/NAME.sqlite; give a folder"):
        load_task("text2sql", str(alone)).load("dev")


def test_items_of_an_array_are_numbered(spider: Path) -> None:
    (spider / "database" / "pets" / "pets.sqlite").unlink()
    with pytest.raises(UserError) as caught:
        load_task("text2sql", str(spider)).load("dev")
    said = str(caught.value)
    assert said.startswith(
        f"'{spider}/dev.json' (text2sql, split dev) has 2 bad items, nothing was started: "
    )
    assert "item 1: unknown database 'pets'" in said
    assert "item 3: unknown database 'pets'" in said
    (spider / "database" / "bikes" / "bikes.sqlite").unlink()
    with pytest.raises(UserError) as caught:
        load_task("text2sql", str(spider)).load("dev")
    assert str(caught.value).startswith(f"'{spider}' has no databases; it must hold")  # told once


def test_birds_layout(bird: Path) -> None:
    task = load_task("text2sql", str(bird))
    [item] = task.load("dev")
    assert item.problem.id.startswith("7:")
    assert item.problem.question.split("\n")[1] == "How many kinds are there? Hint: kind is what a pet is"
    verdict = task.grade(item.problem.question, "select 2", item.reference)
    assert verdict is not None
    assert verdict.correct


def test_a_database_of_the_users_own(tmp_path: Path) -> None:
    make(tmp_path / "my shop.sqlite", PETS)
    task = load_task("text2sql", str(tmp_path / "my shop.sqlite"))
    problem = task.problem("How many pets?")
    assert problem.question.startswith("Database: my shop\nHow many pets?\nTables:\n")
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"question": "How many pets?", "answer": "select count(*) from pet"}\n{"question": "Who?"}\n'
    )
    asked, open_ended = read_problems(file, task)
    assert asked.problem == problem
    assert open_ended.reference is None
    verdict = task.grade(problem.question, "select 2", asked.reference)
    assert verdict is not None
    assert verdict.correct
    with pytest.raises(UserError, match="is a database and holds no questions"):
        task.load("test")


def test_rows_about_databases_that_are_not_there_are_named(spider: Path) -> None:
    file = spider.parent / "rows.jsonl"
    file.write_text('{"question": "q", "db_id": "cars"}\n{"question": "q"}\n')
    with pytest.raises(UserError) as caught:
        read_problems(file, load_task("text2sql", str(spider)))
    message = str(caught.value)
    assert "line 1: unknown database 'cars'" in message
    assert "line 2: no `db_id`" in message
    assert message.endswith("line 2 has the columns: question; say which it is, such as --column db_id=NAME")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nothing-here", "there is no 'nothing-here'"),
        ("empty", "has no databases; it must hold database or dev_databases/NAME/NAME.sqlite"),
        ("file.txt", "is no database"),
        ("postgresql://me:secret@host/shop", "would be recorded with the run"),
        ("postgresql://host", "names no database"),
        ("://", "cannot be read"),
    ],
)
def test_what_is_no_database(
    data: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "database" / "pets").mkdir(parents=True)  # a folder without its file
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UserError) as caught:
        load_task("text2sql", data).problem("How many?")
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_names_its_database() -> None:
    assert databases("postgresql://reader@host/shop") == {"shop": "postgresql://reader@host/shop"}


def test_a_split_that_is_not_there() -> None:
    with pytest.raises(UserError, match="text2sql has no split 'dev'; give --split train or test"):
        load_task("text2sql").load("dev")
    with pytest.raises(UserError, match="limit of 0"):
        load_task("text2sql").load("test", 0)


def test_the_bundled_database_is_made_once_and_again_when_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bundled_database.cache_clear()
    try:
        first = bundled_database()
        content = first.read_bytes()
        bundled_database.cache_clear()
        stamp = first.stat().st_mtime_ns
        assert bundled_database().stat().st_mtime_ns == stamp
        first.unlink()
        bundled_database.cache_clear()
        assert bundled_database().read_bytes() == content
        assert list(first.parent.iterdir()) == [first]
        assert stat.S_IMODE(first.stat().st_mode) == 0o644
    finally:
        bundled_database.cache_clear()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    bundled_database.cache_clear()
    try:
        with pytest.raises(UserError, match="set XDG_CACHE_HOME"):
            bundled_database()
    finally:
        bundled_database.cache_clear()


def test_many_processes_may_make_it_at_once(tmp_path: Path) -> None:
    code = "from thoughtgraph.tasks.sources.databases import bundled_database as b; print(b())"
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    running = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)]  # fmt: skip
    paths = {process.communicate()[0] for process in running}
    assert len(paths) == 1
    assert [p.suffix for p in tmp_path.rglob("*") if p.is_file()] == [".sqlite"]
    assert module.BUNDLED in paths.pop()


def test_a_query_is_the_block_that_ends_the_steps() -> None:
    reading = DOMAIN.read("q", ["Count them.", "```sql\nselect  COUNT( * )\nfrom Customers -- all\n```"])
    assert (reading.terminal, reading.answer) == (True, "select  COUNT( * )\nfrom Customers -- all")
    assert reading.key == "SELECT COUNT(*) FROM customers"
    assert not DOMAIN.read("q", ["Count them."]).terminal


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("select a from t", "SELECT  a\nFROM t;", True),
        ("select T.a from T", "select t.A from t -- so", True),
        ("select a from t where b = 'X'", "select a from t where b = 'x'", False),
        ("select a, b from t", "select b, a from t", False),
        ("no query (", "no query ( ;", True),
        ("no query (", "no  query (", False),  # what cannot be read is compared as it is
    ],
)
def test_vote_keys_of_queries(first: str, second: str, same: bool) -> None:
    assert (DOMAIN.canonical(first) == DOMAIN.canonical(second)) is same


@given(st.text(max_size=40) | st.text("select *(),'\"`-;/\n 1", max_size=40))
@example("(" * 3000)
@example("select " + "-" * 3000 + "1")
def test_no_model_text_makes_the_domain_fail(text: str) -> None:
    key = DOMAIN.canonical(text)
    DOMAIN.read("q", [text])
    assert isinstance(key, str)


def exemplars() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for part in load_prompt("examples", "text2sql").split("Problem: ")[1:]:
        question, solution = part.strip().split("\n\n", 1)
        found.append((question, solution.split(DOMAIN.stop)))
    return found


def test_worked_examples_are_right_and_in_the_familys_own_format() -> None:
    shown = exemplars()
    assert len(shown) == 3
    asked = {item.problem.question for split in ("train", "test") for item in Text2SqlTask().load(split)}
    for question, steps in shown:
        assert DOMAIN.parse(question) == question
        assert question not in asked
        for k in range(1, len(steps) + 1):
            assert DOMAIN.flaw(question, steps[:k]) is None
            assert DOMAIN.read(question, steps[:k]).terminal == (k == len(steps))
        answer: Any = DOMAIN.read(question, steps).answer
        assert run_query(DOMAIN.database_url(question), answer).rows
