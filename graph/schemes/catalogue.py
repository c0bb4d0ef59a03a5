"""The parts that compositions are made of, by kind and name. Adding one is one line of `PARTS`.

A part is a dataclass, and its fields are its settings: their names, types and defaults are read off it. `part(Puct, c=ZERO_UP)` adds the bounds
that types cannot say; a whole number without other bounds is 1 or more. A field called `seed` is set by whoever builds the search, and
fields called `action` and `agent` say what is needed of a team.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_type_hints

from ..records import Operator
from ..strategies.a_star import BestFirst
from ..strategies.backup import LeafBackup, MeanBackup, WeightedBackup
from ..strategies.beam import Best
from ..strategies.breadth_first import Breadth
from ..strategies.chains import Blocks, Hierarchy, Newest
from ..strategies.depth_first import DepthFirst
from ..strategies.evaluation import EvaluationRule, FirstKnown, Stop
from ..strategies.expansion import Sampler
from ..strategies.formulas import Formula, Puct, Uct
from ..strategies.judges import Judge, PathScores, Rollouts, Values, Votes
from ..strategies.mcts import Descent
from ..strategies.particles import Particles, Survivors
from ..strategies.parts import Backup, Expander, Finalizer, Selector
from ..strategies.paths import Followup, Paths
from ..strategies.plan import Kept, Plan, Script
from ..strategies.rollouts import RollOut
from ..strategies.rounds import Keeper, Rounds
from ..strategies.search import TreeSearch
from ..strategies.solutions import HighestValue
from ..strategies.voting import BestSolution, JointSolution, Vote
from .adaptive import UntilDecided
from .common import MOST_SAMPLES
from .dvts import BestOfEach, LastCandidates
from .lats import Reflect
from .revisions import Revisions
from .self_refine import Refinement
from .stepwise_bon import Stepwise
from .x1 import PathSolution


class Limit(NamedTuple):
    """Bounds of a number; see `Parameter`."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None


ZERO_UP = Limit(0.0)
POSITIVE = Limit(above=0.0)
SHARE = Limit(0.0, 1.0)
PORTION = Limit(above=0.0, maximum=1.0)
SAMPLES = Limit(1.0, MOST_SAMPLES)

Check = Callable[[Any, TreeSearch[Any]], str | None]
"""Says what is wrong with a part in a search, and what to do; None if nothing is."""


class Setting(NamedTuple):
    """A field of a part."""

    type: Any
    limit: Limit | None = None
    default: Any = dataclasses.MISSING
    """`dataclasses.MISSING` if it must be given."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part and what its dataclass does not say."""

    make: type[Any]
    limits: Mapping[str, Limit] = field(default_factory=dict[str, Limit])
    """Bounds by field."""
    logs: tuple[Operator, ...] = ()
    """Operators that it logs, beside those that every search does."""
    asks: Callable[[Any], Collection[str]] = lambda part: ()
    """Returns the actions that it asks for by itself."""
    row: Mapping[str, str] = field(default_factory=dict[str, str])
    """Columns of the Blueprint's table for schemes with this selector, unless they say otherwise."""
    constant: tuple[str, ...] = ()
    """Fields that are no settings."""
    check: Check | None = None

    @property
    def summary(self) -> str:
        """What it does: the first line of its docstring."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]

    @property
    def settings(self) -> dict[str, Setting]:
        """Its settings by name."""
        hints = get_type_hints(self.make)
        return {
            f.name: Setting(hints[f.name], self.limits.get(f.name), _default(f))
            for f in dataclasses.fields(self.make)
            if f.init and f.name not in self.constant
        }


def part(
    make: type[Any],
    *,
    logs: tuple[Operator, ...] = (),
    asks: Callable[[Any], Collection[str]] = lambda part: (),
    row: Mapping[str, str] | None = None,
    constant: tuple[str, ...] = (),
    check: Check | None = None,
    **limits: Limit,
) -> Part:
    """Return an entry of the catalogue."""
    return Part(make, limits, logs, asks, row or {}, constant, check)


def _whole(selector: Any, search: TreeSearch[Any]) -> str | None:
    if isinstance(search.expander, Sampler) and search.expander.horizon == "step":
        return "draws from the question only, so its samples must be whole: give the expander horizon: answer or solution"
    return None


def _valued(selector: Any, search: TreeSearch[Any]) -> str | None:
    return "goes by the values of thoughts, which a backup makes: add one" if search.backup is None else None


def _asking(selector: Any, search: TreeSearch[Any]) -> str | None:
    sampler = search.expander
    if isinstance(sampler, Sampler) and replace(sampler, n=1, merge=False) != Sampler(1):
        return "says itself what is asked: set it there, and leave all but n and merge out of the expander"
    return None


def _sampler(sampler: Sampler, search: TreeSearch[Any]) -> str | None:
    if sampler.heating and sampler.temperature is None:
        return "has a heating, which raises a temperature: add one, or leave it out"
    return None


def _best(best: Best, search: TreeSearch[Any]) -> str | None:
    return "leaves no beam: give width ≤ beams" if best.width > best.beams else None


def _particles(particles: Particles, search: TreeSearch[Any]) -> str | None:
    if particles.references >= particles.n:
        return "leaves no free particle: give references < n"
    return _asking(particles, search)


def _only_with(selector: type[Any], name: str) -> Check:
    def check(part: Any, search: TreeSearch[Any]) -> str | None:
        return None if isinstance(search.selector, selector) else f"goes with the selector {name} only"

    return check


_TREE, _MCTS, _CHAINS = (
    {"family": "beams and trees", "structure": "tree"},
    {"family": "Monte-Carlo tree search", "structure": "tree", "strategy": "MCTS"},
    {"family": "chains", "structure": "chains"},
)

PARTS: dict[Any, dict[str, Part]] = {
    Selector: {
        "best_first": part(
            BestFirst, row={**_TREE, "strategy": "best-first search"}, lam=ZERO_UP, top_k=SAMPLES
        ),
        "blocks": part(Blocks, row=_CHAINS, check=_whole, block=SAMPLES),
        "depth_first": part(
            DepthFirst,
            logs=(Operator.BACKTRACK,),
            row={**_TREE, "strategy": "depth-first search"},
            check=_asking,
            n=SAMPLES,
            threshold=SHARE,
            temperature=ZERO_UP,
        ),
        "descent": part(Descent, logs=(Operator.BACKTRACK,), row=_MCTS, check=_valued, widening=POSITIVE),
        "particles": part(
            Particles,
            row={"family": "sampling", "structure": "chains", "strategy": "particle filtering"},
            check=_particles,
            n=SAMPLES,
            sharpness=POSITIVE,
            temperature=ZERO_UP,
            references=ZERO_UP,
        ),
        "paths": part(
            Paths,
            asks=lambda paths: [*["value"] * (paths.judges > 0), *["critique"] * paths.advises],
            row=_MCTS,
            further=ZERO_UP,
            judges=Limit(0.0, MOST_SAMPLES),
        ),
        "plan": part(Plan, row={**_CHAINS, "step": "solution"}, check=_asking),
        "rounds": part(Rounds, row={**_TREE, "strategy": "beam search"}, check=_asking, temperature=ZERO_UP),
        "until_decided": part(
            UntilDecided,
            row={**_CHAINS, "family": "sampling"},
            check=_whole,
            block=SAMPLES,
            confidence=PORTION,
        ),
    },
    Expander: {
        "sampler": part(Sampler, check=_sampler, n=SAMPLES, temperature=ZERO_UP, heating=ZERO_UP),
    },
    Formula: {
        "puct": part(Puct, c=ZERO_UP, base=POSITIVE, shift=ZERO_UP),
        "uct": part(Uct, c=ZERO_UP),
    },
    Judge: {
        "path_scores": part(PathScores, constant=("grows",)),
        "rollouts": part(Rollouts, constant=("grows",)),
        "values": part(Values, asks=lambda judge: ("value",), constant=("grows",), n=SAMPLES),
        "votes": part(Votes, asks=lambda judge: ("vote",), constant=("grows",), n=SAMPLES),
    },
    Keeper: {
        "best": part(Best, check=_best, beams=SAMPLES, width=SAMPLES),
        "best_of_each": part(BestOfEach, subtrees=SAMPLES, width=SAMPLES),
        "breadth": part(Breadth, n=SAMPLES),
    },
    Followup: {
        "reflect": part(Reflect, asks=lambda followup: ("reflect",)),
        "roll_out": part(RollOut, n=SAMPLES, steps=ZERO_UP, temperature=ZERO_UP),
    },
    Script: {
        "refinement": part(
            Refinement,
            logs=(Operator.REFINE,),
            asks=lambda script: ("critique",),
            constant=("stride",),
            temperature=ZERO_UP,
        ),
        "revisions": part(Revisions, logs=(Operator.REFINE,), constant=("stride",), temperature=ZERO_UP),
        "stepwise": part(Stepwise, stride=SAMPLES, temperature=ZERO_UP),
    },
    EvaluationRule: {
        "first_known": part(FirstKnown),
    },
    Backup: {
        "leaf": part(LeafBackup),
        "mean": part(MeanBackup),
        "weighted": part(WeightedBackup, gamma=PORTION, lr=PORTION, alpha=PORTION),
    },
    Finalizer: {
        "best": part(BestSolution),
        "hierarchy": part(Hierarchy),
        "highest_value": part(HighestValue),
        "joint": part(JointSolution),
        "kept": part(Kept, check=_only_with(Plan, "plan")),
        "last_candidates": part(LastCandidates, check=_only_with(Rounds, "rounds")),
        "newest": part(Newest),
        "path": part(PathSolution),
        "survivors": part(Survivors, check=_only_with(Particles, "particles")),
        "vote": part(Vote),
    },
}
"""By the protocol that a part keeps."""

PLAIN: dict[Any, Part] = {
    Stop: part(Stop, score=SHARE),
}
"""Other dataclasses that fields take, where they have bounds."""

SEARCH = part(TreeSearch, constant=("name",))
"""What a composition's body says."""


def entry_of(make: type[Any]) -> Part:
    """Return the entry of a dataclass; one that is in no list has no bounds."""
    listed = [entry for parts in PARTS.values() for entry in parts.values() if entry.make is make]
    return listed[0] if listed else PLAIN.get(make) or part(make)


def kind_word(kind: Any) -> str:
    """Return what a kind of parts is called: `EvaluationRule` is an evaluation rule."""
    name: str = kind.__name__
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
