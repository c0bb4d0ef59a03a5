"""A reasoning graph as JSON values.

The schema, version 1; every key is always present, and the order of keys and rows is fixed:

    format       "thoughtgraph/graph"
    version      1
    problem      {id, task, question}
    answer       text or null
    best         id of the answer's thought, or null
    thoughts     [every field of `records.Thought`, …] in order of creation, parents before children
    evaluations  {id of the thought: [every field of `records.Evaluation` but `thought`, …]}, oldest first
    tool_calls   {id of the thought: [every field of `ledger.ToolCall` but `thought`, …]}, in the order of the thought's calls
    visits       {id of the thought: count}

`thoughtgraph show --format json` adds a key, which readers of a graph pass over; a thought names its call:

    reasoning    {id of the model call: [what the model thought before its answer, or null, a sample, …]}, of calls with thoughts only

Numbers are finite: values lie in [0, 1] and log-probabilities are checked when the graph is made.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from .errors import UserError
from .ledger import ToolCall
from .records import Evaluation, Operator, Problem, Thought

if TYPE_CHECKING:
    from .view import ReasoningGraph

FORMAT = "thoughtgraph/graph"
VERSION = 1

Record = TypeVar("Record", Problem, Thought, Evaluation, ToolCall)
_Test = Callable[[Any], bool]


def fields_to_json(graph: ReasoningGraph) -> dict[str, Any]:
    """Return a graph as JSON values of the schema above."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "problem": _row(graph.problem),
        "answer": graph.answer,
        "best": graph.best,
        "thoughts": [_row(thought) for thought in graph.thoughts.values()],
        "evaluations": {
            thought: [_row(e, without="thought") for e in evaluations]
            for thought, evaluations in graph.evaluations.items()
        },
        "tool_calls": {
            thought: [_row(call, without="thought") for call in calls]
            for thought, calls in graph.tool_calls.items()
        },
        "visits": dict(graph.visits),
    }


def fields_from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a graph from JSON values of the schema above.

    Raises:
        UserError: if the data is of another format or version, or a field is missing, unknown or of a wrong type.
    """
    found = (data.get("format"), data.get("version"))
    if found != (FORMAT, VERSION):
        raise UserError(f"not a graph of format {FORMAT!r} version {VERSION} but {found!r}; export it again")
    thoughts = [_record(Thought, row, "thoughts") for row in _array(data, "thoughts")]
    twice = [thought for thought, count in Counter(t.id for t in thoughts).items() if count > 1]
    if twice:
        raise UserError(f"the graph has a thought twice: {twice[0]!r}; export it again")
    return {
        "problem": _record(Problem, data.get("problem"), "problem"),
        "thoughts": {thought.id: thought for thought in thoughts},
        "evaluations": {
            thought: tuple(_record(Evaluation, row, "evaluations", thought=thought) for row in _rows(rows))
            for thought, rows in _object(data, "evaluations").items()
        },
        "tool_calls": {
            thought: tuple(_record(ToolCall, row, "tool_calls", thought=thought) for row in _rows(rows))
            for thought, rows in _object(data, "tool_calls").items()
        },
        "answer": _text(data, "answer"),
        "best": _text(data, "best"),
        "visits": {thought: _count(count) for thought, count in _object(data, "visits").items()},
    }


def _row(record: Problem | Thought | Evaluation | ToolCall, without: str = "") -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(record) if field.name != without)
    return {name: _json_value(getattr(record, name)) for name in names}


def _json_value(value: Any) -> Any:
    if isinstance(value, Operator):
        return value.value
    return list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value


def _record(cls: type[Record], row: Any, where: str, **given: str) -> Record:
    if not isinstance(row, Mapping):
        raise UserError(f"a row of {where!r} is {row!r:.40}, not an object; export the graph again")
    values: dict[str, Any] = {**cast(Mapping[str, Any], row), **given}
    tests = _tests(cls)
    if values.keys() != tests.keys():
        odd = ", ".join(sorted(map(str, values.keys() ^ tests.keys())))
        raise UserError(f"a row of {where!r} lacks, or has in excess: {odd}; export the graph again")
    for name, test in tests.items():
        if not test(values[name]):
            raise UserError(f"a row of {where!r} has {name} = {values[name]!r:.40}; export the graph again")
    if cls is Thought:
        values |= {"parents": tuple(values["parents"]), "operator": Operator(values["operator"])}
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(f"a row of {where!r} is not valid: {error}") from error


@cache
def _tests(cls: type[Any]) -> dict[str, _Test]:
    """Return, by field name, whether a JSON value can be that field's."""
    hints = typing.get_type_hints(cls)
    return {field.name: _test(hints[field.name]) for field in dataclasses.fields(cls)}


def _test(hint: Any) -> _Test:
    if isinstance(hint, types.UnionType):
        options = [_test(option) for option in hint.__args__]
        return lambda value: any(option(value) for option in options)
    if typing.get_origin(hint) is Literal:
        return lambda value: value in typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return lambda value: (
            isinstance(value, list) and all(isinstance(part, str) for part in cast("list[Any]", value))
        )
    if typing.get_origin(hint) is Mapping:
        return lambda value: isinstance(value, dict)
    if hint is Operator:
        return lambda value: isinstance(value, str) and value in set(Operator)
    if hint is float:
        return lambda value: isinstance(value, float | int) and not isinstance(value, bool)
    return lambda value: type(value) is hint


def _array(data: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(data.get(name), list):
        raise UserError(f"{name!r} is missing or not an array; export the graph again")
    return data[name]


def _rows(rows: Any) -> list[Any]:
    return _array({"evaluations": rows}, "evaluations")


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(data.get(name), Mapping):
        raise UserError(f"{name!r} is missing or not an object; export the graph again")
    return data[name]


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name, 0)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{name!r} is missing or not a text; export the graph again")
    return value


def _count(value: Any) -> int:
    if type(value) is not int:
        raise UserError(f"a row of 'visits' is {value!r:.40}, not a whole number; export the graph again")
    return value
