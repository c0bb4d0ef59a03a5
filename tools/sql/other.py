"""Any other database that SQLAlchemy speaks to: its tables are described, and no query is run, for nothing there holds one back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...graph.errors import ToolError, UserError
from .own import refuse_own_tables
from .results import Limits, QueryResult
from .source import Column, ForeignKey, Grant, TableInfo, Tables
from .stopping import Stopper

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class OtherSource:
    """See `Source`. What it describes it asks SQLAlchemy's inspector for, with statements of its own.

    Args:
        url: SQLAlchemy's.
        tables: what is granted; None is all.
    """

    def __init__(self, url: URL, tables: Tables | None = None) -> None:
        self.dialect = url.get_backend_name()
        self._url = url
        self._grant = Grant(tables, fold=False)

    def check(self) -> None:
        """See `Source.check`."""
        from sqlalchemy.exc import SQLAlchemyError

        shown = self._url.set(query={}).render_as_string(hide_password=True)
        try:
            found = self._catalog()
        except ImportError as error:
            raise UserError(
                f"the driver of {self._url.drivername!r} is not installed ({error.name}); install it with pip"
            ) from None
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            said = " ".join(str(cause).split())
            raise UserError(f"cannot use the database {shown}: {said}; check the URL") from None
        refuse_own_tables([table.name for table in found], shown)
        self._grant.check(found)

    def tables(self, seconds: float, stopper: Stopper) -> tuple[TableInfo, ...]:
        """See `Source.tables`; how long it takes is up to the driver."""
        seen = (self._grant.seen(table) for table in self._catalog())
        return tuple(table for table in seen if table is not None)

    def query(self, sql: str, limits: Limits, stopper: Stopper) -> QueryResult:
        """Refuse."""
        raise ToolError(
            f"queries are not run on {self.dialect}: only SQLite and PostgreSQL can be kept from writing; the tables can be listed and described, "
            "and whoever runs this can copy what is needed to a SQLite file"
        )

    def _catalog(self) -> list[TableInfo]:
        from sqlalchemy import create_engine, inspect
        from sqlalchemy.pool import NullPool

        engine = create_engine(self._url, poolclass=NullPool)
        with engine.connect() as connection:
            inspector = inspect(connection)
            tables = [(name, "table") for name in inspector.get_table_names()]
            views = [(name, "view") for name in inspector.get_view_names()]
            return [_table(inspector, name, kind) for name, kind in tables + views]


def _table(inspector: object, name: str, kind: str) -> TableInfo:
    from sqlalchemy.engine import Inspector

    assert isinstance(inspector, Inspector)
    keys = set(inspector.get_pk_constraint(name)["constrained_columns"]) if kind == "table" else set[str]()
    columns = tuple(
        Column(column["name"], str(column["type"]), nullable=column["nullable"], key=column["name"] in keys)
        for column in inspector.get_columns(name)
    )
    foreign = inspector.get_foreign_keys(name) if kind == "table" else []
    return TableInfo(
        name,
        kind,
        columns,
        tuple(
            ForeignKey(
                tuple(key["constrained_columns"]), key["referred_table"], tuple(key["referred_columns"])
            )
            for key in foreign
        ),
    )
