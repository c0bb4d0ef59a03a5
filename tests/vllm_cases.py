"""Calls and searches that every way to a model answers alike, on puzzles of the training and validation part of the deck (never ranks 901–1000)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thoughtgraph.agents.models.base import GenerationCall, Sampling

SCORER = Path(__file__).resolve().parent.parent / "agents" / "builtin" / "numbers" / "scorer"
QUESTIONS = ("1 5 9 11", "1 4 8 8", "2 3 7 9", "1 1 4 6", "6 6 6 6", "1 2 5 10")
_PROMPTS = [f"{question} -> 24\n" for question in QUESTIONS]

GREEDY = [GenerationCall(prompt, Sampling(80, temperature=0)) for prompt in _PROMPTS] + [
    GenerationCall(prompt, Sampling(80, temperature=0, stop=("(left: ", "\n"))) for prompt in _PROMPTS[:2]
]
"""Whole solutions, and steps cut off by the first of two stop strings."""
SAMPLED = [
    GenerationCall(prompt, Sampling(60, temperature=1.0), n=4, seed=i) for i, prompt in enumerate(_PROMPTS)
]
LONG = GenerationCall("1 + 2 = 3 (left: 3 4 5)\n" * 14, Sampling(4, temperature=0))
"""A prompt of about 200 tokens: more than one block of the prefix cache."""
TOO_LONG = GenerationCall("1 2 3 4 -> 24\n" * 60, Sampling(4))

SEARCH: dict[str, Any] = {
    "scheme": "stepwise_bon",
    "params": {"n": 1},
    "temperature": 0.0,
    "mode": "lockstep",
    "scorer": f"hf:{SCORER}",
}
"""A greedy search, a step a call. Schemes that draw several steps at once draw them without replacement from `hf:`, and from the others they cannot."""


def thoughts(result: Any) -> dict[str, Any]:
    """Return what a search came to: answer, and the texts of all thoughts in their order."""
    return {"answer": result.answer, "texts": [thought.text for thought in result.graph.thoughts.values()]}
