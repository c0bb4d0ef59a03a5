"""What tables and columns a PostgreSQL role may read, asked of the catalog."""

from __future__ import annotations

from typing import Any

from .source import Column, ForeignKey, TableInfo

_CATALOG = """
select n.nspname, c.relname, c.relkind in ('v', 'm'), c.oid::bigint,
    array_agg(array[a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (not a.attnotnull)::text,
        coalesce(a.attnum = any(k.conkey), false)::text] order by a.attnum)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%'
and pg_catalog.has_schema_privilege(n.oid, 'USAGE') and pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
group by 1, 2, 3, 4 order by n.nspname <> 'public', 1, 2"""

_KEYS = """
select k.conrelid::bigint, n.nspname, f.relname,
    array(select a.attname from unnest(k.conkey) with ordinality u(num, place) join pg_catalog.pg_attribute a
        on a.attrelid = k.conrelid and a.attnum = u.num order by place)::text[],
    array(select a.attname from unnest(k.confkey) with ordinality u(num, place) join pg_catalog.pg_attribute a
        on a.attrelid = k.confrelid and a.attnum = u.num order by place)::text[]
from pg_catalog.pg_constraint k join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace n on n.oid = f.relnamespace where k.contype = 'f' order by k.oid"""


def read_catalog(connection: Any) -> list[TableInfo]:
    """Return what the role may read.

    Args:
        connection: an open psycopg connection.
    """
    keys: dict[int, list[ForeignKey]] = {}
    for table, schema, target, columns, targets in connection.execute(_KEYS):
        key = ForeignKey(
            tuple(columns), target if schema == "public" else f"{schema}.{target}", tuple(targets)
        )
        keys.setdefault(table, []).append(key)
    found: list[TableInfo] = []
    for schema, name, is_view, oid, columns in connection.execute(_CATALOG):
        shown = tuple(Column(c[0], c[1], nullable=c[2] == "true", key=c[3] == "true") for c in columns)
        names = {column.name for column in shown}
        seen = tuple(key for key in keys.get(oid, ()) if names.issuperset(key.columns))
        full = name if schema == "public" else f"{schema}.{name}"
        kind = "view" if is_view else "table"
        found.append(TableInfo(full, kind, shown, seen, "" if schema == "public" else schema))
    return found
