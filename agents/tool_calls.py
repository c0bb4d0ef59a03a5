"""How a model writes a tool call: marked in its step, or as a fenced block in the language of a tool.

    Half of the clips went in May: <<calculator: 48 / 2>>
    <<sales_query: {"query": "select count(*) from customer"}>>

The mark is that of GSM8K's calculator annotations (Cobbe et al., arXiv 2110.14168) with the tool's name in it. What follows the colon is a JSON object
of arguments, or the text of a tool's one argument. A fenced block is a call where some granted tool has its language; what is inside of it is not read
for marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ..tools.base import Tool

MARK = re.compile(r"<<\s*([A-Za-z]\w{0,63})\s*:")
"""The beginning of a marked call; `1 << 2` is none."""
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)[^\n`]*\n(?P<code>.*?)^[ \t]*(?P=fence)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_LONGEST = 20_000
"""Longest argument of a marked call, in characters."""


@dataclass(frozen=True, slots=True)
class Written:
    """A call as it was written."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    text: str | None = None
    """What the tool's one argument is to be, in place of arguments by name."""
    flaw: str | None = None
    """Why it cannot be read."""


def written_calls(text: str, languages: Mapping[str, Tool]) -> Iterator[Written]:
    """Yield the calls in a step, in order; `languages` are those of fenced blocks that are calls, and of which tools."""
    at = 0
    for block in _FENCE.finditer(text):
        yield from _marked(text[at : block.start()])
        tool = languages.get(block["language"].lower())
        if tool is not None:
            yield Written(tool.name, text=block["code"])
        at = block.end()
    yield from _marked(text[at:])


def _marked(text: str) -> Iterator[Written]:
    at = 0
    while (found := MARK.search(text, at)) is not None:
        name, rest = found[1], text[found.end() :]
        if rest.lstrip().startswith("{"):
            call, length = _with_json(name, rest)
        else:
            inside, mark, _ = rest.partition(">>")
            call, length = Written(name, text=inside.strip()), len(inside)
            if not mark or len(inside) > _LONGEST:
                call = Written(name, flaw=f"the call of {name} has no end; close it with >> on the same line")
        yield call
        at = found.end() + length


def _with_json(name: str, rest: str) -> tuple[Written, int]:
    """Return a call with arguments by name, and how much of the text it takes."""
    start = len(rest) - len(rest.lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(rest, start)
    except (ValueError, RecursionError) as error:
        inside = rest.partition(">>")[0]
        what = str(error) if isinstance(error, ValueError) else "nested too deeply"
        return Written(name, flaw=f"the arguments of {name} are no JSON object: {what}"), len(inside)
    if not rest[end:].lstrip().startswith(">>"):
        return Written(name, flaw=f"the call of {name} does not end with >> after its arguments"), end
    return Written(name, arguments=cast("dict[str, Any]", value)), end
