"""The agents of one search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .protocols import Critic, Evaluator, Generator, ToolUser, Verifier


@dataclass(frozen=True, slots=True)
class Team:
    """Who acts in a search. Only the generator is a must; a machine skips the nodes of the others where there are none."""

    generator: Generator
    tool_users: tuple[ToolUser, ...] = ()
    verifiers: tuple[Verifier, ...] = ()
    critics: tuple[Critic, ...] = ()
    others: Mapping[str, Generator] = field(default_factory=dict[str, Generator])
    """Further generators, by the name a request asks for them: a second model, the arms of a bandit."""
    evaluators: Mapping[str, Evaluator] = field(default_factory=dict[str, Evaluator])
    """Who answers a strategy's evaluation requests, by action."""
