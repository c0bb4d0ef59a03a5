"""Compute-optimal scaling: a table, learned on held-out problems, names the scheme for a difficulty and a budget.

`thoughtgraph compare TASK --schemes … --budget … --learn FILE` writes the table: for every budget and bin of difficulty, the
scheme that solved most (Snell et al., arXiv 2408.03314, §3.2). It is JSON:

    {"task": "game24", "model": "builtin:numbers", "probe": 8,
     "budgets": {"500": {"edges": [0.2, 0.6],
                         "choices": [{"scheme": "self_consistency", "params": {"n": 16}},
                                     {"scheme": "beam", "params": {}},
                                     {"scheme": "mcts", "params": {"branching": 6}}]}}}

`probe` is the number of samples difficulties were estimated from. `edges` are ascending and in [0, 1], and there is one choice
more: the first is for difficulties up to and with the first edge, the next up to and with the second, the last for those above
the last edge. A budget is in tokens; a search uses that nearest to its own and not above it, or the smallest if its own is
unknown or below all.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.meta import ComputeOptimal
from .base import Scheme
from .common import BLOCK, PROMPTING, prompt_action, prompted, temperature
from .inner import scheme_named
from .parameters import Parameter, Value, read_parameters

NAME = "compute_optimal"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the table says for one bin."""

    scheme: str
    params: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Bins:
    """What it says for one budget."""

    edges: tuple[float, ...]
    choices: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A policy table."""

    probe: int
    budgets: tuple[tuple[float, Bins], ...]
    """By tokens, ascending."""

    def bins(self, tokens: int) -> Bins:
        """Return what it says for the nearest budget that is not above this one; for the smallest if there is none."""
        fitting = [bins for budget, bins in self.budgets if budget <= tokens]
        return fitting[-1] if fitting else self.budgets[0][1]


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
        chosen = bins.choices[bisect_left(bins.edges, difficulty)]
        scheme = scheme_named(chosen.scheme)
        return scheme.build(read_parameters(scheme.name, scheme.parameters, dict(chosen.params)), self.seed)

    def _known(self) -> Table:
        if self.table is None:
            raise UserError(
                "compute_optimal has no policy table for this task and model; learn one with "
                "`thoughtgraph compare … --learn FILE` and give it: table=FILE"
            )
        return self.table


def read_table(path: str) -> Table:
    """Return the table in a file.

    Raises:
        UserError: if there is none, or it says something impossible; schemes and parameters are checked too.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        table = _table(values)
    except OSError as error:
        raise UserError(f"the policy table {path} cannot be read: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"the policy table {path} is wrong: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the policy table {path} is not one ({type(error).__name__}: {error}); "
            "write it with `thoughtgraph compare … --learn FILE`"
        ) from None
    return table


def _table(values: Mapping[str, Any]) -> Table:
    budgets = sorted((float(tokens), _bins(tokens, bins)) for tokens, bins in values["budgets"].items())
    probe = int(values["probe"])
    if not budgets or probe < 1:
        raise UserError("it needs a budget at least, and a probe of 1 or more")
    return Table(probe, tuple(budgets))


def _bins(tokens: str, values: Mapping[str, Any]) -> Bins:
    edges = tuple(float(edge) for edge in values["edges"])
    choices = tuple(_entry(choice) for choice in values["choices"])
    if list(edges) != sorted(edges) or not all(0.0 <= edge <= 1.0 for edge in edges):
        raise UserError(f"the edges of budget {tokens} do not ascend within [0, 1]")
    if len(choices) != len(edges) + 1:
        raise UserError(
            f"budget {tokens} has {len(edges)} edges and {len(choices)} choices; give one choice more than edges"
        )
    return Bins(edges, choices)


def _entry(values: Mapping[str, Any]) -> Entry:
    scheme = scheme_named(values["scheme"])
    if scheme.name == NAME:
        raise UserError(f"it chooses {NAME} itself; choose another scheme")
    read_parameters(scheme.name, scheme.parameters, values["params"])
    return Entry(scheme.name, tuple(sorted(values["params"].items())))


def _read(values: Mapping[str, Any]) -> Table | None:
    return None if values["table"] == AUTO else read_table(values["table"])


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    table = _read(values)
    probe = values["probe"] or (table.probe if table else 1)
    policy = TablePolicy(table, values["budget_tokens"], seed)
    return ComputeOptimal(policy, probe, values["temperature"], prompt_action(values), values["block"])


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    """Return what any scheme needs that the table may choose at this budget."""
    table = _read(values)
    needs = set(prompted(values))
    for choice in table.bins(values["budget_tokens"]).choices if table else ():
        scheme = scheme_named(choice.scheme)
        needs |= scheme.needs(read_parameters(scheme.name, scheme.parameters, dict(choice.params)))
    return frozenset(needs)


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
        Parameter(
            "table",
            "text",
            AUTO,
            "file of the policy table, as `thoughtgraph compare --learn` writes it; auto: the shipped model's, if it has one",
        ),
        Parameter(
            "probe",
            "int",
            None,
            "samples that tell how hard a problem is; none: as many as the table was learned with",
            minimum=1,
            optional=True,
        ),
        Parameter("budget_tokens", "int", 0, "the budget to look up, in tokens; 0: unknown", minimum=0),
        temperature(0.7),
        BLOCK,
        PROMPTING,
    ),
    needs=_needs,
    raw={"prompting": "plain"},
)

SCHEMES = (_COMPUTE_OPTIMAL,)
