"""Vote keys of answers that are one number, and where a solution says its answer."""

from __future__ import annotations

import re
from fractions import Fraction

from ..text import canonical

MAX_DIGITS = 60
"""Longest number that is compared as one."""

_VALUE = re.compile(
    r"(?:[A-Za-z]\s*=\s*)?"  # x = 5
    r"(?P<sign>[-+\N{MINUS SIGN}]?)\s*[$€£]?\s*"
    r"(?P<number>\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:\s*/\s*(?P<below>\d+))?"
    r"\s*(?:%|[$€£])?"
    r"(?:\s+(?!pi\b)[^\W\d_]{2,}){0,4}"  # units
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{(-?\d+)\}\s*\{(\d+)\}")
_BESIDE_SIGN = re.compile(r"\s*([^\w\s])\s*")
_KEY = re.compile(r"-?\d+(?:/\d+)?")


def number_key(answer: str) -> str:
    """Return the vote key of a mathematical answer: the exact value if it is one number, with or without its unit.

    Of a solution, of the answer that it marks (see `marked_answer`). What is no single number is compared as text.
    """
    text = " ".join(marked_answer(answer).split()).replace("\\$", "").replace("\\%", "%").strip(" *`$")
    text = _FRACTION.sub(r"\1/\2", text.rstrip(". *`$")).replace("\\!", "")
    found = _VALUE.fullmatch(text) if len(text) <= 4 * MAX_DIGITS else None
    if found is None or len(found["number"]) > MAX_DIGITS or int(found["below"] or 1) == 0:
        return _BESIDE_SIGN.sub(r"\1", text.casefold()) if "," in text else canonical(text)
    value = Fraction(found["number"].replace(",", "")) / int(found["below"] or 1)
    return str(value if found["sign"] in ("", "+") else -value)


def marked_answer(solution: str) -> str:
    r"""Return what stands behind the last `####` (GSM8K), and of that what the last `\boxed{…}` holds (MATH); a text with neither as it is."""
    return boxed(solution.rpartition("####")[2])


def boxed(text: str) -> str:
    r"""Return what the last `\boxed{…}` holds, braces inside counted; the text itself if there is none."""
    _, box, rest = text.rpartition("\\boxed{")
    depth = 1
    for at, sign in enumerate(rest if box else ""):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return rest[:at]
    return text


def single_number(key: str) -> bool:
    """Return whether a key of `number_key` is the exact value of one number."""
    return _KEY.fullmatch(key) is not None
