"""`thoughtgraph solve`: search for the answer to one question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..graph.errors import ThoughtGraphError
from .codes import ExitCode
from .driving import Place, drive, notes
from .failures import failure_record
from .options import DEFAULTS, SearchOptions, TaskName, with_search_options
from .output import line, only_data, usage_line
from .progress import Spinner, choose
from .spending import no_room
from .stores import opened

if TYPE_CHECKING:
    from ..api import Result
    from ..graph.records import Problem
    from ..storage.store import SqlStore
    from ..tasks.settings import Settings

CODES = {
    "solved": ExitCode.OK,
    "answered": ExitCode.OK,
    "unsolved": ExitCode.UNSOLVED,
    "no_answer": ExitCode.UNSOLVED,
    "failed": ExitCode.FAILED,
    "interrupted": ExitCode.INTERRUPTED,
}

WORDS = {
    "solved": "solved",
    "answered": "answered (nothing here can tell whether it is right)",
    "unsolved": "not solved: this answer is wrong",
    "no_answer": "no answer found",
}


@with_search_options
def solve(
    search: SearchOptions,
    question: Annotated[
        str, typer.Argument(help='Such as "4 5 6 10", whose target is 24.', show_default=False)
    ],
    task: TaskName = DEFAULTS.task,
) -> int:
    """Search for the answer to one question."""
    from ..api import configure
    from ..tasks.registry import task_of

    with only_data(search.as_json) as emit:
        settings, _ = configure(search.chosen(task))
        problem = task_of(settings).problem(question)
        with opened(search.db) as store:
            result, place = _search(store, search, settings, problem)
            if search.as_json:
                emit(_record(result) | {"failures": failure_record(store, place.run)})
            if result.status == "failed":
                again = (
                    ""
                    if "--retry-failed" in result.stopped
                    else f"; try again: {place.resume} --retry-failed"
                )
                raise ThoughtGraphError(f"the search {result.stopped}{again}")
            if not search.as_json and result.status != "interrupted":
                _draw(result, place, settings)
        return CODES[result.status]


def _search(
    store: SqlStore, search: SearchOptions, settings: Settings, problem: Problem
) -> tuple[Result, Place]:
    from ..tasks.base import Item
    from ..tasks.runs import new_run_id, start

    place = Place(store, new_run_id(), search.db)
    board = choose(Spinner, hidden=search.quiet or search.as_json)
    drive(
        place,
        lambda watch: start(store, settings, [Item(problem)], run=place.run, parallel=1, watch=watch),
        board,
    )
    return _result(store, place.run, problem), place


def _result(store: SqlStore, run: str, problem: Problem) -> Result:
    """Read how it ended, also where it failed or was interrupted."""
    from ..api import Result, read_graph, read_result
    from ..storage.read import list_units, unit_usage

    ended = list_units(store.database, run)[0].result
    if ended is not None and ended.status != "failed":
        return read_result(store, run, problem.id)
    graph = read_graph(store, run, problem.id)
    if ended is None:
        usage = unit_usage(store.database, run, problem.id)
        return Result(run, problem.question, "interrupted", None, None, "interrupted", usage, graph)
    return Result(run, problem.question, "failed", None, None, ended.stopped, ended.usage, graph)


def _record(result: Result) -> dict[str, Any]:
    return {
        "run": result.run,
        "question": result.question,
        "status": result.status,
        "answer": result.answer,
        "score": result.score,
        "stopped": result.stopped,
        "steps": [
            {"text": text, "score": score} for text, score in zip(result.path, result.scores, strict=True)
        ],
        "usage": result.usage.as_dict(),
    }


def _draw(result: Result, place: Place, settings: Settings) -> None:
    if result.answer is not None:
        print(line(result.answer))
    print(WORDS[result.status] + _reason(result, settings))
    steps = zip(result.path, result.scores, strict=True) if result.answer is not None else ()
    for number, (text, score) in enumerate(steps, start=1):
        print(f"  {number}. {line(text)}" + ("" if score is None else f"   {score:.2f}"))
    print(usage_line(result.usage))
    for note in notes(place):
        print(note)
    print(f"see the tree: {place.show}")


def _reason(result: Result, settings: Settings) -> str:
    """Return why a search without a right answer stopped."""
    if result.status not in ("unsolved", "no_answer") or no_room(result.stopped, result.usage):
        return ""
    kind, _, limit = result.stopped.partition(":")
    if kind == "budget":
        when = " before" if result.status == "no_answer" else ", and"
        return f"{when} the budget of {limit.replace('_', ' ')} ran out; a larger one may help: --budget {limit}=…"
    return f"; the scheme has searched all it wanted{_instead(settings)}"


def _instead(settings: Settings) -> str:
    """Return what may find more than a search that found nothing: another seed does not where the likeliest text is taken."""
    from ..graph.schemes import get_scheme
    from ..graph.schemes.parameters import read_parameters

    scheme = get_scheme(settings.scheme)
    own = read_parameters(scheme.name, scheme.parameters, settings.params).get("temperature")
    heat = settings.temperature if own is None else own
    if heat != 0.0:
        return "; try another --seed or --scheme"
    warmer = "--temperature 0.7" if own is None else "--param temperature=0.7"
    return f" at temperature 0; try another --scheme, or {warmer}"
