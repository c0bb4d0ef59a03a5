"""PostgreSQL under attack: nothing is written, no file made or read, no right or setting kept, every bomb stopped in time.

Each probe is made twice: through the tool, and past its parser (`guards`), which is a second layer only; and what can be told apart from a
refusal by the rows alone is made once more with a role that could write, whose operator accepted that.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sql_world import CANARY, Attempt, attempt, close, connected
from sqlalchemy.engine import make_url

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.base import Tool
from thoughtgraph.tools.sql import read_only_role_sql, sql_tools
from thoughtgraph.tools.sql.postgres import PostgresSource
from thoughtgraph.tools.sql.results import Limits, as_table
from thoughtgraph.tools.sql.stopping import Stopper

pytestmark = pytest.mark.postgres

SETUP = f"""
create table customers (id integer primary key, name text not null, card text);
create table orders (id serial primary key, customer integer not null references customers (id), amount numeric(10, 2), placed date);
create table hidden (id integer primary key, word text);
create view peek as select word from hidden where id = 2;
create schema vault;
create table vault.gold (word text);
create type mood as enum ('sad', 'ok');
create function writes() returns integer language plpgsql as $$ begin insert into hidden values (99, 'x'); return 1; end $$;
create function runs(text) returns integer language plpgsql as $$ begin execute $1; return 1; end $$;
create function sneaks() returns integer language sql stable as 'select count(*)::integer from hidden';
insert into customers values (1, 'Ann', '{CANARY}'), (2, 'Bob', '{CANARY}');
insert into orders (customer, amount, placed) values (1, 3.5, '2024-01-31'), (1, 20.25, '2024-02-01'), (2, null, null);
insert into hidden values (1, '{CANARY}'), (2, 'public');
insert into vault.gold values ('{CANARY}');
"""

WRITES = [
    "insert into orders (customer) values (1)",
    "insert into orders (customer) values (1) returning *",
    "update orders set amount = 0",
    "delete from orders",
    "truncate orders",
    "merge into orders o using customers c on true when matched then delete",
    "with gone as (delete from orders returning *) select * from gone",
    "with made as (insert into orders (customer) values (1) returning *) select * from made",
    "with changed as (update orders set amount = 0 returning *) select count(*) from changed",
    "select * into made from orders",
    "select * into temp made from orders",
    "create table made as select 1",
    "create temp table made (a integer)",
    "create unlogged table made (a integer)",
    "create view made as select 1",
    "create materialized view made as select 1",
    "create function made() returns integer language sql as 'select 1'",
    "create schema made",
    "create extension dblink",
    "create role made superuser",
    "drop table orders",
    "alter table orders add column made integer",
    "alter system set work_mem = '1GB'",
    "alter role current_user set work_mem = '1GB'",
    "alter role current_user superuser",
    "grant all on orders to public",
    "comment on table orders is 'made'",
    "security label on table orders is 'made'",
    "refresh materialized view made",
    "reindex table orders",
    "cluster",
    "vacuum",
    "analyze",
    "checkpoint",
    "explain analyze delete from orders",
    "explain (analyze) insert into orders (customer) values (1)",
    "do $$ begin delete from orders; end $$",
    "call made()",
    "copy orders to '/tmp/made'",
    "copy orders from '/etc/passwd'",
    "copy (select 1) to program 'touch {made}'",
    "copy orders from program 'touch {made}; echo'",
    "prepare made as delete from orders",
    "execute made",
    "deallocate all",
    "declare made cursor with hold for select * from orders",
    "fetch all from asked",
    "move all in asked",
    "close all",
    "select writes()",
    "select runs('delete from orders')",
    "select runs('commit')",
    "select runs('set transaction read write')",
    "select nextval('orders_id_seq')",
    "select setval('orders_id_seq', 1000)",
    "select lo_from_bytea(0, 'x'::bytea) from writes()",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/made')",
    "select * from orders for update",
    "select * from orders for share",
    "select * from orders for key share",
    "select * from customers, lateral (select writes()) w",
    "values (writes())",
    "table orders; delete from orders",
]
SESSIONS = [
    "commit",
    "rollback",
    "begin",
    "abort and chain",
    "savepoint made",
    "commit; delete from orders",
    "rollback; begin read write; delete from orders",
    "select 1; commit; delete from orders; begin",
    "select 1; set default_transaction_read_only = off; commit; delete from orders",
    "select 1 /* ; */ ; delete from orders -- ",
    "select 1;\n-- comment\ndelete from orders",
    "select $$;$$ ; delete from orders",
    "select $a$ $b$ ; $a$; delete from orders",
    "select E'\\'' ; delete from orders --'",
    "select U&'\\0027' ; delete from orders",
    "/* /* nested */ */ delete from orders",
    "\ufeffdelete from orders",
    ";;delete from orders",
    "select 1) as asked(c0); delete from orders; select * from (select 1",
    "select 1) as asked(c0) union select word from (select word from hidden",
    "select 1 -- ) as asked(c0)\n; delete from orders",
    "select 1 /* unfinished",
    "select 1\0; delete from orders",
    "select '\ud800'; delete from orders",
    "set transaction read write",
    "set session authorization postgres",
    "set role postgres",
    "reset role",
    "reset all",
    "discard all",
    "set statement_timeout = 0",
    "set local statement_timeout = 0",
    "show data_directory",
    "listen made",
    "notify made, 'x'",
    "lock table orders in access exclusive mode",
    "load 'dblink'",
    "select set_config('transaction_read_only', 'off', false), writes()",
    "select set_config('default_transaction_read_only', 'off', false), writes()",
    "select set_config('role', 'postgres', false)",
    "select set_config('session_authorization', 'postgres', false)",
]
READS = [
    "select * from hidden",
    'select * from "hidden"',
    "select * from public.hidden",
    'select * from U&"\\0068idden"',
    "table hidden",
    "select * from vault.gold",
    "with x as (select * from hidden) select * from x",
    "with peek as (select * from hidden) select * from peek",
    "select (select word from hidden limit 1)",
    "select count(*) from hidden",
    "select hidden from hidden",
    "select 1 from customers where exists (select from hidden)",
    "select * from customers",
    "select card from customers",
    "select max(card) from customers",
    "select customers from customers",
    "select row_to_json(customers) from customers",
    "select to_jsonb(c) from customers c",
    "select c::text from customers c",
    "select name from customers order by card",
    "select name from customers where card like 'CANARY%'",
    "select ctid from customers",
    "select sneaks()",
    "select runs('select word from hidden')",
    "select query_to_xml('select word from hidden', true, false, '')",
    "select table_to_xml('hidden', true, false, '')",
    "select cursor_to_xml('asked', 10, true, false, '')",
    "select schema_to_xml('vault', true, false, '')",
    "select pg_read_file('{secret}')",
    "select pg_read_binary_file('{secret}')",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select pg_ls_logdir()",
    "select pg_stat_file('{secret}')",
    "select pg_current_logfile()",
    "select * from pg_hba_file_rules",
    "select * from pg_file_settings",
    "select rolpassword from pg_authid",
    "select * from pg_shadow",
    "select * from pg_user_mapping",
    "select * from pg_largeobject",
    "select * from pg_statistic",
    "select * from pg_ls_waldir()",
    "select dblink('dbname=postgres user=postgres', 'select 1')",
    "select * from dblink_connect('host=127.0.0.1 user=postgres')",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('made')",
    "select pg_create_physical_replication_slot('made')",
    "select pg_replication_origin_create('made')",
    "select pg_promote()",
    "select pg_stat_reset()",
    "select pg_import_system_collations('pg_catalog')",
    "select binary_upgrade_set_next_pg_type_oid(1)",
    "select pg_config()",
    "select * from orders where id = $1",
    "select * from orders where id = %s",
]
REFUSED = WRITES + SESSIONS + READS

HARMLESS = [
    "select pg_advisory_lock(1)",
    "select pg_advisory_lock(generate_series(1, 10))",
    "select pg_try_advisory_lock_shared(7)",
    "select pg_notify('made', 'x')",
    "select set_config('statement_timeout', '0', false)",
    "select set_config('work_mem', '1GB', false)",
    "select set_config('search_path', 'vault', false)",
    "select txid_current()",
    "select pg_export_snapshot()",
    "select lo_creat(-1)",
    "select lo_create(4242), lo_put(4242, 0, 'x')",
    "select database_to_xml(true, false, '')",
    "select pg_terminate_backend(pg_backend_pid() + 1)",
    "select word from peek",
    "select usename, query from pg_stat_activity",
    "select * from pg_stats where tablename = 'hidden'",
    "select name, setting from pg_settings where name = 'data_directory'",
]
"""What the engine lets through: it does nothing outside its transaction, and shows nothing hidden."""

BOMBS = {
    "sleep": "select pg_sleep(60)",
    "sleep in a row": "select pg_sleep(0.2) from generate_series(1, 1000)",
    "sleep without a time limit": "select set_config('statement_timeout', '0', true), pg_sleep(60)",
    "repeat": "select repeat('x', 500000000)",
    "repeat, measured": "select length(repeat('x', 1000000000))",
    "repeat of md5": "select md5(repeat(md5('x'), 30000000))",
    "cross join": "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    "series": "select * from generate_series(1, 100000000000)",
    "series of rows": "select a, b from generate_series(1, 100000) a, generate_series(1, 1000000) b order by md5(a::text || b)",
    "recursion": "with recursive r(x) as (select 1::bigint union all select x + 1 from r) select count(*) from r",
    "recursion of text": "with recursive r(x) as (select 'x' union all select x || x from r) select max(length(x)) from r",
    "string_agg": "select length(string_agg(repeat('x', 1000000), '')) from generate_series(1, 2000)",
    "array_agg": "select array_length(array_agg(a), 1) from generate_series(1, 1000000000) a",
    "json": "select length(jsonb_agg(a)::text) from generate_series(1, 100000000) a",
    "xml": "select length(xmlagg(xmlelement(name a, a))::text) from generate_series(1, 100000000) a",
    "power": "select length((10::numeric ^ 100000)::text), (3::numeric ^ 200000) * (7::numeric ^ 150000)",
    "factorial": "select length(factorial(30000)::text)",
    "regular expression": "select regexp_replace(repeat('a', 30000) || '!', '(a+)+(b+)+$', 'x')",
    "back reference": "select repeat('a', 2000) || '!' ~ '^(.*)(.*)(.*)(.*)\\1\\2\\3\\4x$'",
    "similar": "select repeat('ab', 100000) similar to '((a|b)*c|(a|b)*d)*e'",
    "like": "select repeat('a', 100000000) like '%a%a%a%a%a%a%a%a%a%a%b'",
    "levenshtein of joins": "select count(*) from orders, " + ", ".join(f"orders o{i}" for i in range(40)),
    "deep expression": "select " + "(" * 9000 + "1" + ")" * 9000,
    "deep expression of NOT": "select " + "not " * 9000 + "true",
    "deep arrays": "select " + "array[" * 5000 + "1" + "]" * 5000,
    "long list": "select " + ", ".join(["1"] * 1600),
    "long or": "select count(*) from orders where " + " or ".join(f"id = {i}" for i in range(3000)),
    "long statement": "select '" + "x" * 20_000_000 + "'",
    "joins that parsers try again and again": "select count(*) from orders" + " join orders" * 40,
    "arrays that parsers try again and again": "select " + "array[" * 40 + "1" + "]" * 40,
    "subscripts": "select orders" + "[1]" * 6000,
    "wide rows": "select " + ", ".join(["repeat('x', 1000000)"] * 300) + " from generate_series(1, 1000)",
    "backtracking split": "select count(*) from regexp_split_to_table(repeat('a,', 20000000), ',')",
}


@dataclass(frozen=True)
class World:
    """A database, and roles of it."""

    admin: str
    reader: str
    made: Path
    secret: Path
    grant: dict[str, list[str]]
    connection: Any
    """An administrator's."""

    def rows(self) -> list[Any]:
        """Return everything that could have changed."""
        return [
            *(
                self.connection.execute(sql).fetchall()
                for sql in (
                    "select * from customers order by id",
                    "select * from orders order by id",
                    "select * from hidden order by id",
                    "select last_value, is_called from orders_id_seq",
                    "select relname, relacl::text from pg_class where relnamespace::regnamespace::text !~ '^pg_' order by 1",
                    "select count(*) from pg_proc",
                    "select nspname from pg_namespace where nspname !~ '^pg_t' order by 1",
                    "select rolname, rolsuper from pg_roles where rolname !~ 'tg_' order by 1",
                    "select count(*) from pg_largeobject_metadata",
                    "select extname from pg_extension order by 1",
                    "select setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole and r.rolname ~ '^tg_probe' order by 1",
                    "select count(*) from pg_prepared_xacts",
                    "select slot_name from pg_replication_slots",
                    "select description from pg_description where objoid = 'orders'::regclass",
                )
            ),
            self.made.exists(),
        ]


@pytest.fixture(scope="module")
def world(
    postgres_server: str, postgres_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("pg")
    secret = directory / "secret.txt"
    secret.write_text(CANARY)
    directory.chmod(0o777)
    url = make_url(postgres_database).set(drivername="postgresql")
    admin = url.render_as_string(hide_password=False)
    role = f"tg_probe_{uuid.uuid4().hex[:10]}"
    grant = {"customers": ["id", "name"], "orders": [], "peek": []}
    with connected(admin) as connection:
        connection.execute(SETUP)
        connection.execute(read_only_role_sql(str(url.database), role, tables=grant))
        reader = url.set(username=role, password=None).render_as_string()
        yield World(admin, reader, directory / "made", secret, grant, connection)
        connection.execute(f"drop owned by {role}")
        connection.execute(f"drop role {role}")


@pytest.fixture(scope="module", params=["tool", "guards"])
def restricted(world: World, request: pytest.FixtureRequest) -> Iterator[Sequence[Tool] | PostgresSource]:
    """A database of which a role sees a part: its tools, or what is behind their parser."""
    if request.param == "guards":
        yield PostgresSource(make_url(world.reader))
        return
    tools = sql_tools(world.reader, tables=world.grant, seconds=5)
    yield tools
    asyncio.run(close(tools))


@pytest.fixture(scope="module")
def writer(world: World) -> Iterator[Sequence[Tool]]:
    """The tools of a superuser, which the operator accepted."""
    tools = sql_tools(world.admin, accept="writer", seconds=5)
    yield tools
    asyncio.run(close(tools))


async def tried(target: Sequence[Tool] | PostgresSource, sql: str, seconds: float = 5) -> Attempt:
    if not isinstance(target, PostgresSource):
        return await attempt(target, sql)
    started = time.monotonic()
    limits = Limits(seconds=seconds)
    try:
        text, refused = as_table(target.query(sql, limits, Stopper()), limits), False
    except ToolError as error:
        text, refused = str(error), True
    return Attempt(text, refused, time.monotonic() - started)


@pytest.mark.parametrize("sql", REFUSED)
async def test_what_only_reading_does_not_take_is_refused(
    restricted: Sequence[Tool] | PostgresSource, world: World, sql: str
) -> None:
    before = world.rows()
    found = await tried(
        restricted, sql.replace("{made}", str(world.made)).replace("{secret}", str(world.secret))
    )
    assert found.refused, found.text
    assert CANARY not in found.text
    assert world.rows() == before


@pytest.mark.parametrize("sql", HARMLESS)
async def test_what_the_server_lets_through_leaves_nothing(world: World, sql: str) -> None:
    source = PostgresSource(make_url(world.reader))
    before = world.rows()
    with connected(world.admin) as listening:
        listening.execute("listen made")
        found = await tried(source, sql)
        assert not list(listening.notifies(timeout=0.05))
        locks = listening.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone()
    assert CANARY not in found.text
    assert locks == (0,)
    assert world.rows() == before
    settings = await tried(
        source, "select current_setting('statement_timeout'), current_setting('search_path')"
    )
    assert settings.text.splitlines()[1].endswith('ms | "$user", public') or "5s" in settings.text
    assert "vault" not in settings.text


@pytest.mark.parametrize("sql", WRITES + SESSIONS)
async def test_an_accepted_writer_writes_nothing_either(
    world: World, writer: Sequence[Tool], sql: str
) -> None:
    before = world.rows()
    found = await attempt(writer, sql.replace("{made}", str(world.made)))
    assert found.refused, found.text
    assert world.rows() == before


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_stopped(world: World, name: str) -> None:
    found = await tried(PostgresSource(make_url(world.reader)), BOMBS[name], seconds=0.5)
    assert found.seconds <= 0.5 + 1.0  # a busy machine's; the slow test is strict


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_stopped_within_a_fifth_of_a_second(world: World, name: str) -> None:
    tools = sql_tools(world.reader, seconds=1)
    found = await attempt(tools, BOMBS[name])
    await close(tools)
    assert found.seconds <= 1 + 0.2
