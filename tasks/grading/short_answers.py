"""Short answers as HotpotQA's official evaluation compares them (Yang et al. 2018, arXiv 1809.09600; hotpot_evaluate_v1.py).

Normalised is: lower case, without ASCII punctuation, without the words a, an and the, single spaces. Exact match (EM) is equality of normalised answers. F1 is that of
their words as multisets: 2PR / (P + R); it is 0 where one answer is yes, no or noanswer and the other is not the same.
"""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLOSED = frozenset({"yes", "no", "noanswer"})


def normalised(answer: str) -> str:
    """Return an answer as the official evaluation compares it."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, reference: str) -> bool:
    """Return whether two answers are the same but for case, punctuation, articles and space."""
    return normalised(answer) == normalised(reference)


def f1_score(answer: str, reference: str) -> float:
    """Return the official F1 of an answer, in [0, 1]."""
    said, wanted = normalised(answer), normalised(reference)
    if said != wanted and (said in _CLOSED or wanted in _CLOSED):
        return 0.0
    words, right = said.split(), wanted.split()
    common = sum((Counter(words) & Counter(right)).values())
    return 2 * common / (len(words) + len(right)) if common else 0.0
