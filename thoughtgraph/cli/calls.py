"""`thoughtgraph calls`, `decide` and `tools`: what tools did in a run, what a person says of a call nobody knows the end of, and which tools there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..graph.errors import UserError
from .codes import ExitCode
from .options import AsJson, Db, option
from .output import columns, line, only_data, short
from .stores import opened

if TYPE_CHECKING:
    from ..storage.undecided import Undecided

RunId = Annotated[str, typer.Argument(help="Id of the run, or the beginning of it.", show_default=False)]


def calls(run: RunId, db: Db = None, as_json: AsJson = False) -> int:
    """List the tool calls of a run, and those whose outcome nobody knows.

    Those may not be made twice and were interrupted; `decide` says how they ended.
    """
    from ..storage.read import list_units, resolve_run, unit_tool_calls
    from ..storage.undecided import undecided_calls

    with only_data(as_json) as emit, opened(db, existing=True) as store:
        name = resolve_run(store.database, run)
        unknown = undecided_calls(store.database, name)
        made = [
            (unit.problem.id, call)
            for unit in list_units(store.database, name)
            for call in unit_tool_calls(store.database, name, unit.problem.id)
        ]
        if as_json:
            known = [{"problem": problem, **_fields(call)} for problem, call in made]
            emit({"calls": known, "unknown": [_record(call) for call in unknown]})
            return ExitCode.OK
    rows = [
        (
            short(problem, 12),
            call.tool,
            short(_shown(call.arguments), 44),
            short(call.reply, 56),
            f"{call.seconds:.2f}",
            call.origin,
        )
        for problem, call in made
    ]
    print(
        columns(rows, ("problem", "tool", "arguments", "said", "s", "origin"))
        if rows
        else "no tool was called"
    )
    for call in unknown:
        print(f"unknown outcome: {call.id[:12]} {call.tool} {line(_shown(call.arguments))}")
    if unknown:
        print(
            f"say how they ended: thoughtgraph decide {name} CALL --result TEXT, --error TEXT, or --again if nothing happened"
        )
    return ExitCode.OK


def decide(
    run: RunId,
    call: Annotated[str, typer.Argument(help="Id of the call, or the beginning of it.", show_default=False)],
    result: Annotated[
        str | None, option("--result", help="It was done, and this is what the tool answered.")
    ] = None,
    error: Annotated[
        str | None, option("--error", help="It failed, and this is what the agent reads.")
    ] = None,
    again: Annotated[bool, option("--again", help="Nothing happened: it is to be made again.")] = False,
    db: Db = None,
) -> int:
    """Say how a tool call ended that may not be made twice and was interrupted; `resume --retry-failed` goes on from there."""
    from ..storage.read import resolve_run
    from ..storage.undecided import decide as record
    from ..storage.undecided import resolve_undecided

    if [result is not None, error is not None, again].count(True) != 1:
        raise UserError("say one of --result TEXT, --error TEXT and --again")
    with opened(db, existing=True) as store:
        name = resolve_run(store.database, run)
        found = resolve_undecided(store.database, name, call)
        record(store.database, found, result=result, error=error)
    print(f"recorded; go on with: thoughtgraph resume {name} --retry-failed")
    return ExitCode.OK


def tools(
    role_for: Annotated[
        str | None,
        option(
            "--role-for",
            metavar="DATABASE",
            help="Print the SQL that makes a role for the tool sql in a PostgreSQL database.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the tools that --tool grants, and what the sandbox of this machine is."""
    if role_for is not None:
        from ..tools.sql import read_only_role_sql

        print(read_only_role_sql(_database_of(role_for)))
        return ExitCode.OK
    from ..tools.registry import COMMON, described
    from ..tools.sandbox.boundary import report

    with only_data(as_json) as emit:
        kinds = described()
        if as_json:
            emit({"tools": kinds, "sandbox": report()})
            return ExitCode.OK
    rows = [(kind["spec"], kind["what"], ", ".join(kind["options"])) for kind in kinds]
    print(columns(rows, ("tool", "what", "options")))
    print(f"every tool: {', '.join(COMMON)}")
    print()
    for said in report():
        print(line(said))
    return ExitCode.OK


def _database_of(text: str) -> str:
    """Return the name of a database that is given by name or URL."""
    if "://" not in text:
        return text
    from sqlalchemy.engine import make_url

    name = make_url(text).database
    if not name:
        raise UserError(f"{text!r} names no database; give its name, such as --role-for sales")
    return name


def _fields(call: Any) -> dict[str, Any]:
    names = (
        "id",
        "thought",
        "tool",
        "arguments",
        "result",
        "error",
        "ok",
        "seconds",
        "usd",
        "bytes",
        "trusted",
        "asked",
        "origin",
    )
    return {name: getattr(call, name) for name in names}


def _record(call: Undecided) -> dict[str, Any]:
    return {
        "id": call.id,
        "problem": call.problem,
        "thought": call.thought,
        "tool": call.tool,
        "arguments": dict(call.arguments),
        "begun_at": call.begun_at.isoformat(),
    }


def _shown(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False)
