"""What a shipped model recommends for a search with it: chosen on validation data, kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Advice:
    """Recommended settings; the user's own go before them."""

    min_p: float
    """See `Sampling.min_p`."""
    step_tokens: int
    """Tokens that no step of it exceeds."""
    unique: bool
    """Whether it draws next steps without replacement."""
    schemes: Mapping[str, Mapping[str, Any]]
    """Parameters by scheme."""
    agents: Mapping[str, Mapping[str, str]]
    """Specs of further models by role, by scheme."""


def builtin_advice(spec: str) -> Advice | None:
    """Return what the model of a spec recommends; None for any that is not shipped."""
    prefix, _, name = spec.partition(":")
    path = files("thoughtgraph.agents").joinpath("builtin", name, "search.json")
    if prefix != "builtin" or not path.is_file():
        return None
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Advice(
        values["min_p"], values["step_tokens"], values["unique"], values["schemes"], values.get("agents", {})
    )
