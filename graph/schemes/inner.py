"""Schemes that are named as parameters of others, for searches inside thoughts.

They are registered ones. A file is refused: a run keeps the text of its own scheme's file, and the searches inside its thoughts must not depend on
any other that may be changed or gone when the run is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..records import Nested
from .base import Scheme
from .composition import is_file
from .parameters import Parameter, Value


@dataclass(frozen=True, slots=True)
class SchemeName(Parameter):
    """A parameter that names a registered scheme."""

    @property
    def allowed(self) -> str:
        """See `Parameter.allowed`."""
        return "the name of a scheme"

    def read(self, given: object) -> Value:
        """See `Parameter.read`."""
        value = Parameter.read(self, given)
        if isinstance(value, str) and (is_file(value) or "@" in value):
            raise UserError(
                f"{self.name}={value!r} is a file's scheme, and a search inside a thought needs a registered one; "
                "give a name from `thoughtgraph schemes`, to which an entry point adds yours (see CONTRIBUTING.md)"
            )
        return value


def inner(name: str, default: str, doc: str) -> Parameter:
    """Return a parameter that names a scheme."""
    return SchemeName(name, "text", default, doc)


def scheme_named(name: str) -> Scheme:
    """Return the scheme of this name; raises UnknownNameError if there is none."""
    from .registry import get_scheme  # the registry imports the modules that import this one

    return get_scheme(name)


def scheme_kept(name: str, text: str) -> tuple[str, str]:
    """Return the name under which a record keeps a scheme, which may be a file's, and the file's text; see `registry.pin`."""
    from .registry import pin

    return pin(name, text)


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
