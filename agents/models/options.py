"""Options of a model: as they are written in a spec, where the type of the parameter says what a text means, and in which range they may be."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ...graph.errors import UnknownNameError, UserError
from .base import Price

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Option:
    """An option that can be written."""

    read: Callable[[str], Any]
    """Returns what a text means; raises ValueError if nothing."""
    what: str
    """What it is, in words."""
    many: bool = False
    """Whether it may be given several times; its value is then a tuple."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a kind of model."""

    kind: str
    """As specs begin, such as `openai`."""
    named: Mapping[str, Option | None]
    """Those that the class names, by name; None where no text stands for a value."""
    others: bool
    """Whether it takes further ones by whatever name, as options of a library below."""

    @classmethod
    def of(cls, kind: str, make: Callable[..., Any]) -> Options:
        """Return the options of what makes models of a kind: its keyword-only parameters."""
        parameters = inspect.signature(make, eval_str=True).parameters.values()
        named = {p.name: _option(p.annotation) for p in parameters if p.kind is p.KEYWORD_ONLY}
        return cls(kind, named, any(p.kind is p.VAR_KEYWORD for p in parameters))

    def check(self, names: Iterable[str]) -> None:
        """Raise UnknownNameError on an option that is none of them."""
        for name in names:
            if name not in self.named and not self.others:
                raise UnknownNameError(f"option of {self.kind} models", name, self._written)

    def read(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return the values of options that were written as texts.

        Raises:
            UserError: on one that is unknown, is given several times where it has one value, or whose text is no value of it.
        """
        texts: dict[str, list[str]] = {}
        for name, text in pairs:
            texts.setdefault(name, []).append(text)
        self.check(texts)
        return {name: self._value(name, given) for name, given in texts.items()}

    @property
    def _written(self) -> list[str]:
        return [name for name, option in self.named.items() if option is not None]

    def _value(self, name: str, texts: Sequence[str]) -> Any:
        option = self.named.get(name, _GUESSED)
        if option is None:
            raise UnknownNameError(f"option of {self.kind} models", name, self._written)
        if len(texts) > 1 and not option.many:
            raise UserError(f"option {name} of {self.kind} models is given {len(texts)} times; give it once")
        values: list[Any] = []
        for text in texts:
            if not text:
                raise UserError(
                    f"option {name} of {self.kind} models has no value; write {name}=VALUE, or leave it out"
                )
            try:
                values.append(option.read(text))
            except ValueError:
                raise UserError(
                    f"option {name} of {self.kind} models is {option.what}, not {text!r}"
                ) from None
        return values[0] if len(values) == 1 else tuple(values)


def check_least(low: float, **values: float) -> None:
    """Refuse options that are below a bound.

    Raises:
        UserError: naming one that is, or that is not a number.
    """
    for name, value in values.items():
        if not value >= low:  # nan too
            raise UserError(f"impossible {name}={value:g}; give {low:g} or more")


def check_above(low: float, **values: float) -> None:
    """Refuse options that are not above a bound.

    Raises:
        UserError: naming one that is not.
    """
    for name, value in values.items():
        if not value > low:
            raise UserError(f"impossible {name}={value:g}; give a number above {low:g}")


def _option(annotation: Any) -> Option | None:
    """Return how an option of this type is written; None if it cannot be."""
    union = get_origin(annotation) in (Union, UnionType)
    types = [one for one in (get_args(annotation) if union else (annotation,)) if one is not NoneType]
    many = any(get_origin(one) is Iterable for one in types)
    for one in types:
        if one in _READERS:
            return Option(*_READERS[one], many)
        if get_origin(one) is Literal:
            names: tuple[Any, ...] = get_args(one)
            return Option(partial(_choice, names), " or ".join(map(str, names)), many)
    return None


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _choice(names: Sequence[str], text: str) -> str:
    if text not in names:
        raise ValueError(text)
    return text


def _price(text: str) -> Price:
    prompt, completion = map(_number, text.split(","))
    if min(prompt, completion) < 0:
        raise ValueError(text)
    return Price(prompt, completion)


def _guess(text: str) -> Any:
    """Return what a text means where no type says it: a truth value, a number, or the text itself, as it is where a number would lose zeros."""
    for read in (_truth, _whole, _number):
        try:
            value = read(text)
        except ValueError:
            continue
        return text if read is _whole and str(value) != text else value
    return text


_READERS: Mapping[Any, tuple[Callable[[str], Any], str]] = {
    bool: (_truth, "true or false"),
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    str: (str, "a text"),
    Path: (str, "a path"),
    Price: (_price, "IN,OUT: dollars per million prompt and completion tokens, such as 3,15"),
}
_GUESSED = Option(_guess, "anything", many=True)
