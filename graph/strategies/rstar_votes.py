"""Votes among samples of one request: whole answers, and answers to sub-questions (rStar, arXiv 2408.06195)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from ..records import Thought
from .voting import answer_of

_ANSWER = re.compile(r".*answer\s*(?:is|:)(.*)", re.DOTALL)


def count_votes(thoughts: Sequence[Thought]) -> Counter[str]:
    """Return how many samples gave each answer."""
    votes: Counter[str] = Counter()
    for thought in thoughts:
        if thought.terminal and thought.answer is not None:
            votes[answer_of(thought)] += thought.count
    return votes


def conclusion(thought: Thought, *, whole: bool) -> str:
    """Return what answers to sub-questions must share to count as equal: a finished thought's answer, else what follows the last "answer".

    Args:
        thought: a sub-question with its answer.
        whole: whether the sub-question must be the same too.
    """
    text = " ".join(thought.text.lower().split())
    if thought.terminal and thought.answer is not None:
        said = answer_of(thought)
    else:
        found = _ANSWER.fullmatch(text)
        said = found[1] if found else text
    asked = text.partition("?")[0] if whole and "?" in text else ""
    return f"{asked}?{said.strip(' .')}"


def winners(thoughts: Sequence[Thought], keys: Mapping[str, str], places: int) -> list[Thought]:
    """Return the first thought of each of the keys with the most votes: most votes first, then the earliest sample."""
    votes: Counter[str] = Counter()
    leaders: dict[str, Thought] = {}
    for thought in sorted(thoughts, key=lambda t: (t.sample, t.depth, t.id)):
        votes[keys[thought.id]] += thought.count
        leaders.setdefault(keys[thought.id], thought)
    ranked = sorted(leaders, key=lambda key: -votes[key])  # stable: equals keep the order of their leaders
    return [leaders[key] for key in ranked[:places]]
