"""What a run did with its budget, in a line, where the figures alone would puzzle: there was no room for a call, or most of it is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .output import figure

if TYPE_CHECKING:
    from ..graph.ledger import UnitResult
    from ..graph.records import Budget, Usage
    from ..graph.strategies.evaluation import Stop
    from ..storage.store import SqlStore
    from ..tasks.settings import Settings


def budget_note(store: SqlStore, run: str) -> str:
    """Return why the searches of a run paid little or nothing, and with what they would pay more; "" where there is nothing to say."""
    from ..storage.read import list_units
    from ..tasks.settings import Settings

    settings = Settings.from_json(store.run(run).settings)
    units = [(unit.result, unit.correct is True) for unit in list_units(store.database, run)]
    ended = [(result, solved) for result, solved in units if result and result.status != "failed"]
    refused = [result.stopped for result, _ in ended if no_room(result.stopped, result.usage)]
    if ended and len(refused) == len(ended):
        return _refused(settings, refused[0].removeprefix("budget:"))
    return _unspent(settings, ended)


def no_room(stopped: str, usage: Usage) -> bool:
    """Return whether a search ended because not one model call fitted into its budget."""
    return stopped.startswith("budget:") and not usage.model_calls


def _refused(settings: Settings, limit: str) -> str:
    from ..tasks.registry import task_of

    bound = ""
    if limit == "tokens":
        domain = task_of(settings).domain
        step = settings.step_tokens or domain.step_tokens
        bound = f": a step may take {step:,} tokens, a solution {step * domain.max_steps:,}"
    value = settings.budget.as_dict()[limit]
    return f"--budget {limit}={value} has no room for one model call{bound}; give more"


def _unspent(settings: Settings, ended: Sequence[tuple[UnitResult, bool]]) -> str:
    from ..graph.schemes import get_scheme
    from ..graph.schemes.parameters import read_parameters

    scheme = get_scheme(settings.scheme)
    values = read_parameters(scheme.name, scheme.parameters, settings.params)
    more = " ".join(f"-p {name}={value}" for name, value in scheme.fill.items() if values[name] != value)
    stop = _stop(settings)
    left = [
        result
        for result, solved in ended
        if result.stopped == "finished"
        and _nearest(settings.budget, result.usage)[0] < 0.5
        and not _found(stop, result, solved)
    ]
    if not (left and more):
        return ""
    if len(ended) > 1:
        used = f"{len(left)} of {len(ended)} searches used less than half of their budget"
    else:
        used = f"used {_nearest(settings.budget, left[0].usage)[1]}"
    return f"{used}: {scheme.name} was done; it goes on with {more}"


def _nearest(budget: Budget, usage: Usage) -> tuple[float, str]:
    """Return the share that was paid of the limit that is nearest to being reached, and both in words."""
    paid = usage.as_dict()
    paid["tokens"] = usage.completion_tokens
    share, name, limit = max((paid[name] / limit, name, limit) for name, limit in budget.as_dict().items())
    return share, f"{figure(paid[name])} of {figure(limit)} {name.replace('_', ' ')}"


def _stop(settings: Settings) -> Stop:
    """Return what ends the scheme's searches early."""
    from ..graph.schemes import make_strategy
    from ..graph.strategies.evaluation import Stop
    from ..graph.strategies.search import TreeSearch

    strategy = make_strategy(settings.scheme, settings.params, settings.seed)
    return strategy.stop if isinstance(strategy, TreeSearch) else Stop(None)


def _found(stop: Stop, result: UnitResult, solved: bool) -> bool:
    """Return whether a search ended because it had found what it looks for: more of a scheme would end it there too.

    A vote's score is a share and says nothing of the winner's checks; what was graded right has passed them.
    """
    if stop.score is None or result.answer is None:
        return False
    return solved or (result.score is not None and result.score >= stop.score)
