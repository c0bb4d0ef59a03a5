"""Tool users: who runs what a thought calls for.

Which tools may run is configuration. Text can only call a granted tool, with arguments that the tool itself must refuse or accept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.domain import Domain
from ..tools.base import Tool
from .protocols import Gateway, Observation, Subject


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
            await gateway.call_tool(subject.thought.id, self.tool, {"equation": equation})
            for subject in subjects
            for equation in self.domain.claims(subject.problem.question, subject.steps)
        ]


_CALL = re.compile(r"<<\s*(\w+)\s*:\s*([^<>]{1,500}?)\s*>>")


@dataclass(frozen=True, slots=True)
class MarkedCallUser:
    """Runs calls marked in a step, `<<calculator: 48 / 2>>`; what a tool answers is read by the next generation.

    The mark is that of GSM8K's calculator annotations (Cobbe et al., arXiv 2110.14168), with the tool's name in it. A call to a tool that was not
    granted is an observation with an error, and nothing runs.
    """

    tools: tuple[Tool, ...]
    argument: str = "expression"
    """Name of the one argument that the text of a call is passed as."""

    @property
    def name(self) -> str:
        """Identity."""
        return f"calls:{','.join(tool.name for tool in self.tools)}"

    async def act(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Observation]:
        """See `ToolUser.act`."""
        granted = {tool.name: tool for tool in self.tools}
        observations: list[Observation] = []
        for subject in subjects:
            for name, text in _CALL.findall(subject.thought.text):
                arguments = {self.argument: text}
                if name in granted:
                    observations.append(await gateway.call_tool(subject.thought.id, granted[name], arguments))
                else:
                    refusal = f"no tool {name!r} is granted; granted: {', '.join(granted)}"
                    observations.append(Observation(subject.thought.id, name, arguments, None, refusal))
        return observations
