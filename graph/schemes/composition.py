"""Schemes that users compose in YAML: a scheme with other parameters, or parts by name. Where a run's scheme is named, a file may be.

    name: narrow_beam                    # a preset
    summary: a narrow beam
    base: beam
    params: {beams: 8, width: 2}         # all of the base's parameters can still be set, these are the defaults now

    name: warm_mcts                      # a composition; `thoughtgraph schemes --parts` lists parts and their fields
    selector: {part: descent, formula: {part: puct, c: 2.0}}
    expander: {part: sampler, n: "${n}", merge: true, prior: count}
    backup: mean                         # short for {part: mean}
    finalizer: {part: vote, weighted: true}
    stop: {score: 1.0}
    parameters:
      n: {type: int, default: 4, minimum: 1, doc: samples an expansion}

Beside these, a file may hold the columns of `thoughtgraph schemes` (`structure`, `step`, …), `fill` and `raw` as `Scheme` has them, and a
composition `needs`. `${n}` stands for a whole value. A file is data: nothing in it is run, and it names no other files.

The scheme's name is `NAME@HASH`, with a hash over all that the file says. A run records this name and the file's text, and `keep` takes them
back: so a resume neither needs the file nor notices that it was changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast, get_type_hints

from ..errors import UnknownNameError, UserError
from ..ids import address
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.search import TreeSearch
from .base import Scheme, Values
from .catalogue import SEARCH, Setting, part
from .parameters import Parameter, Value, read_parameters
from .reader import ACTIONS, Reader
from .yaml_data import LARGEST, load

COLUMNS = (
    "summary", "family", "structure", "step", "strategy", "operators", "models", "supervision", "paper", "serial",
)  # fmt: skip
"""Fields of `Scheme` that a file may set as they are."""

BODY = tuple(name for name in SEARCH.settings if name != "name")
"""Fields of a composition that are parts of its search."""

_PRESET = ("name", "base", "params", "fill", "raw", *COLUMNS)
_SCORES = ("scores", "step_scores")
_COMPOSITION = ("name", *BODY, "parameters", "needs", "fill", "raw", *COLUMNS)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_PLACE = re.compile(r"\$\{(\w+)\}")

Lookup = Callable[[str], Scheme]
"""Returns a registered scheme by its name."""


class Composition(NamedTuple):
    """A text and the scheme it describes."""

    text: str
    scheme: Scheme


_KEPT: dict[str, Composition] = {}
"""What was read in this process, by the scheme's name, which says what is in it: so nothing here can be out of date."""


def is_file(name: str) -> bool:
    """Return whether what is given as a scheme is a file."""
    return name.lower().endswith((".yaml", ".yml"))


def kept(name: str) -> Composition | None:
    """Return a composition that was read before, by its scheme's name."""
    return _KEPT.get(name)


def keep(text: str, source: str, registered: Lookup) -> Composition:
    """Read a text, and know the scheme by its name from now on; raises like `compose`."""
    composition = Composition(text, compose(text, source, registered))
    return _KEPT.setdefault(composition.scheme.name, composition)


def read_file(path: str, registered: Lookup) -> Composition:
    """Read a file; like `keep`.

    Raises:
        UserError: also if it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(4 * LARGEST + 1)  # a character takes 4 bytes at most
        text = content.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"cannot read the scheme {path!r} ({reason}); give a YAML file or a name") from None
    except ValueError:
        raise UserError(f"{path}: this is no text; write YAML in UTF-8") from None
    return keep(text, path, registered)


def compose(text: str, source: str, registered: Lookup) -> Scheme:
    """Return the scheme that a text describes.

    Args:
        text: YAML.
        source: what messages call it.
        registered: gives the base of a preset.

    Raises:
        UserError: on anything in it that fits nothing.
    """
    data, reader = load(text, source), Reader(source)
    if "scheme" in data and not {"base", "selector"} & data.keys():
        base = data["scheme"] if isinstance(data["scheme"], str) else "NAME"
        raise reader.wrong(
            "scheme", f"is no field of a file; name the scheme that it changes as base: {base}"
        )
    if ("base" in data) == ("selector" in data):
        raise reader.wrong("", "give a base, for a preset, or a selector, for a composition of parts")
    known = _PRESET if "base" in data else _COMPOSITION
    for key in data:
        if key not in known:
            raise UnknownNameError(f"field in {source}", key, known)
    name = data.get("name")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        allowed = "a name of letters, digits, _ and -, at most 40, a letter first"
        raise (
            reader.impossible("name", name, allowed)
            if "name" in data
            else reader.wrong("name", f"is missing; give {allowed}")
        )
    full = f"{name}@{address('composition', data)[:8]}"
    scheme = _preset(full, data, reader, registered) if "base" in data else _composed(full, data, reader)
    return _checked(scheme, source)


def _preset(name: str, data: Mapping[str, Any], reader: Reader, registered: Lookup) -> Scheme:
    base_name, given = data["base"], reader.mapping(data.get("params", {}), "params")
    if not isinstance(base_name, str) or is_file(base_name) or "@" in base_name:
        raise reader.impossible("base", base_name, "the name of a scheme, as in `thoughtgraph schemes`")
    try:
        base = registered(base_name)
        values = read_parameters(base_name, base.parameters, given)
    except UserError as error:
        raise reader.wrong("", str(error)) from None

    def build(values: Values, seed: int) -> Strategy[Any]:
        strategy = base.build(values, seed)
        search: Any = strategy
        return replace(search, name=name) if isinstance(strategy, TreeSearch) else strategy

    parameters = tuple(replace(p, default=values[p.name]) for p in base.parameters)
    open_ended = {key: value for key, value in base.fill.items() if key not in given}
    unset = {key: value for key, value in base.raw.items() if key not in given}
    return replace(
        base,
        name=name,
        build=build,
        parameters=parameters,
        fill={**open_ended, **_values("fill", data, parameters, reader)},
        raw={**unset, **_values("raw", data, parameters, reader)},
        **_columns(data, reader),
    )


def _composed(name: str, data: Mapping[str, Any], reader: Reader) -> Scheme:
    body = {key: data[key] for key in BODY if key in data}
    parameters = _parameters(data.get("parameters", {}), reader)
    _check_places(body, {p.name for p in parameters}, reader)
    declared = _needs(data.get("needs", []), reader)

    def make(values: Values, seed: int) -> tuple[TreeSearch[Any], Reader]:
        own = Reader(reader.source, seed)
        search = own.fields(SEARCH, _filled(body, values), "", name=name)
        own.check(search)
        return search, own

    def needs(values: Values) -> frozenset[str]:
        return declared | make(values, 0)[1].asked

    search, made = make({p.name: p.default for p in parameters}, 0)
    columns: dict[str, Any] = {
        "summary": "a composition of your own",
        "family": "beams and trees",
        "structure": "tree",
        "step": "thought",
        "operators": _operators(search, made),
        "models": ("policy", "step verifier") if declared & set(_SCORES) else ("policy",),
        "supervision": "none",
        "paper": "none",
        **_selector_row(search, made),
        **_columns(data, reader),
    }
    return Scheme(
        name=name,
        build=lambda values, seed: make(values, seed)[0],
        parameters=parameters,
        needs=needs,
        fill=_values("fill", data, parameters, reader),
        raw=_values("raw", data, parameters, reader),
        **columns,
    )


def _checked(scheme: Scheme, source: str) -> Scheme:
    """Build a scheme's searches once, so that what does not go together is found when the file is read."""
    default = {p.name: p.default for p in scheme.parameters}
    for values in (default, {**default, **scheme.raw}, {**default, **scheme.fill}):
        try:
            scheme.build(values, 0)
        except UserError as error:
            text = str(error)
            raise UserError(text if text.startswith(source) else f"{source}: {text}") from None
    return scheme


def _columns(data: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    hints = get_type_hints(Scheme)
    return {
        column: reader.read(Setting(hints[column]), data[column], column)
        for column in COLUMNS
        if column in data
    }


def _parameters(given: object, reader: Reader) -> tuple[Parameter, ...]:
    entry, found = part(Parameter), list[Parameter]()
    for name, spec in reader.mapping(given, "parameters").items():
        at = f"parameters.{name}"
        if not (name.isidentifier() and name.isascii()):
            raise reader.wrong(at, "is no name for a parameter; give letters, digits and _, a letter first")
        fields = {"doc": "see the file", **reader.mapping(spec, at)}
        parameter: Parameter = reader.fields(entry, fields, at, name=name)
        if (parameter.type == "choice") != bool(parameter.choices):
            raise reader.wrong(at, "has choices if its type is choice, and only then")
        found.append(
            replace(parameter, default=_value(parameter, parameter.default, f"{at}.default", reader))
        )
    return tuple(found)


def _values(
    field: str, data: Mapping[str, Any], parameters: Iterable[Parameter], reader: Reader
) -> dict[str, Value]:
    known = {p.name: p for p in parameters}
    given = reader.mapping(data.get(field, {}), field)
    for name in given:
        if name not in known:
            raise UnknownNameError(f"parameter in the {field} of {reader.source}", name, known)
    return {name: _value(known[name], value, f"{field}.{name}", reader) for name, value in given.items()}


def _value(parameter: Parameter, given: object, at: str, reader: Reader) -> Value:
    try:
        return parameter.read(given)
    except UserError:
        raise reader.impossible(at, given, parameter.allowed) from None


def _needs(given: object, reader: Reader) -> frozenset[str]:
    needs = reader.read(Setting(tuple[str, ...]), given, "needs")
    for need in needs:
        if need not in (*_SCORES, *ACTIONS) and not re.fullmatch(r"agent:[\w.-]+", need):
            raise UnknownNameError(f"need in {reader.source}", need, (*_SCORES, "agent:NAME", *ACTIONS))
    return frozenset(needs)


def _selector_row(search: TreeSearch[Any], made: Reader) -> dict[str, str]:
    [(name, entry)] = [(b.name, b.entry) for b in made.built if b.made is search.selector]
    return {"strategy": name.replace("_", " "), **entry.row}


def _operators(search: TreeSearch[Any], made: Reader) -> tuple[Operator, ...]:
    logged = {Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT}
    logged |= {operator for built in made.built for operator in built.entry.logs}
    if search.backup is not None:
        logged.add(Operator.BACKPROPAGATE)
    return tuple(operator for operator in Operator if operator in logged)


def _check_places(body: object, known: set[str], reader: Reader) -> None:
    """Refuse places without a parameter, parameters without a place, and text that is half a place."""
    used: set[str] = set()
    stack: list[tuple[str, object]] = [("", body)]
    while stack:
        at, value = stack.pop()
        if isinstance(value, dict):
            stack += [
                (f"{at}.{key}".lstrip("."), below) for key, below in cast("dict[str, object]", value).items()
            ]
        elif isinstance(value, list):
            stack += [(at, below) for below in cast("list[object]", value)]
        elif isinstance(value, str) and "${" in value:
            place = _PLACE.fullmatch(value)
            if place is None:
                raise reader.impossible(at, value, "a place as the whole value, such as ${n}")
            if place[1] not in known:
                raise (
                    UnknownNameError(f"parameter of {at} in {reader.source}", place[1], known)
                    if known
                    else reader.wrong(at, f"is {value}, and the file has no parameters; declare it")
                )
            used.add(place[1])
    for name in sorted(known - used):
        raise reader.wrong(
            f"parameters.{name}", f"is used nowhere; write ${{{name}}} as a value, or leave it out"
        )


def _filled(value: Any, values: Values) -> Any:
    """Return data with the parameters' values in their places."""
    if isinstance(value, dict):
        return {key: _filled(below, values) for key, below in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(below, values) for below in cast("list[Any]", value)]
    place = _PLACE.fullmatch(value) if isinstance(value, str) else None
    return values[place[1]] if place else value
