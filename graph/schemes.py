"""Schemes: named compositions with the published constants, each a row of the Blueprint's table.

    make_strategy("beam", {"beams": 32, "width": "8"}, seed=0)

The columns are those of Table 1 of "Reasoning Language Models: A Blueprint" (arXiv 2501.11223): structure, step, strategy, operators, models,
supervision. A package adds schemes of its own by an entry point in the group `thoughtgraph.schemes` that names a `Scheme`:

    [project.entry-points."thoughtgraph.schemes"]
    mine = "my_package:MINE"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .errors import UnknownNameError, UserError
from .parameters import Parameter, Value, read_parameters
from .records import Operator
from .strategies.base import Strategy
from .strategies.beam import beam
from .strategies.chains import best_of_n, cot, self_consistency
from .strategies.mcts import mcts

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "thoughtgraph.schemes"
"""The entry-point group in which other packages register schemes."""

Structure = Literal["chain", "chains", "tree", "graph", "nested"]
Model = Literal["policy", "outcome verifier", "step verifier", "value model"]

Build = Callable[[Mapping[str, Any], int], Strategy[Any]]
"""Makes a strategy of checked parameters, one for each declared, and a seed."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A named composition and its row of the Blueprint's table."""

    name: str
    summary: str
    """What it does, in one line."""
    structure: Structure
    step: str
    """What one thought is."""
    strategy: str
    """The reasoning strategy, in the Blueprint's words."""
    operators: tuple[Operator, ...]
    models: tuple[Model, ...]
    """Models it asks for beside the policy's own; where a verifier is missing, thoughts stay unscored and votes count heads."""
    supervision: str
    """What its models are trained on in the paper."""
    paper: str
    build: Build = field(repr=False)
    parameters: tuple[Parameter, ...] = ()


def _temperature(default: float | None) -> Parameter:
    doc = "sampling temperature; none: the generator's own"
    return Parameter("temperature", "float", default, doc, minimum=0.0, optional=True)


def _stop(default: float | None) -> Parameter:
    doc = "end the search at a solution whose outcome checks average this or more; none: never"
    return Parameter("stop_score", "float", default, doc, minimum=0.0, maximum=1.0, optional=True)


def _select(default: str) -> Parameter:
    doc = "how the answer is chosen: the best-scored solution, the most frequent answer, or votes weighted by scores"
    return Parameter("select", "choice", default, doc, choices=("best", "majority", "weighted"))


_AGGREGATION = Parameter(
    "aggregation",
    "choice",
    "last",
    "how the step scores of a path become one where no outcome was checked",
    choices=("last", "min", "prod", "mean"),
)
_BLOCK = Parameter("block", "int", 8, "samples a request: the unit of concurrency and of stopping", minimum=1)

_COT = Scheme(
    name="cot",
    summary="one greedy chain of thought",
    structure="chain",
    step="thought",
    strategy="none",
    operators=(Operator.GENERATE,),
    models=("policy",),
    supervision="none",
    paper="arXiv 2201.11903",
    build=lambda values, seed: cot(**values),
    parameters=(_temperature(0.0),),
)

_SELF_CONSISTENCY = Scheme(
    name="self_consistency",
    summary="majority vote over independent chains",
    structure="chains",
    step="thought",
    strategy="majority voting",
    operators=(Operator.GENERATE, Operator.SELECT),
    models=("policy",),
    supervision="none",
    paper="arXiv 2203.11171",
    build=lambda values, seed: self_consistency(**values),
    parameters=(
        Parameter("n", "int", 40, "chains", minimum=1),
        _temperature(0.7),
        _BLOCK,
        _stop(None),
    ),
)

_BEST_OF_N = Scheme(
    name="best_of_n",
    summary="the verifier's choice among independent chains",
    structure="chains",
    step="thought",
    strategy="best-of-N",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.SELECT),
    models=("policy", "outcome verifier", "step verifier"),
    supervision="outcome labels (arXiv 2110.14168) or step labels (arXiv 2305.20050)",
    paper="arXiv 2110.14168",
    build=lambda values, seed: best_of_n(**values),
    parameters=(
        Parameter("n", "int", 100, "chains", minimum=1),
        _select("best"),
        _AGGREGATION,
        _temperature(0.7),
        _BLOCK,
        _stop(None),
    ),
)


def _beam(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    if values["width"] > values["beams"]:
        raise UserError(
            f"scheme 'beam': width={values['width']} leaves no beam of {values['beams']}; give width ≤ beams"
        )
    return beam(**values)


_BEAM = Scheme(
    name="beam",
    summary="beam search over steps with a verifier",
    structure="tree",
    step="thought",
    strategy="beam search",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
    models=("policy", "step verifier"),
    supervision="step labels from rollouts",
    paper="arXiv 2408.03314",
    build=_beam,
    parameters=(
        Parameter("beams", "int", 16, "N: candidates a round", minimum=1),
        Parameter("width", "int", 4, "M: continuations of each kept thought; N // M are kept", minimum=1),
        Parameter("max_steps", "int", 40, "rounds at most", minimum=1),
        _select("weighted"),
        _AGGREGATION,
        _temperature(None),
        _stop(None),
    ),
)

_MCTS = Scheme(
    name="mcts",
    summary="Monte-Carlo tree search over steps",
    structure="tree",
    step="thought",
    strategy="MCTS",
    operators=(
        Operator.GENERATE,
        Operator.SELECT,
        Operator.EVALUATE,
        Operator.BACKPROPAGATE,
        Operator.BACKTRACK,
        Operator.PRUNE,
    ),
    models=("policy", "value model", "outcome verifier", "step verifier"),
    supervision="outcome labels from search",
    paper="arXiv 2410.09671",
    build=lambda values, seed: mcts(**values),
    parameters=(
        Parameter("branching", "int", 4, "samples an expansion", minimum=1),
        Parameter("selector", "choice", "puct", "selection formula", choices=("puct", "uct")),
        Parameter(
            "c",
            "float",
            None,
            "exploration constant; none: 1.25 for puct, √2 for uct",
            minimum=0.0,
            optional=True,
        ),
        Parameter(
            "backup",
            "choice",
            "mean",
            "mean of all thoughts below, or visit-weighted mean of the children",
            choices=("mean", "weighted"),
        ),
        Parameter("gamma", "float", 1.0, "discount per step of the weighted backup", above=0.0, maximum=1.0),
        Parameter("lr", "float", 1.0, "learning rate of the weighted backup", above=0.0, maximum=1.0),
        Parameter(
            "prior",
            "choice",
            "count",
            "prior of a child: its share of the samples, of the token probability, or equal shares",
            choices=("count", "logprob", "uniform"),
        ),
        Parameter("max_expansions", "int", 3, "expansions of one thought at most", minimum=1),
        Parameter(
            "widening",
            "float",
            None,
            "samples per √visits up to which a thought is sampled again beside its children",
            above=0.0,
            optional=True,
        ),
        Parameter("count_refuted", "bool", False, "whether refuted thoughts count as visits of value 0"),
        _select("best"),
        _temperature(None),
        Parameter(
            "heating",
            "float",
            0.0,
            "added to the temperature at each further expansion of a thought",
            minimum=0.0,
        ),
        _stop(1.0),
    ),
)

_BUILTIN: dict[str, Scheme] = {
    scheme.name: scheme for scheme in (_COT, _SELF_CONSISTENCY, _BEST_OF_N, _BEAM, _MCTS)
}


def schemes() -> dict[str, Scheme]:
    """Return every scheme by name: ours, then those that installed packages registered.

    Raises:
        UserError: if a registered scheme cannot be loaded, or takes a name that is taken.
    """
    registered = _registered()
    return _BUILTIN | {name: _load(name, registered[name]) for name in sorted(registered)}


def get_scheme(name: str) -> Scheme:
    """Return the scheme of this name, loading only the package that registered it.

    Raises:
        UnknownNameError: if there is none.
        UserError: if it cannot be loaded.
    """
    if name in _BUILTIN:
        return _BUILTIN[name]
    registered = _registered()
    if name not in registered:
        raise UnknownNameError("scheme", name, [*_BUILTIN, *registered])
    return _load(name, registered[name])


def make_strategy(name: str, params: Mapping[str, object] | None = None, seed: int = 0) -> Strategy[Any]:
    """Return a strategy by the name of its scheme.

    Args:
        name: the scheme.
        params: its parameters, as values or as a command line's strings (`none` for None); defaults for those left out.
        seed: for schemes that draw lots. Ours do not: equals are decided by order, and samplers are seeded by their requests.

    Raises:
        UnknownNameError: for a scheme or a parameter that does not exist.
        UserError: for a value that is not allowed, or a registered scheme that cannot be loaded.
    """
    scheme = get_scheme(name)
    values = read_parameters(name, scheme.parameters, params or {})
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
