r"""Vote keys of mathematical answers: the same text for the same answer, as far as that can be told by its form alone.

Equal keys mean equal answers, so a key also grades without math-verify; different keys may still mean equal answers (`x+1` and `1+x`), which math-verify is
asked about. The rewriting follows the normaliser of the MATH set (Hendrycks et al., arXiv 2103.03874): spacing, `\left`, `\dfrac`, `\frac12`, units, degrees and percent
signs are dropped or made one. Beyond it, numbers are exact values, parts of tuples, sets and intervals are rewritten each, and sets and bare lists are sorted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..text import canonical
from .numbers import marked_answer, number_key, single_number

MAX_LENGTH = 2_000
"""Longest answer that is rewritten, in characters."""

_PASSES = 8

_SPACES = re.compile(r"\\[,;:! ]|\\q?quad\b|\\displaystyle\b|~")
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])\.?")
_FRACTIONS = re.compile(r"\\[tdc]frac(?![A-Za-z])")
_DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![A-Za-z])|°")
_SIGNS = re.compile(r"\\?%|\\\$")
_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf|operatorname)\s*\{([^{}\\]*)\}")
_UNITS = re.compile(
    r"(-?[\d.,/]+|\\frac\{\d+\}\{\d+\})\s*\\(?:text|mbox|mathrm)\s*\{[^{}\\]*\}(?:\^\{?\d\}?)?"
)
_PART = r"\s*(\d|[A-Za-z]|\\[A-Za-z]+|\{[^{}]*\})"
_SHORT_FRACTION = re.compile(rf"\\frac(?![A-Za-z]{{2}}){_PART}{_PART}")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\d|[A-Za-z])")
_NAMED = re.compile(r"\\?[A-Za-z](?:=|\\in(?![A-Za-z]))(?!.*[=<>])")
_LETTER_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ -][^\W\d_]+)*")
_BETWEEN_LETTERS = re.compile(r"(\\[A-Za-z]+) +(?=[A-Za-z])")
_OPEN, _CLOSE = "([", ")]"


def math_key(answer: str) -> str:
    """Return the vote key of a mathematical answer; of a solution, of the answer that it marks (see `numbers.marked_answer`)."""
    text = marked_answer(answer)
    if len(text) > MAX_LENGTH:
        return canonical(text)
    for _ in range(_PASSES):
        key = _rewrite(text)
        if key == text:
            return key
        text = key
    return canonical(text)


def _rewrite(answer: str) -> str:
    number = number_key(answer)
    if single_number(number):
        return number
    text = " ".join(marked_answer(answer).split()).strip(" *`.")
    for opened, closed in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(opened) and text.endswith(closed) and len(text) > len(opened) + len(closed):
            text = text[len(opened) : -len(closed)]
    text = _SIZES.sub("", _SPACES.sub(" ", text))
    text = _SIGNS.sub("", _DEGREES.sub("", _FRACTIONS.sub(r"\\frac", text))).strip(" *`.$")
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", _SHORT_FRACTION.sub(_fraction, text))
    if (units := _UNITS.fullmatch(text)) is not None:
        text = units[1]
    text = _WORDS.sub(r" \1 ", text).strip()
    if _LETTER_WORDS.fullmatch(" ".join(text.split())):
        return " ".join(text.split()).casefold()
    text = _BETWEEN_LETTERS.sub(r"\1{}", " ".join(text.split())).replace(" ", "").replace("{}", " ")
    return _parts(_NAMED.sub("", text, count=1))


def _fraction(found: re.Match[str]) -> str:
    above, below = (part.strip("{}") if part.startswith("{") else part for part in found.groups())
    return f"\\frac{{{above}}}{{{below}}}"


def _parts(text: str) -> str:
    r"""Return a text with the parts of its tuple, interval, set or list rewritten each; one that is none of them as it is."""
    if len(text) >= 4 and text.startswith("\\{") and text.endswith("\\}"):
        return "\\{" + _list(text[2:-2], sorted) + "\\}"
    if len(text) >= 2 and text[0] in _OPEN and text[-1] in _CLOSE and "," in text:
        pieces = _split(text[1:-1])
        if pieces is not None and len(pieces) > 1:
            return text[0] + _list(text[1:-1], list) + text[-1]
    return _list(text, sorted)


def _list(text: str, ordered: Callable[[Sequence[str]], list[str]]) -> str:
    pieces = _split(text)
    if pieces is None or len(pieces) == 1:
        number = number_key(text)
        return number if single_number(number) else text
    return ", ".join(ordered([math_key(piece) for piece in pieces]))


def _split(text: str) -> list[str] | None:
    """Return the parts between the commas that stand in no brackets; None if brackets do not match or a part is empty."""
    pieces, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            return None
        if sign == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += sign
    return pieces if depth == 0 and all(pieces) else None
