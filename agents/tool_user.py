"""Tool users: who runs what a thought calls for.

Which tools may run is configuration. Text can only call a granted tool, with arguments that the tool itself must refuse or accept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.domain import Domain
from ..tools.base import Tool
from .protocols import Gateway, Observation, Subject
from .tool_calls import Written, written_calls

MAX_CALLS = 8
"""Calls of one thought that are made; further ones are refused."""


@dataclass(frozen=True, slots=True)
class EquationChecker:
    """Checks the equations that a step claims, such as `4 * 5 = 20`, with an exact calculator."""

    tool: Tool
    """Checks `{"equation": "A = B"}`."""
    domain: Domain

    @property
    def name(self) -> str:
        """Identity."""
        return f"equations:{self.tool.name}"

    async def act(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Observation]:
        """See `ToolUser.act`."""
        return [
            await gateway.call_tool(subject.thought.id, self.tool, {"equation": equation}, place=place)
            for subject in subjects
            for place, equation in enumerate(self.domain.claims(subject.problem.question, subject.steps))
        ]


@dataclass(frozen=True, slots=True)
class ToolCaller:
    """Runs the calls that a step writes (see `tool_calls`); what the tools answer is read by who goes on from there.

    Only the thought's own words are read: neither the question nor what a tool answered can call anything. Calls of one thought are made one after
    the other, those of several at once. What cannot be called is an observation with the reason, and nothing runs.
    """

    tools: tuple[Tool, ...]
    """With names of their own each."""

    @property
    def name(self) -> str:
        """Identity."""
        return f"calls:{','.join(tool.identity for tool in self.tools)}"

    def answers(self, agent: str) -> bool:
        """Return whether this agent may call any of the tools."""
        return any(tool.granted_to(agent) for tool in self.tools)

    async def act(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Observation]:
        """See `ToolUser.act`; a finished solution calls nothing more."""
        acting = [self._act(subject, gateway) for subject in subjects if not subject.thought.terminal]
        results = await asyncio.gather(*acting, return_exceptions=True)
        for result in results:  # all have ended: no call is cut off because another one failed
            if isinstance(result, BaseException):
                raise result
        return [one for result in results if not isinstance(result, BaseException) for one in result]

    async def _act(self, subject: Subject, gateway: Gateway) -> list[Observation]:
        granted = {tool.name: tool for tool in self.tools if tool.granted_to(subject.agent)}
        languages = {tool.language: tool for tool in granted.values() if tool.language}
        made: list[Observation] = []
        for place, call in enumerate(written_calls(subject.thought.text, languages)):
            made.append(await self._called(subject, call, place, granted, made, gateway))
            if place == MAX_CALLS:
                break
        return made

    async def _called(
        self,
        subject: Subject,
        call: Written,
        place: int,
        granted: dict[str, Tool],
        made: Sequence[Observation],
        gateway: Gateway,
    ) -> Observation:
        tool = granted.get(call.tool)
        why, arguments = call.flaw, call.arguments
        if place == MAX_CALLS:
            why = f"a step may call {MAX_CALLS} times; write further calls in the next step"
        elif tool is None:
            known = ", ".join(granted) or "none"
            why = f"there is no tool {call.tool!r} for you to use; yours: {known}"
        elif call.text is not None:
            arguments, why = _from_text(tool, call.text)
        if tool is None or why is not None:
            written = arguments or ({} if call.text is None else {"text": call.text})
            return gateway.refuse_call(subject.thought.id, call.tool, written, why or "", place)
        earlier = tuple(o.arguments for o in _calls_before(subject, made) if o.tool == tool.name)
        return await gateway.call_tool(subject.thought.id, tool, arguments, earlier, place, asked=True)


def _from_text(tool: Tool, text: str) -> tuple[Mapping[str, Any], str | None]:
    """Return the arguments that a plain text is, or why it can be none: the one argument of the tool, as text, or as JSON where it is no text."""
    name = tool.only_argument
    if name is not None and name == tool.text_argument:
        return {name: text}, None
    names = list(tool.parameters.get("required", ())) or list(tool.parameters.get("properties", {}))
    form = ", ".join(f'"{one}": …' for one in names)
    if name is None:
        return {}, f"{tool.name} takes its arguments by name; write <<{tool.name}: {{{form}}}>>"
    try:
        return {name: json.loads(text)}, None
    except (ValueError, RecursionError):
        return {}, f"{tool.name} cannot take {text!r:.80}; write <<{tool.name}: {{{form}}}>>"


def _calls_before(subject: Subject, made: Sequence[Observation]) -> list[Observation]:
    path = [o for thought in subject.path[:-1] for o in subject.earlier.get(thought.id, ())]
    return [*path, *made]
