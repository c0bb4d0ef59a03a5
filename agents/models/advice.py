"""What a shipped model recommends for a search with it: chosen on validation data, kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
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
    policy_table: str | None
    """Text of the table that says which scheme to use for which difficulty; None if none was learned."""


def builtin_advice(spec: str) -> Advice | None:
    """Return what the model of a spec recommends; None for any that is not shipped."""
    prefix, _, name = spec.partition("?")[0].partition(":")
    folder = files("thoughtgraph.agents").joinpath("builtin", name)
    if prefix != "builtin" or not folder.joinpath("search.json").is_file():
        return None
    return read_advice(folder)


def read_advice(folder: Traversable) -> Advice:
    """Return what `search.json` in a model's folder recommends, with the policy table beside it, once one was learned."""
    values: dict[str, Any] = json.loads(folder.joinpath("search.json").read_text(encoding="utf-8"))
    table = folder.joinpath(values["policy_table"]) if "policy_table" in values else None
    return Advice(
        values["min_p"],
        values["step_tokens"],
        values["unique"],
        values["schemes"],
        values.get("agents", {}),
        table.read_text(encoding="utf-8") if table is not None and table.is_file() else None,
    )
