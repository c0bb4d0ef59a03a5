"""How thoughts of special actions are written, so that who writes them and who reads them agree.

A sub-question (rStar's actions A3 and A4) is one line with its answer:

    Sub-question: How many are left? 12 - 5 = 7. Answer: 7
    Sub-question, answered again: How many are left? Answer: 7
    Sub-question: Now we can answer the question: how much does she earn? 7 * 2 = 14. Answer: 14

It ends a solution only where it says that the question itself is answered now.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SUBQUESTION = "Sub-question:"
AGAIN = "Sub-question, answered again:"
REPHRASED = "Rephrased question:"
LAST = "now we can answer the question"
"""Marks the last sub-question, which is the question itself."""
ANSWER = "answer:"

_SUBQUESTION = re.compile(r"\s*sub-question(?:, answered again)?\s*:\s*(.*)", re.IGNORECASE)
_ITEM = re.compile(r"\s*(?:[-*•]\s+|\(?\d{1,3}[.)]\s+)")


class SubQuestion(NamedTuple):
    """A sub-question as written."""

    question: str
    """The question, with the work on it where there is some."""
    answer: str
    last: bool
    """Whether its answer is that of the whole problem."""


def read_subquestion(text: str) -> SubQuestion | None:
    """Return the sub-question that a thought is, or None if it is something else; the last `Answer:` in it counts."""
    found = _SUBQUESTION.fullmatch(text)
    if found is None:
        return None
    body = found[1]
    at = body.lower().rfind(ANSWER)
    answer = body[at + len(ANSWER) :].strip() if at >= 0 else ""
    if not answer:
        return None
    question = body[:at].strip()
    return SubQuestion(question, answer, LAST in question.lower())


def strip_item(line: str) -> str:
    """Return a line of a list without its bullet or number: `2. add` is `add`; `-2 + 3` stays, and so does `2 + 3`."""
    found = _ITEM.match(line)
    return line[found.end() if found else 0 :].strip()
