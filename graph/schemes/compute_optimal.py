"""Compute-optimal scaling: a table, learned on held-out problems, names the scheme for a difficulty and a budget.

`thoughtgraph compare TASK --schemes … --budget … --learn FILE` writes the table: for every budget and bin of difficulty, the
scheme that solved most (Snell et al., arXiv 2408.03314, §3.2). It is JSON:

    {"task": "game24", "model": "builtin:numbers", "probe": 8, "temperature": 0.7,
     "budgets": {"500": {"edges": [0.2, 0.6],
                         "choices": [{"scheme": "self_consistency", "params": {"n": 16}},
                                     {"scheme": "beam", "params": {}},
                                     {"scheme": "mcts", "params": {"branching": 6}}]}}}

`probe` is the number of samples difficulties were estimated from, `temperature` that at which they were drawn, without which edges
mean nothing; null or left out: the generator's own. `edges` are ascending and in [0, 1], and there is one choice
more: the first is for difficulties up to and with the first edge, the next up to and with the second, the last for those above
the last edge. A budget is in tokens; a search uses that nearest to its own and not above it, or the smallest if its own is
unknown or below all. Where a choice names a YAML file, its text is kept beside it, as `composition`.

The parameter `table` is this text. `kept_table` puts it there when a run is set up, from a file or for the model in use: so it
is in the run's record, and neither a search nor a resume reads a file.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..errors import UserError
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.meta import ComputeOptimal
from .base import Scheme
from .common import BLOCK, PROMPTING, prompt_action, prompted, temperature
from .inner import scheme_kept, scheme_named
from .parameters import Parameter, Value, read_parameters

NAME = "compute_optimal"
AUTO = "auto"
_LEARN = "`thoughtgraph compare … --learn FILE`"


@dataclass(frozen=True, slots=True)
class PolicyTable(Parameter):
    """A parameter that is a policy table: `auto`, its text, or, until a run is set up, its file."""

    @property
    def allowed(self) -> str:
        """See `Parameter.allowed`."""
        return f"a file, or {AUTO}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the table says for one bin."""

    scheme: str
    params: tuple[tuple[str, Value], ...]
    composition: str = ""
    """Text of the file that the scheme is from; "" for a registered one."""

    def build(self, seed: int) -> Strategy[Any]:
        """Return its strategy."""
        scheme = scheme_named(self.scheme)
        return scheme.build(read_parameters(scheme.name, scheme.parameters, dict(self.params)), seed)

    def needs(self) -> frozenset[str]:
        """Return what its scheme needs."""
        scheme = scheme_named(self.scheme)
        return scheme.needs(read_parameters(scheme.name, scheme.parameters, dict(self.params)))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        text = {"composition": self.composition} if self.composition else {}
        return {"scheme": self.scheme, "params": dict(self.params), **text}


@dataclass(frozen=True, slots=True)
class Bins:
    """What it says for one budget."""

    edges: tuple[float, ...]
    choices: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A policy table."""

    probe: int
    temperature: float | None
    """Of the samples that difficulties were estimated from; None: the generator's own."""
    budgets: tuple[tuple[float, Bins], ...]
    """By tokens, ascending."""

    def bins(self, tokens: int) -> Bins:
        """Return what it says for the nearest budget that is not above this one; for the smallest if there is none."""
        fitting = [bins for budget, bins in self.budgets if budget <= tokens]
        return fitting[-1] if fitting else self.budgets[0][1]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        budgets = {
            f"{tokens:.17g}": {"edges": list(bins.edges), "choices": [c.as_json() for c in bins.choices]}
            for tokens, bins in self.budgets
        }
        return {"probe": self.probe, "temperature": self.temperature, "budgets": budgets}


@dataclass(frozen=True, slots=True)
class TablePolicy:
    """Goes by a table; see `Policy`."""

    table: Table | None
    tokens: int
    seed: int

    def check(self) -> None:
        """See `Policy.check`."""
        self._known()

    def strategy(self, difficulty: float) -> Strategy[Any]:
        """See `Policy.strategy`."""
        bins = self._known().bins(self.tokens)
        return bins.choices[bisect_left(bins.edges, difficulty)].build(self.seed)

    def _known(self) -> Table:
        if self.table is None:
            raise _unknown()
        return self.table


def kept_table(given: str, shipped: str | None) -> str:
    """Return what a run records as its table: the text alone, whatever was given.

    Args:
        given: `auto`, a file, or a text.
        shipped: text of the table that comes with the model in use; None if there is none.

    Raises:
        UserError: if there is no table, or it says something impossible; schemes and parameters are checked too.
    """
    text, source = given, "the policy table"
    if given == AUTO:
        if shipped is None:
            raise _unknown()
        text = shipped
    elif not _is_text(given):
        source = f"the policy table {given}"
        try:
            text = Path(given).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{source} cannot be read: {error.strerror}; give a file that {_LEARN} wrote, or {AUTO}"
            ) from None
        except ValueError:
            raise _no_table(source, "it is no text") from None
    return json.dumps(read_table(text, source).as_json(), sort_keys=True, separators=(",", ":"))


def read_table(text: str, source: str = "the policy table") -> Table:
    """Return the table that a text describes.

    Args:
        text: JSON.
        source: what messages call it.

    Raises:
        UserError: if it is none, or says something impossible; schemes and parameters are checked too.
    """
    try:
        return _table(_json(text))
    except UserError as error:
        raise UserError(f"{source} is wrong: {error}") from None
    except _FormError as error:
        raise _no_table(source, str(error)) from None


def reads_table(scheme: Scheme) -> bool:
    """Return whether a scheme goes by a policy table, so that none may choose it."""
    return any(isinstance(parameter, PolicyTable) for parameter in scheme.parameters)


class _FormError(Exception):
    """What is no policy table, in words."""


def _unknown() -> UserError:
    return UserError(
        f"{NAME} has no policy table for this task and model; learn one with {_LEARN} and give it: table=FILE"
    )


def _no_table(source: str, reason: str) -> UserError:
    return UserError(f"{source} is not one ({reason}); write it with {_LEARN}")


def _is_text(given: str) -> bool:
    """Return whether a table is given as its text, not as a file."""
    return given.lstrip().startswith("{")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _FormError(f"it is no JSON from line {error.lineno} on") from None
    except ValueError:
        raise _FormError("a number in it is too long") from None
    except RecursionError:
        raise _FormError("it is nested too deeply") from None


def _table(given: object) -> Table:
    values = _object(given, "it")
    found = _object(_field(values, "budgets", "it"), "its `budgets`")
    probe = _field(values, "probe", "it")
    if not isinstance(probe, int) or isinstance(probe, bool):
        raise _FormError("its `probe` is no whole number")
    if not found or probe < 1:
        raise UserError("it needs a budget at least, and a probe of 1 or more")
    heat: Any = temperature(None).read(values.get("temperature"))
    budgets = {_tokens(key): _bins(key, bins) for key, bins in found.items()}
    if len(budgets) < len(found):
        raise UserError("it names a budget twice; leave one out")
    return Table(probe, heat, tuple((tokens, budgets[tokens]) for tokens in sorted(budgets)))


def _tokens(key: str) -> float:
    try:
        tokens = float(key)
    except ValueError:
        tokens = math.nan
    if not (math.isfinite(tokens) and tokens > 0):
        raise UserError(f"the budget {key!r} in it is no number of tokens; write one above 0")
    return tokens


def _bins(tokens: str, given: object) -> Bins:
    where = f"budget {tokens}"
    values = _object(given, where)
    edges = [_number(edge, f"an edge of {where}") for edge in _list(values, "edges", where)]
    choices = tuple(_entry(choice, f"a choice of {where}") for choice in _list(values, "choices", where))
    if edges != sorted(edges) or not all(0.0 <= edge <= 1.0 for edge in edges):
        raise UserError(f"the edges of {where} do not ascend within [0, 1]")
    if len(choices) != len(edges) + 1:
        raise UserError(
            f"{where} has {len(edges)} edges and {len(choices)} choices; give one choice more than edges"
        )
    return Bins(tuple(map(float, edges)), choices)


def _entry(given: object, where: str) -> Entry:
    values = _object(given, where)
    params = _object(_field(values, "params", where), f"`params` of {where}")
    name, text = _field(values, "scheme", where), values.get("composition", "")
    if not isinstance(name, str) or not isinstance(text, str):
        raise _FormError(f"the `scheme` or `composition` of {where} is no text")
    name, text = scheme_kept(name, text)
    scheme = scheme_named(name)
    if reads_table(scheme):
        raise UserError(f"it chooses {name}, which goes by a table itself; choose another scheme")
    read = read_parameters(scheme.name, scheme.parameters, params)
    entry = Entry(name, tuple((key, read[key]) for key in sorted(params)), text)
    entry.build(0)
    return entry


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _FormError(f"{where} is no object of names and values")
    return cast("dict[str, Any]", value)


def _field(values: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in values:
        raise _FormError(f"{where} has no `{name}`")
    return values[name]


def _list(values: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = _field(values, name, where)
    if not isinstance(value, list):
        raise _FormError(f"`{name}` of {where} is no list")
    return cast("list[Any]", value)


def _number(value: object, where: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _FormError(f"{where} is no number")
    return value


def _read(values: Mapping[str, Any]) -> Table | None:
    given = values["table"]
    if given != AUTO and not _is_text(given):
        raise UserError(
            f"table={given!r} is a file, which is read when a run is set up; give it with the run: --param table=FILE"
        )
    return None if given == AUTO else read_table(given)


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    table = _read(values)
    probe = values["probe"] or (table.probe if table else 1)
    policy = TablePolicy(table, values["budget_tokens"], seed)
    heat = values["temperature"]
    if heat is None and table:
        heat = table.temperature
    return ComputeOptimal(policy, probe, heat, prompt_action(values), values["block"])


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    """Return what any scheme needs that the table may choose at this budget."""
    table = _read(values)
    choices = table.bins(values["budget_tokens"]).choices if table else ()
    return frozenset(prompted(values)).union(*(choice.needs() for choice in choices))


_COMPUTE_OPTIMAL = Scheme(
    name=NAME,
    family="meta",
    summary="the scheme that a learned table names for a problem's difficulty and the budget",
    structure="chains",
    step="that of the chosen scheme",
    strategy="a choice among strategies",
    operators=tuple(operator for operator in Operator if operator is not Operator.RESTRUCTURE),
    models=("policy", "outcome verifier", "step verifier"),
    supervision="a table of schemes by difficulty, learned on held-out problems",
    paper="arXiv 2408.03314",
    build=_build,
    parameters=(
        PolicyTable(
            "table",
            "text",
            AUTO,
            "the policy table, as `thoughtgraph compare --learn` writes it, of which the run keeps the text; auto: the shipped model's",
        ),
        Parameter(
            "probe",
            "int",
            None,
            "samples that tell how hard a problem is; none: as many as the table was learned with",
            minimum=1,
            optional=True,
        ),
        Parameter(
            "budget_tokens",
            "int",
            0,
            "the budget to look up in the table, in tokens; 0: that of the run, if it has one of tokens",
            minimum=0,
        ),
        replace(
            temperature(None),
            doc="sampling temperature of the probe; none: that which the table was learned with, or if it has none the generator's own",
        ),
        BLOCK,
        PROMPTING,
    ),
    needs=_needs,
    raw={"prompting": "plain"},
)

SCHEMES = (_COMPUTE_OPTIMAL,)
