"""What all adapters do alike: names, schemas, results as text, and what an operator may set of any tool."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from ...graph.errors import UserError

if TYPE_CHECKING:
    from pydantic import ValidationError

_SHOWN = 3
"""Errors of an argument that an agent is told at once."""


class Overrides(TypedDict, total=False):
    """Fields of `Tool` that an operator may set while a tool is adapted; each as `Tool` describes it."""

    seconds: float
    usd: float
    parallel: int
    agents: frozenset[str] | None
    trusted: bool
    stateful: bool
    scoped: bool
    remembered: bool
    language: str
    version: str
    max_reply: int
    close: Callable[[], Awaitable[None]] | None


def tool_name(*parts: str) -> str:
    """Return a name that a tool can have: the parts in lower case, joined by `_`, and `_` for what a name cannot hold.

    Raises:
        UserError: if nothing sensible is left of it.
    """
    name = "_".join(re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in parts).strip("_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        given = " ".join(parts)
        raise UserError(
            f"no tool can be called after {given!r}; give it a name of up to 64 letters and digits, a letter first"
        )
    return name


def checked_schema(schema: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, closed to arguments that it does not name.

    Args:
        schema: as its author wrote it.
        whose: the tool, as an error names it.

    Raises:
        UserError: if it is no schema of an object, or refers to another document, which would be fetched to check arguments.
    """
    # imported here: importing this module must stay cheap
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    found: dict[str, Any] = {"properties": {}, **schema}
    if found.setdefault("type", "object") != "object":
        raise UserError(f"{whose} takes {found['type']!r}, not an object; a tool's arguments have names")
    for reference in _references(found):
        if not str(reference).startswith("#"):
            raise UserError(
                f"the schema of {whose} refers to {str(reference)!r}; write its definitions into it"
            )
    try:
        Draft202012Validator.check_schema(found)
    except SchemaError as error:
        raise UserError(f"the schema of {whose} is not a JSON schema: {error.message[:200]}") from None
    found.setdefault("additionalProperties", False)
    return found


def _references(schema: Any) -> Iterable[Any]:
    """Return what a schema refers to."""
    due: list[Any] = [schema]
    while due:
        value = due.pop()
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, Any]", value)
            for key in ("$ref", "$dynamicRef"):
                if isinstance(fields.get(key), str):
                    yield fields[key]
            due += fields.values()
        elif isinstance(value, list):
            due += cast("list[Any]", value)


def without_titles(schema: Any) -> Any:
    """Return a schema as pydantic writes it without the titles, which repeat the names and cost tokens."""
    if isinstance(schema, list):
        return [without_titles(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast("dict[str, Any]", schema)
    kept: dict[str, Any] = {}
    for key, value in fields.items():
        if key in ("properties", "$defs"):  # below are names, not keywords
            kept[key] = {name: without_titles(one) for name, one in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            kept[key] = value
        elif not (key == "title" and isinstance(value, str)):
            kept[key] = without_titles(value)
    return kept


def as_text(value: Any) -> str:
    """Return a result as an agent reads it: text as it is, anything else as JSON, or as Python shows it if it has no JSON."""
    from pydantic_core import PydanticSerializationError, to_json

    if isinstance(value, str):
        return value
    try:
        return to_json(value, fallback=str, inf_nan_mode="constants", bytes_mode="base64").decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return str(value)


def blocks_text(content: Any) -> str:
    """Return message content as text: its text blocks, and what else there was by name only."""
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        return "\n".join(_block(block) for block in cast("Sequence[Any]", content))
    return as_text(content)


def _block(block: Any) -> str:
    if not isinstance(block, Mapping):
        return as_text(block)
    fields = cast("Mapping[str, Any]", block)
    if isinstance(fields.get("text"), str):
        return fields["text"]
    if fields.get("type") == "json" and "json" in fields:
        return as_text(fields["json"])
    kind = fields.get("mime_type") or fields.get("source_type") or ""
    return f"[{' '.join(filter(None, (str(fields.get('type', 'content')), str(kind))))}, not shown]"


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of arguments of JSON values that shares nothing with them, so that a tool cannot change what is recorded."""
    return json.loads(json.dumps(dict(arguments)))


def complaint(error: ValidationError) -> str:
    """Return what is wrong with arguments in one line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join(told + more)
