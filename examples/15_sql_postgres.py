"""The same over PostgreSQL, where a role is the boundary: it can read what you name, and nothing else.

A role that could write is refused; `read_only_role_sql` writes the SQL that makes one that cannot. The script makes a database with a few rows and
such a role on the server at THOUGHTGRAPH_TEST_POSTGRES, else on this machine, and drops both at the end. It connects as a user who may do that.
"""

import os
import sys
import uuid

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import OperationalError

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.tools.sql import read_only_role_sql

NAME = f"thoughtgraph_example_{uuid.uuid4().hex[:8]}"  # of the database and of the role
SERVER = os.environ.get("THOUGHTGRAPH_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
SHOP = """
create table sale (id int primary key, city text, amount numeric);
create table staff (name text, salary numeric);
insert into sale values (1, 'Porto', 20), (2, 'Bergen', 12.5), (3, 'Porto', 9);
insert into staff values ('Ann', 5000);
"""
STEPS = [
    "<<shop_tables: {}>>",
    "<<shop_query: SELECT name, salary FROM staff>>",
    "<<shop_query: SELECT city, sum(amount) AS total FROM sale GROUP BY city ORDER BY total DESC>>",
    "Answer: Porto",
]


def ask() -> None:
    # the URL comes from the environment, so that no password of yours is recorded with the run
    grant = {"tool": "sql", "url": "${SHOP_URL}", "name": "shop", "tables": ["sale"]}
    model = ScriptedModel(STEPS, chat=True)  # says one step after the other; any chat model in its place
    result = solve("Which city buys most?", task="text", scheme="cot", model=model, toolbox=[grant])
    for thought in result.graph.path():
        for call in result.graph.tool_calls.get(thought.id, ()):
            said = call.result if call.error is None else f"refused: {call.error}"
            print(f"{call.tool} {' '.join(call.arguments.values())}\n  " + (said or "").replace("\n", "\n  "))
    print(f"answer: {result.answer}")


def run(server: Connection) -> None:
    server.exec_driver_sql(f"create database {NAME}")
    url = make_url(SERVER).set(drivername="postgresql+psycopg", database=NAME)
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with owner.connect() as shop:
            shop.exec_driver_sql(SHOP)
            shop.exec_driver_sql(read_only_role_sql(NAME, role=NAME, tables=["sale"]))
            shop.exec_driver_sql(f"alter role {NAME} password '{NAME}'")
        reader = url.set(drivername="postgresql", username=NAME, password=NAME)
        os.environ["SHOP_URL"] = reader.render_as_string(hide_password=False)
        ask()
    finally:
        owner.dispose()
        server.exec_driver_sql(f"drop database {NAME} with (force)")
        server.exec_driver_sql(f"drop role if exists {NAME}")


admin = create_engine(
    make_url(SERVER).set(drivername="postgresql+psycopg"),
    isolation_level="AUTOCOMMIT",
    connect_args={"connect_timeout": 3},
)
try:
    connection = admin.connect()
except OperationalError as error:
    print(f"no PostgreSQL here: {str(error.orig).splitlines()[0]}")
    sys.exit()
with connection:
    run(connection)
admin.dispose()
