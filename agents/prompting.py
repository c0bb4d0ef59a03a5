"""The prompt files of this package: text with `$name` places, read once.

Files, so that they can be read, reviewed and versioned as prose; the text sent is part of each model call's address, so a changed prompt is a
different call.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from string import Template

from ..graph.errors import UnknownNameError


@cache
def load_prompt(name: str) -> str:
    """Return the text of a prompt file.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    folder = files(__package__ or "thoughtgraph.agents").joinpath("prompts")
    path = folder.joinpath(f"{name}.md")
    if not path.is_file():
        raise UnknownNameError("prompt", name, (p.name.removesuffix(".md") for p in folder.iterdir()))
    return path.read_text(encoding="utf-8").strip()


def fill(template: str, **values: str) -> str:
    """Put values in their places; dollar signs in the values mean nothing."""
    return Template(template).substitute(values)
