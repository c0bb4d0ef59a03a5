"""PostgreSQL roles that can do more than read are refused, each for its reason; the role that our own SQL makes is not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sql_world import connected
from sqlalchemy.engine import make_url

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tools.sql import read_only_role_sql, run_query, sql_tools
from thoughtgraph.tools.sql.opening import open_source

pytestmark = pytest.mark.postgres

SETUP = """
create table orders (id serial primary key, amount numeric);
insert into orders (amount) values (1.5);
create table other (id integer);
create function safe() returns integer language sql as 'select 1';
create function mighty() returns integer language sql stable security definer as 'select 1';
revoke execute on function mighty() from public;
select lo_create(4242);
create extension postgres_fdw;
create server far foreign data wrapper postgres_fdw;
"""

FLAWS = {
    "superuser": ("alter role {role} superuser", "is a superuser"),
    "createrole": ("alter role {role} createrole", "attribute CREATEROLE"),
    "createdb": ("alter role {role} createdb", "attribute CREATEDB"),
    "replication": ("alter role {role} replication", "attribute REPLICATION"),
    "bypassrls": ("alter role {role} bypassrls", "attribute BYPASSRLS"),
    **{
        name: (f"grant {name} to {{role}}", f"is a member of {name}")
        for name in (
            "pg_write_all_data",
            "pg_execute_server_program",
            "pg_read_server_files",
            "pg_write_server_files",
            "pg_signal_backend",
            "pg_monitor",
        )
    },
    "becomes a superuser": ("grant postgres to {role}", "attribute SUPERUSER"),
    "becomes a writer": (
        "grant {other} to {role}; grant insert on orders to {other}",
        r"may write to public\.orders",
    ),
    "insert": ("grant insert on orders to {role}", r"may write to public\.orders"),
    "update": ("grant update on orders to {role}", r"may write to public\.orders"),
    "delete": ("grant delete on orders to {role}", r"may write to public\.orders"),
    "truncate": ("grant truncate on orders to {role}", r"may write to public\.orders"),
    "references": ("grant references on orders to {role}", r"may write to public\.orders"),
    "trigger": ("grant trigger on orders to {role}", r"may write to public\.orders"),
    "update of a column": ("grant update (amount) on orders to {role}", r"may write to public\.orders"),
    "insert by everybody": ("grant insert on other to public", r"may write to public\.other"),
    "owns a table": ("alter table other owner to {role}", "owns table other"),
    "owns a function": ("alter function safe() owner to {role}", r"owns function safe\(\)"),
    "owns the database": ("alter database {database} owner to {role}", "is a member of pg_database_owner"),
    "create in a schema": (
        "grant create on schema public to {role}",
        "may create objects in the schema public",
    ),
    "create in the database": (
        "grant create on database {database} to {role}",
        "may create schemas or temporary",
    ),
    "temporary tables": (
        "grant temporary on database {database} to {role}",
        "may create schemas or temporary",
    ),
    "sequence": (
        "grant usage on sequence orders_id_seq to {role}",
        "may advance the sequence public.orders_id_seq",
    ),
    "sequence, set": ("grant update on sequence orders_id_seq to {role}", "may advance the sequence"),
    "large object": ("grant update on large object 4242 to {role}", "may write to the large object 4242"),
    "foreign server": ("grant usage on foreign server far to {role}", "may use the foreign server far"),
    "another's rights": (
        "grant execute on function mighty() to {role}",
        r"rights of another role, the function mighty\(\)",
    ),
    "dblink": ("create extension dblink", "extension's function dblink: dblink"),
}
UNDO = """
alter role {role} nosuperuser nocreaterole nocreatedb noreplication nobypassrls;
revoke pg_write_all_data, pg_execute_server_program, pg_read_server_files, pg_write_server_files, pg_signal_backend, pg_monitor,
    postgres, {other} from {role};
revoke all on all tables in schema public from {role}, {other}, public;
revoke all on all sequences in schema public from {role};
revoke update (amount) on orders from {role};
alter table other owner to postgres; alter function safe() owner to postgres; alter database {database} owner to postgres;
revoke create on schema public from {role};
revoke create, temporary on database {database} from {role};
revoke update on large object 4242 from {role};
revoke usage on foreign server far from {role};
revoke execute on function mighty() from {role};
drop extension if exists dblink;
grant select on orders to {role};
"""


class Clerk:
    """A role that only reads, and an administrator who gives and takes rights."""

    def __init__(self, connection: Any, url: str, names: dict[str, str]) -> None:
        self._connection = connection
        self.url = url
        self.names = names

    def run(self, sql: str) -> None:
        self._connection.execute(sql.format(**self.names))


@pytest.fixture(scope="module")
def clerk(postgres_database: str) -> Iterator[Clerk]:
    url = make_url(postgres_database).set(drivername="postgresql")
    tag = uuid.uuid4().hex[:10]
    names = {"role": f"tg_clerk_{tag}", "other": f"tg_other_{tag}", "database": str(url.database)}
    with connected(url) as connection:
        connection.execute(SETUP)
        connection.execute(f"create role {names['other']}")
        connection.execute(read_only_role_sql(names["database"], names["role"], tables=["orders"]))
        reader = url.set(username=names["role"], password="s3cret-pw").render_as_string(hide_password=False)
        yield Clerk(connection, reader, names)
        connection.execute(f"drop owned by {names['role']}, {names['other']}")
        connection.execute(f"drop role {names['role']}, {names['other']}")


@pytest.mark.parametrize("name", FLAWS)
def test_a_role_that_can_do_more_is_refused(clerk: Clerk, name: str) -> None:
    flaw, message = FLAWS[name]
    clerk.run(flaw)
    try:
        with pytest.raises(UserError, match=message) as error:
            open_source(clerk.url)
        assert "thoughtgraph tools --role-for DATABASE" in str(error.value)
        assert "\n" not in str(error.value)
        assert "s3cret-pw" not in str(error.value)
    finally:
        clerk.run(UNDO)
    open_source(clerk.url)


def test_a_role_of_our_own_making_only_reads(clerk: Clerk) -> None:
    assert run_query(clerk.url, "select id from orders").rows == ((1,),)
    open_source(clerk.url, ["orders"])


def test_a_role_that_reads_more_than_is_granted_is_refused(clerk: Clerk) -> None:
    clerk.run("grant select (id) on other to {role}")
    try:
        with pytest.raises(UserError, match=r"can read other\.id, which is not granted here"):
            open_source(clerk.url, ["orders"])
        with pytest.raises(UserError, match=r"can read orders\.amount, which is not granted here"):
            open_source(clerk.url, {"orders": ["id"], "other": []})
        open_source(clerk.url, ["orders", "other"])
        open_source(clerk.url)
    finally:
        clerk.run("revoke all on other from {role}")


def test_a_grant_of_what_is_not_there_is_refused(clerk: Clerk) -> None:
    with pytest.raises(UserError, match="no table 'missing' to grant; the database has: orders"):
        open_source(clerk.url, ["missing"])
    with pytest.raises(UserError, match="'orders' has no column 'missing' to grant; it has: amount, id"):
        open_source(clerk.url, {"orders": ["missing"]})


def test_a_writer_may_be_accepted(clerk: Clerk) -> None:
    clerk.run("grant insert on orders to {role}")
    try:
        with pytest.raises(UserError):
            sql_tools(clerk.url)
        assert len(sql_tools(clerk.url, accept="writer")) == 4
    finally:
        clerk.run(UNDO)
    with pytest.raises(UserError, match="'anything' means nothing"):
        sql_tools(clerk.url, accept="anything")


def test_names_are_quoted_in_the_sql() -> None:
    sql = read_only_role_sql('d"b', 'Ann"s', "s p", {"T": ["a b"], "u": []})
    assert 'CREATE ROLE "Ann""s" LOGIN NOSUPERUSER' in sql
    assert 'GRANT SELECT ("a b") ON "s p"."T" TO "Ann""s";' in sql
    assert 'GRANT SELECT ON "s p"."u" TO "Ann""s";' in sql
    assert 'REVOKE CREATE, TEMPORARY ON DATABASE "d""b" FROM PUBLIC;' in sql
