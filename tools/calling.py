"""How any tool is called: arguments checked, so many at once, so long, and whatever it does wrong is a message that an agent can read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from ..graph.errors import OutcomeUnknownError, ThoughtGraphError, ToolError
from .base import Call, Tool, ToolReply

_MESSAGE = 2_000
"""Longest error message that an agent is shown, in characters."""

Gates = dict[tuple[str, int], asyncio.Semaphore]

_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gates] = WeakKeyDictionary()
"""What lets calls of a tool through, by its identity and limit: all searches of an event loop share it."""


_validators: WeakKeyDictionary[Tool, Any] = WeakKeyDictionary()


def check_arguments(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the tool's schema does not allow.

    Raises:
        ToolError: naming the argument and what is wrong with it.
    """
    validator = _validator(tool)
    given = dict(arguments)
    if not validator.is_valid(given):
        from jsonschema import exceptions

        untyped: Any = exceptions
        found: Any = untyped.best_match(validator.iter_errors(given))
        place = ".".join(str(part) for part in found.absolute_path)
        where = f"its argument {place!r}" if place else "its arguments"
        raise ToolError(f"{tool.name} cannot take {where}: {shortened(found.message, 300)}")


async def call_tool(tool: Tool, call: Call) -> ToolReply:
    """Call a tool once; its arguments have been checked.

    The time limit begins when the call does, not while it waits for others of the same tool.

    Raises:
        ToolError: if it could not be done, for whatever reason; the message is what the agent reads.
        OutcomeUnknownError: if it was stopped at its time limit, so that nobody knows how far it came.
    """
    async with _gate(tool):
        try:
            async with asyncio.timeout(tool.seconds):
                reply = await tool.run(call)
        except TimeoutError:
            raise OutcomeUnknownError(
                f"{tool.name} did not answer within {tool.seconds:g} s and was stopped"
            ) from None
        except OutcomeUnknownError:
            raise
        except ToolError as error:
            raise ToolError(shortened(str(error), _MESSAGE)) from error
        except ThoughtGraphError as error:  # what an operator should mend; the search goes on without it
            raise ToolError(f"{tool.name} failed: {shortened(str(error), _MESSAGE)}") from error
        except (
            Exception
        ) as error:  # a tool of the user's may raise anything; an agent reads it, nothing crashes
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            raise ToolError(f"{tool.name} failed: {shortened(said, _MESSAGE)}") from error
    return ToolReply(shortened(reply.text, tool.max_reply), reply.ok)


async def close_tools(tools: Iterable[Tool]) -> None:
    """Let go of what tools hold; what goes wrong then is logged, for their work is done."""
    for tool in tools:
        if tool.close is not None:
            try:
                await tool.close()
            except Exception:  # whatever a tool of the user's raises
                logging.getLogger(__name__).warning(
                    "the tool %s could not be closed", tool.name, exc_info=True
                )


def shortened(text: str, limit: int) -> str:
    """Return a text, or its beginning with a mark that says how much is left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut off here: {len(text) - limit} of {len(text)} characters left out]"


def _validator(tool: Tool) -> Any:
    if tool not in _validators:
        from jsonschema import Draft202012Validator  # imported here: importing this module must stay cheap
        from referencing import Registry

        # an empty registry, so that a schema that refers to another document has nothing fetched
        _validators[tool] = Draft202012Validator(dict(tool.parameters), registry=Registry())
    return _validators[tool]


def _gate(tool: Tool) -> asyncio.Semaphore:
    gates = _gates.setdefault(asyncio.get_running_loop(), {})
    return gates.setdefault((tool.identity, tool.parallel), asyncio.Semaphore(tool.parallel))
