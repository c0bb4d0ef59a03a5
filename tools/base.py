"""What a tool is to an agent: a name, a declared effect, and one call.

Grants are configuration: an agent is built with the tools it may use, and no text it reads can give it another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Effect = Literal["pure", "idempotent", "once"]
"""What happens if a call is repeated: nothing at all, the same state, or a second effect."""


@dataclass(frozen=True, slots=True)
class ToolReply:
    """What a tool answered."""

    text: str
    ok: bool | None = None
    """For a checking tool: whether the check passed; None where nothing was checked."""


class Tool(Protocol):
    """Something an agent may use."""

    @property
    def name(self) -> str: ...

    @property
    def effect(self) -> Effect: ...

    async def call(self, arguments: Mapping[str, Any]) -> ToolReply:
        """Do it.

        Raises:
            ToolError: if it cannot be done; the message is what the agent reads.
        """
        ...
