"""What the fields of parts take, read off their types: a single value, a list, a part of some kind, or another dataclass."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from .catalogue import PARTS, Limit, Part, entry_of
from .parameters import Parameter

SCALARS = (bool, int, float, str)


def options(wanted: Any) -> tuple[list[Any], bool]:
    """Return what a field may be beside None, and whether it may be None."""
    found = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    return [option for option in found if option is not NoneType], NoneType in found


def single_of(wanted: Any, limit: Limit | None = None) -> Parameter | None:
    """Return a field that takes a single value as a nameless parameter, or None if it takes something else."""
    found, optional = options(wanted)
    words = [_choices(option) for option in found]
    if all(words):
        choices = tuple(choice for one in words for choice in one)
        return Parameter("", "choice", None, "", choices=choices, optional=optional)
    if len(found) != 1 or found[0] not in SCALARS:
        return None
    if found[0] in (bool, str):
        return Parameter("", "bool" if found[0] is bool else "text", None, "", optional=optional)
    if found[0] is int:
        return Parameter("", "int", None, "", *(limit or Limit(1.0)), optional=optional)
    return Parameter("", "float", None, "", *(limit or Limit()), optional=optional)


def item_of(wanted: Any) -> Any:
    """Return the type of the items of a field that takes a list of any length, or None if it takes something else."""
    inside = get_args(wanted)
    return inside[0] if get_origin(wanted) is tuple and inside[1:] == (Ellipsis,) else None


def kind_of(wanted: Any) -> Any:
    """Return the kind of parts that a field takes, or None if it takes something else."""
    kind = get_origin(wanted) or wanted
    return kind if isinstance(kind, type) and kind in PARTS else None


def object_of(wanted: Any) -> Part | None:
    """Return the entry of the one dataclass that a field takes, or None if it takes something else."""
    return entry_of(wanted) if isinstance(wanted, type) and dataclasses.is_dataclass(wanted) else None


def allowed(wanted: Any, limit: Limit | None = None) -> str:
    """Return what a field may be, in words."""
    single = single_of(wanted, limit)
    if single is not None:
        return single.allowed
    found, optional = options(wanted)
    words = " or ".join(_words(option, limit) for option in found)
    return f"{words}, or none" if optional else words


def _words(wanted: Any, limit: Limit | None) -> str:
    if (item := item_of(wanted)) is not None:
        return f"a list, each {allowed(item, limit)}"
    if (kind := kind_of(wanted)) is not None:
        return f"one of the parts {', '.join(PARTS[kind])}"
    if (entry := object_of(wanted)) is not None:
        return f"an object of {', '.join(entry.settings)}"
    return allowed(wanted, limit) if wanted in SCALARS else f"a {wanted}, which no file can say"


def _choices(wanted: Any) -> tuple[str, ...]:
    """Return the values of a closed set of words; none if it is none."""
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        return tuple(wanted)
    return tuple(str(word) for word in get_args(wanted)) if get_origin(wanted) is Literal else ()
