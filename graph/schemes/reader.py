"""From plain data to parts: fields are checked against the types of the parts' dataclasses, and every mistake is one line."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, cast

from ...agents.actions import EVALUATE, GENERATE
from ..errors import UnknownNameError, UserError
from ..strategies.search import TreeSearch
from .catalogue import PARTS, Part, Setting
from .fields import SCALARS, allowed, item_of, kind_of, object_of, options, single_of
from .parameters import Parameter

ACTIONS = {action for action in (*GENERATE, *EVALUATE) if action}


class Built(NamedTuple):
    """A part that was built."""

    name: str
    """Its name in the catalogue; "" for what has none."""
    entry: Part
    made: Any
    at: str
    """Where it is written, such as `selector.formula`."""


class Reader:
    """Builds parts."""

    def __init__(self, source: str, seed: int = 0) -> None:
        self.source = source
        """What messages call the file."""
        self.seed = seed
        """For parts that draw lots: it is their field `seed`, which no file sets."""
        self.built: list[Built] = []
        """All parts, inner ones first."""
        self.asked: set[str] = set()
        """Actions that parts ask for, and agents, as `agent:NAME`."""

    def wrong(self, at: str, what: str) -> UserError:
        """Return the error for something in the file."""
        return UserError(f"{self.source}: {at} {what}" if at else f"{self.source}: {what}")

    def impossible(self, at: str, given: object, allowed: str) -> UserError:
        """Return the error for a value that is not allowed."""
        return UserError(f"{self.source}: {at}={shown(given)} is not possible; give {allowed}")

    def mapping(self, given: object, at: str) -> dict[str, Any]:
        """Return what must be an object."""
        if not isinstance(given, dict):
            raise self.impossible(at, given, "an object, as in {NAME: VALUE}")
        return cast("dict[str, Any]", given)

    def fields(
        self, entry: Part, given: Mapping[str, Any], at: str, *, called: str = "", **fixed: Any
    ) -> Any:
        """Return the dataclass of an entry with these fields.

        Args:
            entry: what to build.
            given: fields by name.
            at: where they are written; "" at the top.
            called: the name of the entry.
            **fixed: fields that the file does not say.
        """
        settings = entry.settings
        if "seed" in settings:
            fixed["seed"] = self.seed
        settings = {name: setting for name, setting in settings.items() if name not in fixed}
        for name in given:
            if not settings:
                raise self.wrong(at, f"has no fields; leave out {name!r}")
            if name not in settings:
                raise UnknownNameError(f"field of {at or 'the file'} in {self.source}", name, settings)
        values = dict(fixed)
        for name, setting in settings.items():
            inside = f"{at}.{name}" if at else name
            if name in given:
                values[name] = self.read(setting, given[name], inside)
            elif setting.default is dataclasses.MISSING:
                raise self.wrong(inside, f"is missing; give {_words(setting)}")
        try:
            made = entry.make(**values)
        except (UserError, ValueError) as error:
            raise self.wrong(at, f"is not possible ({error})") from None
        self.built.append(Built(called, entry, made, at))
        self.asked.update(entry.asks(made))
        return made

    def read(self, setting: Setting, given: object, at: str) -> Any:
        """Return the value of a field."""
        parameter = single_of(setting.type, setting.limit)
        if parameter is not None:
            return self._single(setting, parameter, given, at)
        found, optional = options(setting.type)
        if given is None and optional:
            return None
        if len(found) > 1 and set(found) <= set(SCALARS) and isinstance(given, SCALARS):
            return given
        if len(found) == 1:
            if (item := item_of(found[0])) is not None and isinstance(given, list):
                items = cast("list[object]", given)
                return tuple(self.read(Setting(item, setting.limit), one, at) for one in items)
            if (kind := kind_of(found[0])) is not None:
                return self._part(kind, given, at)
            if (entry := object_of(found[0])) is not None:
                return self.fields(entry, self.mapping(given, at), at)
        raise self.impossible(at, given, _words(setting))

    def check(self, search: TreeSearch[Any]) -> None:
        """Refuse a search whose parts do not go together."""
        for built in self.built:
            wrong = built.entry.check and built.entry.check(built.made, search)
            if wrong:
                raise self.wrong(built.at, wrong)

    def _single(self, setting: Setting, parameter: Parameter, given: object, at: str) -> Any:
        name, value = at.rpartition(".")[2], None
        if given == "" == setting.default:
            return given
        if parameter.type == "text" and not parameter.optional:  # where `none` is a word like any other
            value = given if isinstance(given, str) and given.strip() else None
        elif given is None or isinstance(given, SCALARS):
            try:
                value = parameter.read(given)
            except UserError:
                raise self.impossible(at, given, _words(setting)) from None
        if value is None and not parameter.optional:
            raise self.impossible(at, given, _words(setting))
        if value is None:
            return None
        if name == "action" and value not in ACTIONS:
            raise UnknownNameError(f"action of {at} in {self.source}", str(value), ACTIONS)
        if name in ("action", "agent"):
            self.asked.add(str(value) if name == "action" else f"agent:{value}")
        closed = options(setting.type)[0][0]
        return closed(value) if isinstance(closed, type) and issubclass(closed, StrEnum) else value

    def _part(self, kind: Any, given: object, at: str) -> Any:
        known = PARTS[kind]
        fields = _spelled_out(given)
        name = fields.pop("part", None)
        if not isinstance(name, str):
            example = f"a part and its fields, as in {{part: {next(iter(known))}}}"
            raise self.impossible(at, given, f"{example}; one of {', '.join(known)}")
        if name not in known:
            raise UnknownNameError(f"part of {at} in {self.source}", name, known)
        return self.fields(known[name], fields, at, called=name)


def _words(setting: Setting) -> str:
    """Return what a field may be, in words."""
    words = allowed(setting.type, setting.limit)
    return f"{words}, in quotes" if words == "text" else words


def _spelled_out(given: object) -> dict[str, Any]:
    """Return the fields of what is written for a part, which may be its name alone."""
    return dict(cast("dict[str, Any]", given)) if isinstance(given, dict) else {"part": given}


def shown(value: object) -> str:
    """Return a value as messages show it, cut to one short line."""
    return reprlib.repr(value)
