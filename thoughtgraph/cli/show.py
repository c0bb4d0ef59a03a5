"""`thoughtgraph show` and `runs`: what is recorded."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .codes import ExitCode
from .failures import failure_notes
from .options import AsJson, Db, option
from .output import columns, line, only_data, remedy, short, tell, usage_line
from .stores import opened

if TYPE_CHECKING:
    from ..graph.ledger import RunSpec
    from ..graph.view import ReasoningGraph
    from ..storage.read import RunSummary, UnitSummary
    from ..storage.store import SqlStore

Format = Literal["tree", "mermaid", "json"]


def show(
    run: Annotated[
        str | None,
        typer.Argument(help="Id of the run, or the beginning of it.", show_default="the newest run"),
    ] = None,
    problem: Annotated[
        str | None, option("--problem", help="Id of one of its problems, or the beginning of it.")
    ] = None,
    form: Annotated[Format, option("--format", "-f", help="How to draw it.")] = "tree",
    limit: Annotated[
        int, option("--max", "-n", help="Thoughts drawn, or problems listed, at most.", min=1)
    ] = 60,
    db: Db = None,
) -> int:
    """Show the tree of a search, or the problems of a run."""
    from ..storage.read import latest_run, list_units, resolve_problem, resolve_run, run_spec

    with opened(db, existing=True) as store:
        base = store.database
        spec = latest_run(base) if run is None else run_spec(base, resolve_run(base, run))
        units = list_units(base, spec.id)
        chosen = None if problem is None else resolve_problem(base, spec.id, problem)
        if chosen is None and len(units) != 1:
            _list_units(store, spec, units, form, limit, db)
            return ExitCode.OK
        unit = units[0] if chosen is None else next(u for u in units if u.problem.id == chosen)
        _draw(store, spec, unit, form, limit)
    return ExitCode.OK


def runs(
    limit: Annotated[int, option("--limit", "-n", help="Runs listed at most.", min=1)] = 20,
    db: Db = None,
    as_json: AsJson = False,
) -> int:
    """List the recorded runs, newest first."""
    from ..storage.read import list_runs

    with only_data(as_json) as emit, opened(db, existing=True) as store:
        rows = list_runs(store.database, limit)
        if as_json:
            emit([_run_record(row) for row in rows])
            return ExitCode.OK
    header = ("run", "started", "task", "scheme", "model", "problems", "done", "solved", "failed")
    table = [
        (
            row.spec.id,
            row.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
            row.spec.task,
            row.spec.scheme,
            row.spec.settings.get("model"),
            row.units,
            row.done,
            row.solved,
            row.failed,
        )
        for row in rows
    ]
    print(columns(table, header) if rows else "no runs yet; start one with: thoughtgraph solve")
    return ExitCode.OK


def _draw(store: SqlStore, spec: RunSpec, unit: UnitSummary, form: Format, limit: int) -> None:
    from ..api import read_graph

    graph = read_graph(store, spec.id, unit.problem.id)
    if form == "json":
        reasoning = _reasoning(store, spec.id, unit.problem.id)
        print(json.dumps(graph.to_json() | {"reasoning": reasoning}, allow_nan=False))
    elif form == "mermaid":
        print(graph.to_mermaid(limit))
    else:
        print(_headline(spec, unit))
        _print_tree(graph, limit)
        for note in failure_notes(store, spec.id, unit.problem.id):
            print(note)


def _reasoning(store: SqlStore, run: str, problem: str) -> dict[str, list[str | None]]:
    """Return what models thought before they answered, by model call: one text a sample in their order, None of one that told no thoughts."""
    from ..agents.models.codec import generation_from_json
    from ..storage.read import unit_model_calls

    found: dict[str, list[str | None]] = {}
    for call in unit_model_calls(store.database, run, problem):
        if call.kind == "generate" and call.error is None:
            told = [sample.reasoning for sample in generation_from_json(call.response).samples]
            if any(told):
                found[call.id] = told
    return found


def _print_tree(graph: ReasoningGraph, limit: int) -> None:
    if not sys.stdout.isatty():
        print(graph.to_text(limit, width=max(40, shutil.get_terminal_size((100, 24)).columns)))
        return
    from rich.console import Console

    Console().print(graph.to_rich(limit))


def _list_units(
    store: SqlStore, spec: RunSpec, units: list[UnitSummary], form: Format, limit: int, db: str | None
) -> None:
    if form == "json":
        print(json.dumps([_unit_record(unit) for unit in units], allow_nan=False))
        return
    header = ("problem", "question", "status", "answer", "tokens")
    table = [
        (
            short(unit.problem.id, 20),
            short(unit.problem.question, 40),
            _status(unit),
            short(unit.result.answer, 40) if unit.result and unit.result.answer is not None else None,
            unit.result.usage.completion_tokens if unit.result else None,
        )
        for unit in units[:limit]
    ]
    print(columns(table, header))
    for note in failure_notes(store, spec.id):
        print(note)
    if len(units) > limit:
        tell(f"… and {len(units) - limit} more; list them with --max {len(units)}")
    tell(f"see one: {remedy('show', spec.id, '--problem', 'PROBLEM', db=db)}")


def _headline(spec: RunSpec, unit: UnitSummary) -> str:
    words = [f"run {spec.id}", spec.task, spec.scheme, str(spec.settings.get("model", "")), _status(unit)]
    if unit.result is not None:
        words.append(usage_line(unit.result.usage))
    return line(" · ".join(word for word in words if word))


def _status(unit: UnitSummary) -> str:
    """Return where a unit stands: how it ended and was graded, why it failed, or that it is not done."""
    if unit.result is None:
        return unit.status
    if unit.result.status == "failed":
        return short(unit.result.stopped, 60)
    if unit.result.answer is None or unit.correct is None:
        return unit.result.status
    return "solved" if unit.correct else "unsolved"


def _unit_record(unit: UnitSummary) -> dict[str, Any]:
    result = unit.result
    return {
        "problem": unit.problem.id,
        "question": unit.problem.question,
        "status": unit.status,
        "result": None if result is None else result.status,
        "correct": unit.correct,
        "answer": None if result is None else result.answer,
        "score": None if result is None else result.score,
        "stopped": None if result is None else result.stopped,
        "usage": None if result is None else result.usage.as_dict(),
    }


def _run_record(row: RunSummary) -> dict[str, Any]:
    return {
        "run": row.spec.id,
        "created_at": row.created_at.isoformat(),
        "task": row.spec.task,
        "scheme": row.spec.scheme,
        "settings": dict(row.spec.settings),
        "problems": row.units,
        "pending": row.pending,
        "leased": row.leased,
        "done": row.done,
        "failed": row.failed,
        "solved": row.solved,
    }
