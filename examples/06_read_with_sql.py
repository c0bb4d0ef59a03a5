"""Run the statements of 06_read_with_sql.sql with nothing but Python's own sqlite3, and print what they return."""

import sqlite3
from contextlib import closing
from pathlib import Path

from thoughtgraph import solve
from thoughtgraph.storage.engine import default_db_path

solve("4 4 10 10")

script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
with closing(sqlite3.connect(default_db_path())) as connection:
    for statement in script.split(";"):
        title = [line.removeprefix("-- ") for line in statement.splitlines() if line.startswith("-- ")]
        if not title:
            continue
        rows = connection.execute(statement)
        print(f"\n{title[-1]}\n  {' | '.join(column[0] for column in rows.description)}")
        for row in rows:
            print(f"  {' | '.join(str(value) for value in row)}")
