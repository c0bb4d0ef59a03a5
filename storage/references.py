"""Reference answers: the far side of the firewall.

Runners and graders read them here, after the search. Nothing that searches imports this module (tests/test_store_read.py), and neither the
store nor any reader touches the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from ..graph.errors import UserError
from .database import Database
from .sanitise import sanitise
from .schema import ReferenceRow
from .statements import get_or_create, insert_all


def add_references(database: Database, task: str, answers: Mapping[str, str]) -> None:
    """Record reference answers by problem id; doing so twice is harmless.

    Raises:
        UserError: if a problem has another reference answer already; nothing is written.
        StoreError: if a problem is not in the database; nothing is written.
    """
    rows = [{"task": task, "problem": problem, "answer": answer} for problem, answer in answers.items()]
    with database.writing() as connection:
        insert_all(connection, get_or_create(database.dialect, ReferenceRow, "task", "problem"), rows)
        stored = select(ReferenceRow.problem, ReferenceRow.answer).where(ReferenceRow.task == task)
        known = dict(connection.execute(stored).all())
        for problem, answer in answers.items():
            if known[sanitise(problem)] != sanitise(answer):
                raise UserError(f"problem {problem!r} of task {task!r} has another reference answer already")


def read_references(database: Database, task: str) -> dict[str, str]:
    """Return the reference answers of a task, by problem id."""
    stored = select(ReferenceRow.problem, ReferenceRow.answer).where(ReferenceRow.task == task)
    with database.reading() as connection:
        return dict(connection.execute(stored).all())
