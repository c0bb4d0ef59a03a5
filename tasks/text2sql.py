"""Questions over a database, answered by a query; right is a query that gives what the reference gives, when both are run.

The canonical question names its database on the first line and ends with the tables, which the domain fills in:

    Database: sales
    How many customers are there in each country?
    Tables:
    customers(id integer, name text, country text, …)

Databases are those that the operator's configuration names (`sources.databases`); what a question names is looked up among them, and nothing else of it is.
Without configuration it is a small sales database that comes with the package, with questions of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..graph.errors import UnknownNameError, UserError
from .base import Verdict
from .families import CodeDomain
from .grading.queries import parsed, same_result
from .public import PublicTask
from .sources.databases import BUNDLED, databases, is_questions
from .sources.entries import Entry, id_of, scalar_of, text_of
from .sources.public import Source
from .sources.rows import Row

SOURCE = Source(
    task="text2sql",
    splits={
        "train": ("train_spider.json", "train.json", "train/train.json"),
        "dev": ("dev.json", "dev/dev.json"),
        "test": ("test.json", "test_data/test.json"),
    },
    hub="FOLDER",
    hub_splits={},
    origin="https://yale-lily.github.io/spider (Spider) or https://bird-bench.github.io (BIRD)",
)

_HEAD = re.compile(r"\s*Database:[ \t]*(\S[^\n]*?)[ \t]*\n")
_TABLES = re.compile(r"\nTables:\n.*", re.DOTALL)
_LONGEST = 10_000
"""Longest query that is written anew for its vote key, in characters."""
_DESCRIBE_S = 30.0


class Text2SqlDomain(CodeDomain):
    """Questions over databases; the last step is a fenced block with the query.

    Args:
        data: what the operator says of databases, see `sources.databases.databases`. They are looked for when the first question is read.
    """

    name = "text2sql"
    instructions = "text2sql"

    def __init__(self, data: str = "") -> None:
        self._data = data

    @cached_property
    def databases(self) -> Mapping[str, str]:
        """URLs of the known databases by name; raises UserError."""
        return databases(self._data)

    @property
    def database_urls(self) -> tuple[str, ...]:
        """URLs of all known databases; raises UserError."""
        return tuple(self.databases.values())

    def parse(self, question: str) -> str:
        """Return the canonical question; without a first line `Database: NAME` it is about the only database there is.

        Raises:
            UserError: if it is empty or names no known database.
        """
        found = _HEAD.match(question)
        text = " ".join(_TABLES.sub("", question[found.end() if found else 0 :]).split())
        if not text:
            raise UserError("the question is empty; write a question in quotes")
        name = found[1] if found else next(iter(self.databases))
        if found is None and len(self.databases) > 1:
            raise UserError(
                f"the question names none of {len(self.databases)} databases; begin it with a line Database: {name}"
            )
        self._known(name)
        return f"Database: {name}\n{text}\nTables:\n{self.schema_of(name)}"

    def database(self, question: str) -> str:
        """Return the name of a canonical question's database; raises UserError if it names no known one."""
        found = _HEAD.match(question)
        if found is None:
            raise UserError("the question names no database; begin it with a line Database: NAME")
        return self._known(found[1])

    def database_url(self, question: str) -> str:
        """Return the URL of a canonical question's database: one of the operator's. Raises UserError if it names none of them."""
        return self.databases[self.database(question)]

    def schema(self, question: str) -> str:
        """Return the tables of a canonical question's database, a line each; raises UserError."""
        return self.schema_of(self.database(question))

    def schema_of(self, name: str) -> str:
        """Return the tables of a known database, a line each; raises UserError."""
        return _schema(self.databases[self._known(name)])

    def dialect(self, question: str) -> str:
        """Return the dialect of a canonical question's database as sqlglot calls it."""
        return _dialect(self.database_url(question))

    def canonical(self, answer: str) -> str:
        """Return a query written one way: keywords in capitals, names in small letters, single spaces, no comments; text that is no query without the space around it."""
        return _sql_key(super().canonical(answer))

    def program(self, question: str, answer: str) -> str:
        """Return the query of an answer, as it is written."""
        return super().canonical(answer)

    def _known(self, name: str) -> str:
        if name not in self.databases:
            raise UnknownNameError("database", name, self.databases)
        return name


class Text2SqlTask(PublicTask):
    """Questions over databases with their references; implements `tasks.base.Task`.

    Args:
        data: what `--data` says, see `sources.databases.databases`.
    """

    reference_column = "query"

    def __init__(self, data: str = "") -> None:
        domain = Text2SqlDomain(data)
        super().__init__(domain, SOURCE, data)
        self._sql = domain

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split of the folder, or of the questions that come with the package; raises UserError."""
        if not self.data:
            return self._bundled(split)
        path = Path(self.data).expanduser()
        if (
            self._sql.databases and not path.is_dir() and not is_questions(path)
        ):  # told once, not for every row
            raise UserError(
                f"{self.data!r} is a database and holds no questions; give a file of them: thoughtgraph run FILE --task text2sql --data {self.data}"
            )
        return self.source.rows(split, self.data)

    def entry(self, fields: Mapping[str, Any]) -> Entry:
        """Return what a row of Spider (`query`) or BIRD (`SQL`, `evidence`) says, or one with `question`, `answer` and, where there are several databases, `db_id`."""
        question = text_of(fields, "question")
        name = scalar_of(fields, "db_id")
        if name is None and len(self._sql.databases) > 1 and not _HEAD.match(question):
            text_of(fields, "db_id")
            raise UserError("`db_id` is empty")
        evidence = (scalar_of(fields, "evidence") or "").strip()
        text = f"{question.strip()} Hint: {evidence}" if evidence else question
        gold = next(
            (g for column in ("query", "SQL", "answer") if (g := scalar_of(fields, column)) is not None), None
        )
        head = f"Database: {name}\n" if name is not None else ""
        return Entry(head + text, gold, id_of(fields, "id", "question_id"))

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Run both queries and compare what they give; None without a reference.

        Raises:
            GradingError: if the reference cannot be run.
            UserError: if the database is not known here, or cannot be read.
        """
        if reference is None:
            return None
        if answer is None or not (query := self._sql.program(question, answer)).strip():
            return Verdict(False, None, None, "no answer")
        right, reason = same_result(self._sql.database_url(question), reference, query)
        return Verdict(right, query, self._sql.canonical(answer), reason)

    def _bundled(self, split: str) -> Iterator[Row]:
        file = files(__package__ or "thoughtgraph.tasks").joinpath("data", f"{BUNDLED}_questions.jsonl")
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        splits = list(dict.fromkeys(row["split"] for row in rows))
        if split not in splits:
            raise UserError(
                f"text2sql has no split {split!r}; give --split {' or '.join(splits)}, or --data FOLDER"
            )
        return (Row("line", n, row) for n, row in enumerate(rows, 1) if row["split"] == split)


@lru_cache(maxsize=512)
def _schema(url: str) -> str:
    from ..graph.errors import ToolError
    from ..tools.sql.opening import open_source
    from ..tools.sql.stopping import Stopper

    try:
        tables = open_source(url).tables(_DESCRIBE_S, Stopper())
    except ToolError as error:
        raise UserError(f"cannot read the tables of {url!r}: {error}") from None
    lines: list[str] = []
    for table in tables:
        targets = {c: f" -> {k.table}" for k in table.foreign_keys for c in k.columns if len(k.columns) == 1}
        columns = (f"{c.name} {c.type.lower()}".strip() + targets.get(c.name, "") for c in table.columns)
        lines.append(f"{table.name}({', '.join(columns)})")
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def _sql_key(query: str) -> str:
    text = query.strip().rstrip(";").strip()
    tree = parsed(text, "sqlite") if 0 < len(text) <= _LONGEST else None
    if tree is None:
        return text
    try:
        return tree.sql(dialect="sqlite", comments=False, normalize=True)
    except (RecursionError, ValueError):
        return text


def _dialect(url: str) -> str:
    return "postgres" if url.startswith("postgres") else "sqlite"
