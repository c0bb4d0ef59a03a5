"""Schemes that are named as parameters of others, for searches inside thoughts."""

from __future__ import annotations

from ..errors import UserError
from ..records import Nested
from .base import Scheme
from .parameters import Parameter


def inner(name: str, default: str, doc: str) -> Parameter:
    """Return a parameter that names a scheme."""
    return Parameter(name, "text", default, doc)


def scheme_named(name: str) -> Scheme:
    """Return the scheme of this name; raises UnknownNameError if there is none."""
    from .registry import get_scheme  # the registry imports the modules that import this one

    return get_scheme(name)


def needs_of(name: str) -> frozenset[str]:
    """Return what a scheme needs even where it runs with a model that only continues text."""
    scheme = scheme_named(name)
    return scheme.needs({p.name: p.default for p in scheme.parameters} | dict(scheme.raw))


def search_in(name: str, question: str | None, share: float, temperature: float | None = None) -> Nested:
    """Return the search of a scheme inside a thought, at this temperature where one is given and the scheme has such a parameter."""
    tempered = any(parameter.name == "temperature" for parameter in scheme_named(name).parameters)
    given = (("temperature", temperature),) if tempered and temperature is not None else ()
    return Nested(name, given, question, share)


def tree_scheme(name: str, parameter: str) -> Scheme:
    """Return a scheme that searches a tree.

    Raises:
        UserError: if it does not, or there is none of that name.
    """
    from .registry import schemes

    scheme = scheme_named(name)
    if scheme.structure != "tree":
        trees = ", ".join(other.name for other in schemes().values() if other.structure == "tree")
        raise UserError(f"{parameter}={name} grows no tree; give one of {trees}")
    return scheme
