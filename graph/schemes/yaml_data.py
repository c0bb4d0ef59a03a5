"""YAML as plain data: objects with text for names, lists, text, numbers, true, false and null. Nothing else, nothing twice, nothing by reference."""

from __future__ import annotations

import math
import reprlib
from typing import Any, cast

from ..errors import UserError

LARGEST = 65_536
"""Characters of a text at most."""


def load(text: str, source: str) -> dict[str, Any]:
    """Return the object that a text describes.

    Args:
        text: YAML.
        source: what messages call it.

    Raises:
        UserError: if it is not YAML, too large, or anything but an object of plain data.
    """
    import yaml  # takes a while, and most searches need none

    class Loader(yaml.SafeLoader):
        """Refuses what the YAML format allows and plain data has not."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            loader: Any = self
            if loader.check_event(yaml.AliasEvent):
                raise _Refused(loader.peek_event(), "an alias; write the value out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = cast("Any", self).construct_object(key_node, deep=True)
                if not isinstance(key, str):
                    raise _Refused(key_node, f"{_shown(key)}, which is no text; put it in quotes")
                if key in found:
                    raise _Refused(key_node, f"{key!r} twice; give it once")
                found[key] = cast("Any", self).construct_object(value_node, deep=True)
            return found

    if len(text) > LARGEST:
        raise UserError(f"{source}: this is more than {LARGEST:,} characters; leave something out")
    try:
        data = yaml.load(text, Loader)
    except _Refused as refused:
        raise UserError(f"{source}: line {refused.line} has {refused.what}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        lines = text.splitlines()
        where = "" if mark is None else f"line {mark.line + 1}: "
        placed = mark is not None and mark.line < len(lines) and "${" in lines[mark.line]
        reason = 'put "${…}" in quotes here' if placed else error.problem or error.context
        raise UserError(f"{source}: {where}this is no YAML ({reason})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{source}: this is no YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise UserError(f"{source}: this is nested too deeply; no part needs that") from None
    if not isinstance(data, dict):
        raise UserError(f"{source}: this is no object; write NAME: VALUE lines, such as name: mine")
    found = cast("dict[str, Any]", data)
    _check(found, source)
    return found


class _Refused(Exception):
    def __init__(self, node: Any, what: str) -> None:
        super().__init__(what)
        self.line: int = node.start_mark.line + 1
        self.what = what


def _check(data: dict[str, Any], source: str) -> None:
    """Refuse values that are no plain data, such as dates."""
    stack: list[tuple[str, Any]] = [("", data)]
    while stack:
        at, value = stack.pop()
        if isinstance(value, dict):
            stack += [
                (f"{at}.{name}" if at else name, below)
                for name, below in cast("dict[str, Any]", value).items()
            ]
        elif isinstance(value, list):
            stack += [(at, below) for below in cast("list[Any]", value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{source}: {at}={value} is not a finite number; give one, or null")
        elif isinstance(value, int) and abs(value) >= 1 << 63:
            raise UserError(f"{source}: {at} is too large; give a number below 2^63")
        elif not (value is None or isinstance(value, str | int | float)):
            raise UserError(f"{source}: {at}={_shown(value)} is neither text nor number; put it in quotes")


def _shown(value: object) -> str:
    return reprlib.repr(value)
