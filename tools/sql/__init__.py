"""Reading databases of the user's: list, describe, sample, query; never a write.

    tools = sql_tools("sales.db", tables=["orders", "customers"])

`sql_tools` gives an agent's tools, `run_query` one result to a grader, `read_only_role_sql` the SQL that makes a PostgreSQL role which only reads.
"""

from .results import QueryResult
from .roles import read_only_role_sql
from .running import run_query
from .tool import sql_tools

__all__ = ["QueryResult", "read_only_role_sql", "run_query", "sql_tools"]
