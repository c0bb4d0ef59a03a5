"""The schemes by name: ours, and those that other packages register.

    make_strategy("beam", {"beams": 32, "width": "8"}, seed=0)

A package adds schemes of its own by an entry point in the group `thoughtgraph.schemes` that names a `Scheme`:

    [project.entry-points."thoughtgraph.schemes"]
    mine = "my_package:MINE"

A scheme may also be a YAML file, which is named by its path; see `composition.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from ..errors import UnknownNameError, UserError
from ..strategies.base import Strategy
from . import (
    ab_mcts,
    adaptive,
    agent_workflow,
    beam,
    chains,
    compute_optimal,
    dvts,
    forest,
    got,
    lats,
    llama_berry,
    lookahead,
    mcts,
    openr,
    particles,
    q_star,
    rest_mcts,
    revisions,
    rstar,
    rstar_math,
    self_refine,
    stepwise_bon,
    tot,
    x1,
)
from .base import Family, Scheme
from .composition import is_file, keep, kept, read_file
from .parameters import Value, read_parameters

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "thoughtgraph.schemes"
"""The entry-point group in which other packages register schemes."""

_MODULES = (
    chains,
    stepwise_bon,
    self_refine,
    revisions,
    agent_workflow,
    got,
    forest,
    beam,
    lookahead,
    dvts,
    tot,
    q_star,
    mcts,
    x1,
    openr,
    rstar,
    rstar_math,
    rest_mcts,
    llama_berry,
    lats,
    ab_mcts,
    particles,
    adaptive,
    compute_optimal,
)
"""Each has `SCHEMES`; the order within a family is that of `thoughtgraph schemes`."""


def _by_family(modules: tuple[Any, ...]) -> dict[str, Scheme]:
    found: list[Scheme] = [scheme for module in modules for scheme in module.SCHEMES]
    families = get_args(Family)
    return {scheme.name: scheme for scheme in sorted(found, key=lambda s: families.index(s.family))}


_BUILTIN = _by_family(_MODULES)


def schemes() -> dict[str, Scheme]:
    """Return every scheme by name: ours, then those that installed packages registered.

    Raises:
        UserError: if a registered scheme cannot be loaded, or takes a name that is taken.
    """
    registered = _registered()
    return _BUILTIN | {name: _load(name, registered[name]) for name in sorted(registered)}


def get_scheme(name: str) -> Scheme:
    """Return the scheme of this name, loading only the package that registered it; a name that ends in .yaml or .yml is a file.

    Raises:
        UnknownNameError: if there is none.
        UserError: if it cannot be loaded.
    """
    if is_file(name):
        return read_file(name, _get_registered).scheme
    composition = kept(name)
    return _get_registered(name) if composition is None else composition.scheme


def pin(name: str, text: str = "") -> tuple[str, str]:
    """Return the name under which a run records its scheme, and the composition's text: with both, `get_scheme` needs no file.

    Args:
        name: as a user gave it, or as a run recorded it.
        text: the composition's text that a run recorded; "" if there is none.

    Returns:
        A file's name becomes `NAME@HASH`; the text is "" where the scheme is no composition.

    Raises:
        UserError: on a file or a text that is no composition.
    """
    if text and not is_file(name):
        keep(text, f"the recorded scheme {name!r}", _get_registered)
        return name, text
    composition = read_file(name, _get_registered) if is_file(name) else kept(name)
    return (name, "") if composition is None else (composition.scheme.name, composition.text)


def _get_registered(name: str) -> Scheme:
    if name in _BUILTIN:
        return _BUILTIN[name]
    registered = _registered()
    if name not in registered:
        if "@" in name:
            raise UserError(f"the composition {name!r} was not read here; give its YAML file")
        raise UnknownNameError("scheme", name, [*_BUILTIN, *registered])
    return _load(name, registered[name])


def make_strategy(name: str, params: Mapping[str, object] | None = None, seed: int = 0) -> Strategy[Any]:
    """Return a strategy by the name of its scheme.

    Args:
        name: the scheme, or a YAML file.
        params: its parameters, as values or as a command line's strings (`none` for None); defaults for those left out.
        seed: for schemes that draw lots, such as `rstar`, `ab_mcts_a` and `particle_filter`. The others decide equals by order, and samplers are
            seeded by their requests.

    Raises:
        UnknownNameError: for a scheme or a parameter that does not exist.
        UserError: for a value that is not allowed, or a registered scheme that cannot be loaded.
    """
    scheme = get_scheme(name)
    values = read_parameters(scheme.name, scheme.parameters, params or {})
    return scheme.build(values, seed)


def defaults(name: str) -> dict[str, Value]:
    """Return the defaults of a scheme's parameters by name; raises like `get_scheme`."""
    return {parameter.name: parameter.default for parameter in get_scheme(name).parameters}


def _registered() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import, and needed for foreign names only

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.get(point.name)
        if point.name in _BUILTIN or (other is not None and other.value != point.value):
            raise UserError(
                f"package {_package(point)!r} registers the scheme {point.name!r}, whose name is taken; uninstall it"
            )
        found[point.name] = point
    return found


def _load(name: str, point: EntryPoint) -> Scheme:
    try:
        scheme = point.load()
    except Exception as error:  # importing another package may raise anything
        raise UserError(
            f"scheme {name!r} of package {_package(point)!r} cannot be loaded ({error}); repair or uninstall it"
        ) from error
    if not isinstance(scheme, Scheme) or scheme.name != name:
        raise UserError(
            f"entry point {name!r} of package {_package(point)!r} is not a Scheme of that name; ask its author"
        )
    return scheme


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module
