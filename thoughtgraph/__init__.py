"""ThoughtGraph: multi-agent reasoning by search over thoughts, on LangGraph, with every thought in SQL.

    >>> from thoughtgraph import solve
    >>> result = solve("4 5 6 10")         # doctest: +SKIP
    >>> result.answer                      # doctest: +SKIP
    '(10 - 4) * 5 - 6'

The names here are the public API; everything else is loaded when it is first asked for, so importing this package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents.models.latency import LatencyModel
    from .agents.models.scripted import ScriptedModel
    from .api import Result, asolve, build_machine, solve
    from .graph.errors import ThoughtGraphError
    from .graph.records import Budget, Usage

__version__ = "0.1.0"

_HOMES = {
    "Budget": "graph.records",
    "LatencyModel": "agents.models.latency",
    "Result": "api",
    "ScriptedModel": "agents.models.scripted",
    "ThoughtGraphError": "graph.errors",
    "Usage": "graph.records",
    "asolve": "api",
    "build_machine": "api",
    "solve": "api",
}

__all__ = [
    "Budget",
    "LatencyModel",
    "Result",
    "ScriptedModel",
    "ThoughtGraphError",
    "Usage",
    "__version__",
    "asolve",
    "build_machine",
    "solve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
