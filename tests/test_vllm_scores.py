"""The shipped scorer behind a vLLM pooling server, against the same weights in this process."""

from __future__ import annotations

import pytest
from vllm_serving import BUILTIN

from thoughtgraph.agents.models.base import Trace
from thoughtgraph.agents.models.registry import load_scorer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
SCORER = BUILTIN / "scorer"

SOLUTIONS = [
    ("1 4 8 8 -> 24\n", ("4 * 8 = 32 (left: 1 8 32)", "32 - 8 = 24 (left: 1 24)", "24 / 1 = 24 (left: 24)")),
    (
        "1 2 5 10 -> 24\n",
        ("2 * 5 = 10 (left: 1 10 10)", "10 + 10 = 20 (left: 1 20)", "20 / 1 = 20 (left: 20)"),
    ),
    ("6 6 6 6 -> 24\n", ("6 + 6 = 12 (left: 6 6 12)", "6 + 12 = 18 (left: 6 18)", "6 + 18 = 24 (left: 24)")),
    ("1 5 9 11 -> 24\n", ("1 + 9 = 10 (left: 5 10 11)",)),
]


async def test_the_same_weights_give_the_same_scores(vllm_scorer_url: str) -> None:
    traces = [Trace(prompt, steps) for prompt, steps in SOLUTIONS]
    traces += [Trace(prompt, steps, newest=True) for prompt, steps in SOLUTIONS]
    served = await load_scorer(f"pooling:scorer?base_url={vllm_scorer_url}&tokenizer={SCORER}").score(traces)
    local = await load_scorer(f"hf:{SCORER}", device="cpu").score(traces)
    for a, b in zip(served, local, strict=True):
        assert isinstance(a, list), a
        assert a == pytest.approx(b, abs=1e-3)
    spread = [score for scores in local if isinstance(scores, list) for score in scores]
    assert min(spread) < 0.1
    assert max(spread) > 0.9
