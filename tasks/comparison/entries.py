"""What is compared: schemes with their parameters, under labels, and the baselines.

A file of parameters, YAML or JSON, holds an object by label:

    beam: {width: 8}                                  a scheme's parameters
    best_of_n:
      temperature: 0.9
      budgets: {500: {temperature: 0.7}}              another value at one budget
    bon_majority:                                     the same scheme once more, under a label of its own
      scheme: best_of_n
      params: {select: majority}
      budgets: {500: {temperature: 0.7}}

Parameters go from weak to strong: the scheme's defaults, those that make it go on until its budget is spent (`Scheme.fill`), the file's, the file's
for the budget, the command line's.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from ...graph.errors import UnknownNameError, UserError
from ...graph.schemes import get_scheme, schemes
from ...graph.schemes.composition import is_file
from ...graph.schemes.parameters import read_parameters
from .budgets import Budgets, key

MAJORITY, WEIGHTED = BASELINES = ("self_consistency", "weighted_vote")
"""Majority vote, and the vote weighed by the verifier: what a search has to beat."""

STAND_IN: Mapping[str, Any] = {"select": "weighted"}
"""Parameters with which best_of_n is the weighted vote, where no scheme of that name is registered."""

_FORM = 'parameters by scheme, such as {"beam": {"width": 8}}'
"""How messages show what a file holds, YAML or JSON."""

_LABEL = re.compile(r"[^\s,=]+")
_FIELDS = ("scheme", "params", "budgets")


@dataclass(frozen=True, slots=True)
class Entry:
    """One competitor."""

    label: str
    scheme: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    at: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Further parameters by budget, as `budgets.key` writes it."""
    over: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Parameters that go before all others."""
    added: bool = False
    """Whether it is a baseline that nobody asked for."""

    def params_at(self, budget: str) -> dict[str, Any]:
        """Return the parameters that it is run with at a budget."""
        fill = get_scheme(self.scheme).fill
        return {**fill, **self.params, **self.at.get(budget, {}), **self.over}

    def check(self) -> None:
        """Raise UserError on parameters that the scheme does not take."""
        scheme = get_scheme(self.scheme)
        for budget in ("", *self.at):
            try:
                read_parameters(scheme.name, scheme.parameters, self.params_at(budget))
            except UserError as error:
                raise UserError(f"parameters of {self.label!r}: {error}") from None

    def check_budgets(self, budgets: Budgets) -> None:
        """Raise UserError on parameters for a budget that is not compared: nobody would notice that they are not used."""
        for budget in self.at:
            if budget not in budgets.keys:
                raise UserError(
                    f"the parameters of {self.label!r} name the {budgets.limit} budget {budget}, which is not compared; "
                    f"leave it out, or compare at it too (now: {', '.join(budgets.keys)})"
                )


def read_entries(
    labels: Sequence[str],
    budgets: Budgets,
    file: Mapping[str, Any] | None = None,
    over: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Entry]:
    """Return the competitors in the order asked for, those baselines first that nobody asked for.

    Args:
        labels: names of schemes, YAML files of compositions, or labels of the file.
        budgets: what they are compared at.
        file: parameters by label, as `read_file` returns them.
        over: parameters by label that go before all others.

    Raises:
        UnknownNameError: on a label that is neither a scheme nor in the file.
        UserError: on a label given twice, a file none of whose labels is compared, or anything in it or in `over` that fits nothing.
    """
    known = {name: _entry(name, None) for name in schemes()}
    known.setdefault(WEIGHTED, Entry(WEIGHTED, "best_of_n", dict(STAND_IN)))
    for label, value in (file or {}).items():
        known[label] = _entry(label, value, known.get(label))
        known[label].check()
    chosen: dict[str, Entry] = {}
    for label in labels:
        if label in chosen:
            raise UserError(f"{label!r} is compared twice; give it once, or another label in --params")
        if label not in known and is_file(label):
            known[label] = _entry(label, None)
        if label not in known:
            raise UnknownNameError("scheme or label", label, known)
        chosen[label] = known[label]
    added = {name: replace(known[name], added=True) for name in BASELINES if name not in chosen}
    entries = {**added, **chosen}
    if file and not any(label in entries for label in file):
        names = ", ".join(file)
        raise UserError(
            f"nothing of the file of parameters is compared; name one of its labels in --schemes: {names}"
        )
    for label, params in (over or {}).items():
        if label not in entries:
            raise UnknownNameError("scheme or label in --param", label, entries)
        entries[label] = replace(entries[label], over=dict(params))
    for entry in entries.values():
        entry.check()
        entry.check_budgets(budgets)
    return list(entries.values())


def read_file(path: Path) -> dict[str, Any]:
    """Return what a file of parameters holds, by label; JSON if its name ends in .json, else YAML.

    Raises:
        UserError: if it cannot be read, is not of that form, or has a label twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = _json(text) if path.suffix == ".json" else _yaml(text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"cannot read {str(path)!r} ({reason}); give a file of parameters") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{str(path)!r} is no file of parameters: this is no text in UTF-8; write {_FORM}"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{str(path)!r} is no file of parameters: {reason}; write {_FORM}") from None
    if not isinstance(value, dict):
        raise UserError(f"{str(path)!r} is no file of parameters; write {_FORM}")
    return {str(label): below for label, below in cast("dict[Any, Any]", value).items()}


def _entry(label: str, value: Any, base: Entry | None = None) -> Entry:
    """Return the competitor of a label; `base` is the one that the label is known for without the file."""
    if not _LABEL.fullmatch(label):
        raise UserError(f"the label {label!r} has spaces, commas or equals signs; choose another one")
    if value is None:
        return base or Entry(label, label)
    fields = _mapping(label, value)
    if base is None:  # a label of its own
        if "scheme" not in fields:
            raise _no_scheme(label)
        for name in fields:
            if name not in _FIELDS:
                raise UnknownNameError(f"field of {label!r} in the file of parameters", name, _FIELDS)
        scheme = str(fields["scheme"])
        get_scheme(scheme)
        return Entry(label, scheme, _mapping(label, fields.get("params", {})), _by_budget(label, fields))
    own = {p.name for p in get_scheme(base.scheme).parameters}
    for name in fields:
        if name not in (*own, *_FIELDS):
            raise UnknownNameError(
                f"parameter of {label!r} in the file of parameters", name, own | {"budgets"}
            )
    if "scheme" in fields and "scheme" not in own:
        raise UserError(f"{label!r} is itself a scheme; give another label to name a scheme under it")
    plain = {name: v for name, v in fields.items() if name not in ("params", "budgets") or name in own}
    params = {**base.params, **plain}
    if "params" not in own:
        params |= _mapping(label, fields.get("params", {}))
    return Entry(label, base.scheme, params, {} if "budgets" in own else _by_budget(label, fields))


def _no_scheme(label: str) -> UserError:
    """Return the error on a label that is no scheme and names none: mistyped, or a label of one's own."""
    if difflib.get_close_matches(label, schemes(), n=1):
        return UnknownNameError("scheme in the file of parameters", label, schemes())
    return UserError(
        f"the label {label!r} in the file of parameters is no scheme; name the one it stands for: {label}: {{scheme: NAME}}"
    )


def _by_budget(label: str, fields: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, params in _mapping(label, fields.get("budgets", {})).items():
        try:
            found[key(float(name))] = _mapping(label, params)
        except (ValueError, OverflowError):
            raise UserError(f"the parameters of {label!r} name the budget {name!r}; write a number") from None
    return found


def _mapping(label: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"the parameters of {label!r} are {value!r}; write NAME: VALUE pairs")
    return {str(name): below for name, below in cast("dict[Any, Any]", value).items()}


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML that does not drop what is given twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            loader: Any = self
            return _once(
                [tuple(loader.construct_object(part, deep=True) for part in pair) for pair in node.value]
            )

    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ValueError(f"{at}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _once(pairs: Sequence[tuple[Any, ...]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if not isinstance(name, Hashable) or name in found:
            raise ValueError(f"{name!r} is no name, or given twice")
        found[name] = value
    return found
