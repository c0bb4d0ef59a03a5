"""The prompt files of this package: text with `$name` places, read once.

Files, so that they can be read, reviewed and versioned as prose; the text sent is part of each model call's address, so a changed prompt is a
different call.

    prompts/common/value.md      what is said to an agent, for any task
    prompts/math/system.md       what a family of tasks adds: its own explanation and worked examples,
    prompts/numbers/value.md     and files that it says in its own words

Every file begins with a block that says its version and is not sent:

    ---
    version: 1
    ---
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from typing import NamedTuple

from ..graph.domain import Domain
from ..graph.errors import UnknownNameError
from ..graph.ids import address
from ..tools.base import Tool
from .observing import observed_steps
from .protocols import Subject

COMMON = "common"
"""The family whose files all others share."""

_FRONT = re.compile(r"---\nversion: (\d+)\n---\n")


class _Prompt(NamedTuple):
    version: int
    text: str


def load_prompt(name: str, family: str = COMMON) -> str:
    """Return the text of a prompt file, as the family says it.

    Args:
        name: the file's name without its ending.
        family: the family of tasks, `Domain.instructions`.

    Raises:
        UnknownNameError: if there is no such family, or neither it nor `common` has a file of that name.
    """
    return _load(name, family).text


@cache
def families() -> tuple[str, ...]:
    """Return the families of tasks that have prompts."""
    return tuple(sorted(p.name for p in _root().iterdir() if p.is_dir() and p.name != COMMON))


@cache
def prompt_names(family: str) -> tuple[str, ...]:
    """Return the names of all prompts of a family, those it shares included.

    Raises:
        UnknownNameError: if there is no such family.
    """
    return tuple(sorted({*_names(COMMON), *_names(family)}))


@cache
def prompt_versions(family: str) -> str:
    """Return a name for all that is said to models of a family's tasks, such as `math-v1-5e3c09ab`, for results to carry.

    It holds the version of the family's own explanation, and a hash over the contents and versions of all its prompts.
    """
    prompts = {name: list(_load(name, family)) for name in prompt_names(family)}
    return f"{family}-v{_load('system', family).version}-{address('prompts', prompts)[:8]}"


def fill(template: str, **values: str) -> str:
    """Put values in their places; dollar signs in the values mean nothing."""
    return Template(template).substitute(values)


def show_steps(domain: Domain, steps: Sequence[str]) -> str:
    """Return steps as a prompt shows them: as the domain separates them."""
    return domain.stop.join(steps) or "(none yet)"


def show_subject(domain: Domain, subject: Subject) -> str:
    """Return the steps of a thought with what tools answered, or the attempt that it is, as a prompt shows them."""
    if subject.thought.whole:
        return subject.thought.text
    return show_steps(domain, observed_steps(subject))


def show_numbered(label: str, texts: Iterable[str]) -> str:
    """Return texts one below the other, each headed by its number."""
    return "\n\n".join(f"{label} {i}:\n{text}" for i, text in enumerate(texts, 1)) or "(none)"


def show_notes(notes: Iterable[str]) -> str:
    """Return remarks as a list."""
    return "\n".join(f"- {note}" for note in notes) or "(none)"


def with_tools(system: str, tools: Sequence[Tool], family: str) -> str:
    """Return a system prompt with how tools are called and which there are; as it is if there are none."""
    if not tools:
        return system
    listed = "\n".join(_described(tool) for tool in tools)
    blocks = ", ".join(f"```{tool.language} for {tool.name}" for tool in tools if tool.language)
    fenced = f"\nA fenced block that begins with {blocks} is a call too, with its code." if blocks else ""
    return f"{system}\n\n{fill(load_prompt('tools', family), tools=listed, fenced=fenced)}"


def _described(tool: Tool) -> str:
    """Return a line on a tool: its name, what it does, and its arguments as JSON schema."""
    schema = json.dumps(tool.parameters.get("properties", {}), ensure_ascii=False)
    what = " ".join(tool.description.split())
    return f"- {tool.name}: {what} Arguments: {schema}"


@cache
def _load(name: str, family: str) -> _Prompt:
    for folder in (family, COMMON):
        if name in _names(folder):
            text = _root().joinpath(folder, f"{name}.md").read_text(encoding="utf-8")
            front = _FRONT.match(text)
            return _Prompt(int(front[1]), text[front.end() :].strip()) if front else _Prompt(0, text.strip())
    raise UnknownNameError("prompt", name, prompt_names(family))


@cache
def _names(family: str) -> frozenset[str]:
    if family != COMMON and family not in families():
        raise UnknownNameError("prompt family", family, families())
    entries = _root().joinpath(family).iterdir()
    return frozenset(p.name.removesuffix(".md") for p in entries if p.name.endswith(".md"))


def _root() -> Traversable:
    return files(__package__ or "thoughtgraph.agents").joinpath("prompts")
