"""Column types that behave the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Double, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from .sanitise import dump_json, finite, sanitise


class CleanText(TypeDecorator[str]):
    """Text without U+0000 and lone surrogates; see `sanitise`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else sanitise(value)


class FiniteFloat(TypeDecorator[float]):
    """A double that is neither NaN nor infinite."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None else finite(value)


class CleanJson(TypeDecorator[Any]):
    """A JSON value; None is NULL.

    Kept as text in SQLite, because a column declared JSON there has numeric affinity and rounds large numbers, and as `json`, not `jsonb`, in
    PostgreSQL, because jsonb turns 1e308 into an integer and reorders keys. Both understand the operators `->` and `->>`.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        postgres = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.JSON(none_as_null=True) if postgres else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        # PostgreSQL's own type serialises by the engine's json_serializer, which is dump_json too.
        return value if value is None or dialect.name == "postgresql" else dump_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else json.loads(value)


class Timestamp(TypeDecorator[datetime]):
    """An instant with microseconds, in UTC: `timestamptz` in PostgreSQL, sortable text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
