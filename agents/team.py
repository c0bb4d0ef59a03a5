"""The agents of one search."""

from __future__ import annotations

from dataclasses import dataclass

from .protocols import Critic, Generator, ToolUser, Verifier


@dataclass(frozen=True, slots=True)
class Team:
    """Who acts in a search. Only the generator is a must; a machine skips the nodes of the others where there are none."""

    generator: Generator
    tool_users: tuple[ToolUser, ...] = ()
    verifiers: tuple[Verifier, ...] = ()
    critics: tuple[Critic, ...] = ()
