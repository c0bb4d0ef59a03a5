"""Whether a PostgreSQL role can do anything but read, and the SQL that makes one that cannot.

The role is the boundary: as a superuser, `pg_read_file` and `COPY … TO PROGRAM` run even in a READ ONLY transaction. What a role may do through
any role that it is a member of counts as its own, whether it inherits it or would have to SET ROLE first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...graph.errors import UserError

_ROLES = """with role as (
    select oid, rolname from pg_catalog.pg_roles where pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
) """

_SYSTEM = "n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%'"

FINDINGS: tuple[tuple[str, str], ...] = (
    # What a superuser is a member of is every role, so this comes first and alone.
    (
        "is a superuser",
        "select '' from pg_catalog.pg_roles where rolname in (session_user, current_user) and rolsuper",
    ),
    (
        "is or can become a role with the attribute",
        _ROLES
        + """select pg_catalog.concat_ws(' ', case when r.rolsuper then 'SUPERUSER' when r.rolcreaterole then 'CREATEROLE'
            when r.rolcreatedb then 'CREATEDB' when r.rolreplication then 'REPLICATION' else 'BYPASSRLS' end, '(' || r.rolname || ')')
        from role join pg_catalog.pg_roles r using (oid)
        where r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls""",
    ),
    (
        "is a member of",
        _ROLES
        + """select rolname from role where rolname in ('pg_write_all_data', 'pg_execute_server_program', 'pg_read_server_files',
            'pg_write_server_files', 'pg_signal_backend', 'pg_checkpoint', 'pg_maintain', 'pg_create_subscription', 'pg_database_owner',
            'pg_use_reserved_connections', 'pg_monitor', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_signal_autovacuum_worker')""",
    ),
    (
        "owns",
        _ROLES
        + """select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) from pg_catalog.pg_shdepend d
        where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid in (select oid from role) and d.deptype = 'o'
        and d.dbid in (0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))""",
    ),
    (
        "may create schemas or temporary tables in the database",
        _ROLES
        + """select d.datname from role, pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
        and (pg_catalog.has_database_privilege(role.oid, d.oid, 'CREATE') or pg_catalog.has_database_privilege(role.oid, d.oid, 'TEMP'))""",
    ),
    (
        "may create objects in the schema",
        _ROLES
        + """select n.nspname from role, pg_catalog.pg_namespace n
        where pg_catalog.has_schema_privilege(role.oid, n.oid, 'CREATE')""",
    ),
    (
        "may create objects in the tablespace",
        _ROLES
        + """select t.spcname from role, pg_catalog.pg_tablespace t
        where pg_catalog.has_tablespace_privilege(role.oid, t.oid, 'CREATE')""",
    ),
    (
        "may write to",
        _ROLES
        + """select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) from role, pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f') and (n.nspname, c.relname) <> ('pg_catalog', 'pg_settings')
        and (pg_catalog.has_table_privilege(role.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            or pg_catalog.has_any_column_privilege(role.oid, c.oid, 'INSERT, UPDATE, REFERENCES'))""",
    ),
    (
        "may advance the sequence",
        _ROLES
        + """select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) from role, pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'S' and pg_catalog.has_sequence_privilege(role.oid, c.oid, 'USAGE, UPDATE')""",
    ),
    (
        "may write to the large object",
        _ROLES
        + """select l.oid::text from pg_catalog.pg_largeobject_metadata l, pg_catalog.aclexplode(l.lomacl) a
        where a.privilege_type = 'UPDATE' and (a.grantee = 0 or a.grantee in (select oid from role))""",
    ),
    (
        "may use the foreign server",
        _ROLES
        + """select s.srvname from role, pg_catalog.pg_foreign_server s
        where pg_catalog.has_server_privilege(role.oid, s.oid, 'USAGE')""",
    ),
    # A function with its owner's rights steps over the boundary whatever it calls itself: a STABLE one may call one that reads files.
    (
        "may execute, with the rights of another role, the function",
        _ROLES
        + f"""select p.oid::pg_catalog.regprocedure::text from role, pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where p.prosecdef and {_SYSTEM} and pg_catalog.has_function_privilege(role.oid, p.oid, 'EXECUTE')""",
    ),
    (
        "may execute, in a language that can do anything on the server, the function",
        _ROLES
        + f"""select p.oid::pg_catalog.regprocedure::text from role, pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang
        where not l.lanpltrusted and l.lanname not in ('internal', 'c') and {_SYSTEM}
        and pg_catalog.has_function_privilege(role.oid, p.oid, 'EXECUTE')""",
    ),
    (
        "may reach other servers or files by the extension's function",
        _ROLES
        + """select e.extname || ': ' || p.oid::pg_catalog.regprocedure::text from role, pg_catalog.pg_extension e
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
        join pg_catalog.pg_proc p on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid = d.objid
        where e.extname in ('dblink', 'adminpack', 'pg_background', 'http', 'pg_net', 'pg_cron', 'plsh')
        and pg_catalog.has_function_privilege(role.oid, p.oid, 'EXECUTE')""",
    ),
)
"""What a role that only reads must not be, in words, and a query for the first thing that makes it so."""

READABLE = (
    _ROLES
    + f"""select distinct n.nspname, c.relname, a.attname from role, pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and {_SYSTEM}
    and pg_catalog.has_schema_privilege(role.oid, n.oid, 'USAGE')
    and (pg_catalog.has_table_privilege(role.oid, c.oid, 'SELECT') or pg_catalog.has_column_privilege(role.oid, c.oid, a.attnum, 'SELECT'))"""
)
"""Every column that the role can read, that of system catalogs apart."""

REMEDY = "let this tool use a role that only reads (thoughtgraph tools --role-for DATABASE prints the SQL that makes one)"


def check_role(connection: Any, shown: str) -> None:
    """Refuse a role that can do more than read.

    Args:
        connection: an open psycopg connection.
        shown: how messages name the database.

    Raises:
        UserError: naming the first thing found.
    """
    for words, sql in FINDINGS:
        row = connection.execute(f"{sql} limit 1").fetchone()
        if row is not None:
            found = f"{words} {row[0]}".strip()
            raise UserError(f"the PostgreSQL role of {shown} {found}; {REMEDY}")


def read_only_role_sql(
    database: str,
    role: str = "thoughtgraph_reader",
    schema: str = "public",
    tables: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
) -> str:
    r"""Return the SQL that makes a PostgreSQL role which only reads, for the database's owner or a superuser to look at and run.

    It takes rights from everybody: to make temporary tables in the database, and to make objects in the schema. Programs that need them must be
    granted them by name. The role has no password yet: `\password ROLE` in psql sets one.

    Args:
        database: its name.
        role: a name for the role.
        schema: where the tables are.
        tables: those that it may read, or columns of each; None is all that are in the schema now.
    """
    who, where = _quoted(role), _quoted(schema)
    lines = [
        f"CREATE ROLE {who} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT CONNECTION LIMIT 50;",
        f"ALTER ROLE {who} SET default_transaction_read_only = on;",
        f"ALTER ROLE {who} SET statement_timeout = '10s';",
        f"ALTER ROLE {who} SET idle_in_transaction_session_timeout = '10s';",
        f"ALTER ROLE {who} SET temp_file_limit = '1GB';  -- a superuser's to set; leave it out otherwise",
        f"REVOKE CREATE, TEMPORARY ON DATABASE {_quoted(database)} FROM PUBLIC;",
        f"REVOKE CREATE ON SCHEMA {where} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {_quoted(database)} TO {who};",
        f"GRANT USAGE ON SCHEMA {where} TO {who};",
    ]
    if tables is None:
        lines.append(f"GRANT SELECT ON ALL TABLES IN SCHEMA {where} TO {who};")
    else:
        columns = tables if isinstance(tables, Mapping) else dict.fromkeys(tables, ())
        for table, names in columns.items():
            some = f" ({', '.join(map(_quoted, names))})" if names else ""
            lines.append(f"GRANT SELECT{some} ON {where}.{_quoted(table)} TO {who};")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
