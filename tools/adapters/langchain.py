"""Any LangChain tool: a `BaseTool`, a `StructuredTool`, a function under `@tool`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast
from uuid import uuid4

from ...graph.errors import ToolError, UserError
from ..base import Call, Effect, Tool, ToolReply
from .common import (
    Overrides,
    as_text,
    blocks_text,
    checked_schema,
    complaint,
    plain_arguments,
    tool_name,
    without_titles,
)

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def langchain_tool(
    tool: BaseTool,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "once",
    **overrides: Unpack[Overrides],
) -> Tool:
    """Return a LangChain tool as a tool of ours.

    A model neither sees nor can set its injected arguments (`InjectedToolArg`, `RunnableConfig`). The artifact of a reply is dropped, its content shown.
    Callbacks and tracers of the graph around the search do not hear of the calls: a search records them itself.

    A tool without a coroutine of its own runs in a thread of LangChain's, which goes on after the time limit.

    Args:
        tool: the tool, as LangChain has it.
        name: what a model calls it by; None is its own, in lower case with `_` for what a name cannot hold.
        description: what a model is told; None is its own.
        effect: what a repeated call does; unless told otherwise, a second effect.
        overrides: further fields of `Tool`.

    Raises:
        UserError: if it has no description, its schema is none, or it needs arguments that only a LangGraph agent gives.
    """
    from langchain_core.tools import BaseTool

    if not isinstance(tool, BaseTool):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise UserError(f"{tool!r} is not a LangChain tool; make one of it with @tool")
    whose = f"the LangChain tool {tool.name!r}"
    said = description or tool.description
    if not said:
        raise UserError(f"{whose} has no description, so a model could not know what it does; give it one")
    schema = checked_schema(without_titles(_schema(tool)), whose)
    _refuse_injected(tool, schema, whose)
    own = name or tool_name(tool.name)

    async def run(call: Call) -> ToolReply:
        unknown = sorted(set(call.arguments) - set(schema["properties"]))
        if unknown and schema["additionalProperties"] is False:  # an injected one must not come from a model
            raise ToolError(f"{own} has no argument {unknown[0]!r}")
        return await _invoke(tool, own, plain_arguments(call.arguments))

    return Tool(name=own, description=said, parameters=schema, run=run, effect=effect, **overrides)


async def _invoke(tool: BaseTool, name: str, arguments: dict[str, Any]) -> ToolReply:
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import ToolException
    from langsmith.run_helpers import tracing_context  # pyright: ignore[reportUnknownVariableType]
    from pydantic import ValidationError
    from pydantic.v1 import ValidationError as OldValidationError

    call: Any = {"type": "tool_call", "id": uuid4().hex, "name": tool.name, "args": arguments}
    try:
        with tracing_context(enabled=False):
            reply = await tool.ainvoke(call, {"callbacks": []})
    except ToolException as error:
        raise ToolError(str(error) or f"{name} failed") from error
    except ValidationError as error:
        raise ToolError(f"{name} cannot take its arguments: {complaint(error)}") from error
    except OldValidationError as error:
        told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ToolError(f"{name} cannot take its arguments: {'; '.join(told[:3])}") from error
    except NotImplementedError as error:
        raise ToolError(f"{name} cannot be called: {error}") from error
    if not isinstance(reply, ToolMessage):
        return ToolReply(as_text(reply))
    text = blocks_text(cast("Any", reply.content))  # pyright: ignore[reportUnknownMemberType]
    if reply.status == "error":
        raise ToolError(text or f"{name} failed")
    return ToolReply(text)


def _schema(tool: BaseTool) -> dict[str, Any]:
    found: Any = tool.tool_call_schema
    if isinstance(found, Mapping):
        schema = dict(cast("Mapping[str, Any]", found))
    elif hasattr(found, "model_json_schema"):
        schema = dict(found.model_json_schema())
    else:  # a model of pydantic 1
        schema = dict(found.schema())
    schema.pop("description", None)  # the tool's own, told elsewhere
    return schema


def _refuse_injected(tool: BaseTool, schema: Mapping[str, Any], whose: str) -> None:
    """Refuse a tool with a required argument that neither a model nor LangChain gives; raises UserError."""
    from langchain_core.tools import InjectedToolCallId

    if isinstance(tool.args_schema, Mapping):
        return
    for name, field in getattr(tool.get_input_schema(), "model_fields", {}).items():
        given = any(
            one is InjectedToolCallId or isinstance(one, InjectedToolCallId) for one in field.metadata
        )
        if field.is_required() and name not in schema["properties"] and not given:
            raise UserError(
                f"{whose} needs {name!r} from a LangGraph agent, which a search is not; give it a default, or wrap the tool in a function"
            )
    for name, parameter in inspect.signature(_called(tool)).parameters.items():
        if "ToolRuntime" in str(parameter.annotation) and parameter.default is inspect.Parameter.empty:
            raise UserError(f"{whose} needs {name!r} from a LangGraph agent; wrap what it does in a function")


def _called(tool: BaseTool) -> Any:
    return getattr(tool, "coroutine", None) or getattr(tool, "func", None) or tool._run  # pyright: ignore[reportPrivateUsage]
