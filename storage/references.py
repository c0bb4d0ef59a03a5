"""Reference answers: the far side of the firewall.

Runners and graders read them here, after the search. Nothing that searches imports this module (tests/test_store_read.py), and neither the
store nor any reader touches the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from .database import Database
from .schema import ReferenceRow, table
from .statements import insert_all


def set_references(database: Database, task: str, answers: Mapping[str, str]) -> None:
    """Record reference answers by problem id; a later one replaces an earlier one, as when a problem file is corrected.

    Verdicts given before stay as they are.

    Raises:
        StoreError: if a problem is not in the database; nothing is written.
    """
    insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
    statement = insert(table(ReferenceRow))
    newest = {"answer": statement.excluded.answer}
    upsert = statement.on_conflict_do_update(index_elements=["task", "problem"], set_=newest)
    rows = [{"task": task, "problem": problem, "answer": answer} for problem, answer in answers.items()]
    with database.writing() as connection:
        insert_all(connection, upsert, rows)


def read_references(database: Database, task: str) -> dict[str, str]:
    """Return the reference answers of a task, by problem id."""
    stored = select(ReferenceRow.problem, ReferenceRow.answer).where(ReferenceRow.task == task)
    with database.reading() as connection:
        return dict(connection.execute(stored).all())
