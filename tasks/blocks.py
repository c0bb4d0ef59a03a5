"""Blocks that may run over several lines, and so over the string that ends a step: fenced ones, and LaTeX's.

A step that breaks off inside of one is no step yet: half a program says something else than the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})(.*)")
_LATEX = re.compile(r"\\\\|\\(begin|end)\s*\{([^{}]*)\}|\\([\[\]])")
"""A line break, which is skipped so that `\\[2pt]` opens nothing; the ends of an environment; the ends of a displayed formula."""


def in_fence(text: str) -> bool:
    """Return whether a text ends inside a block that three or more backticks or tildes fence, as CommonMark §4.5 has it; indented ones count too."""
    return _scan(text)[0]


def in_latex(text: str) -> bool:
    r"""Return whether a text ends between `\begin{x}` and its `\end{x}`, or between `\[` and `\]`, fenced blocks aside."""
    opened: list[str] = []
    for found in _LATEX.finditer("\n".join(_scan(text)[1])):
        end, environment, bracket = found.groups()
        name = environment or ("[" if bracket else "")
        if end == "begin" or bracket == "[":
            opened.append(name)
        elif name in opened:  # a wrong end closes what is inside; an end of nothing is only odd
            del opened[len(opened) - 1 - opened[::-1].index(name) :]
    return bool(opened)


def _scan(text: str) -> tuple[bool, Iterable[str]]:
    """Return whether a text ends inside a fenced block, and the lines that are in none."""
    fence = ""
    outside: list[str] = []
    for line in text.splitlines():
        found = _FENCE.fullmatch(line)
        if not fence and found:
            fence = found[1]
        elif not fence:
            outside.append(line)
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return bool(fence), outside
