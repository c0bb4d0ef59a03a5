"""What a model reports beside its text: thoughts, log-probabilities, token ids, usage, cache hits."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ..base import Message, reasons_first, tells_alternatives
from ..reasoning import TAGS
from ..text import prompt_token_bound
from .asking import LONG, Asker, Finding, quoted

WITHOUT_LOGPROBS = (
    "priors by log-probability (openr, mcts with prior=logprob or probability), choices by likelihood and --scorer judge:logprob will not work; "
    "use prior=count and judge:votes"
)
_AGREE = 1e-2
"""Natural logarithm by which two reports of one token's probability may differ: engines compute prompts in other batches."""
_CACHED_FROM = 1024
"""Tokens from which hosted models keep prompts (OpenAI's guide to prompt caching)."""


async def check_template(asker: Asker) -> Finding:
    """Whether the answer to a chat is one: a server that has another model's template gets anything but an answer."""
    text = asker.sample.text
    if not asker.model.chat:
        return Finding("template", "ok", "none is needed: raw text is continued")
    if not text.strip() or re.search(r"\b(?:one|1)\b", text, re.IGNORECASE):
        return Finding("template", "ok", "chat turns are taken")
    return Finding(
        "template",
        "note",
        f"chat turns are taken, but asked to count it says {quoted(text)}; if it is not a small model, its chat template may be the wrong one",
    )


async def check_reasoning(asker: Asker) -> Finding:
    """Whether it thinks before it answers, and where its thoughts are."""
    sample, declared = asker.sample, reasons_first(asker.model)
    if not asker.model.chat and any(tag in sample.text for pair in TAGS for tag in pair):
        return Finding(
            "reasoning", "note", "its text has thoughts in it; ask it as a chat, or they become steps"
        )
    if sample.reasoning is not None and declared:
        return Finding(
            "reasoning", "ok", "it thinks first, told apart from its answer; it is asked for each step"
        )
    if sample.reasoning is not None:
        return Finding(
            "reasoning",
            "note",
            "it thinks before it answers, though not declared to; add ?reasons=true, or ?reasons=false to have it answer at once",
        )
    if declared:
        return Finding(
            "reasoning",
            "note",
            "it is declared to think first, but no thoughts are told; if it does not, leave out reasons=true",
        )
    if asker.model.chat and not sample.text.strip():
        return Finding(
            "reasoning",
            "note",
            f"{sample.tokens} tokens and no text: it may think unseen, which is paid for with every step; switch that off or choose another model",
        )
    return Finding("reasoning", "ok", "no thoughts before the answer")


async def check_logprobs(asker: Asker) -> Finding:
    """Whether log-probabilities are there, can be, and are of the model and not of the sampling."""
    logprobs = list(asker.sample.logprobs or ())
    if wrong := _implausible(logprobs):
        return Finding("logprobs", "note", wrong)
    detail = f"told of each token; the likeliest answer has {math.fsum(logprobs) / len(logprobs):.2f} a token"
    if not tells_alternatives(asker.model):
        return Finding(
            "logprobs",
            "ok",
            f"{detail}; none of other tokens, so --scorer judge:logprob asks for votes instead",
        )
    told = (await asker.ask(asker.question, tokens=1, alternatives=2)).samples[0].alternatives
    if not told:
        return Finding(
            "logprobs",
            "note",
            f"{detail}; none of other tokens, so --scorer judge:logprob will not work: use judge:votes",
        )
    if abs(told[0][1] - logprobs[0]) > _AGREE:
        return Finding(
            "logprobs",
            "note",
            f"the first token has {logprobs[0]:.3f}, and the likeliest one {told[0][1]:.3f}, though it is the same: "
            "do not use priors by log-probability",
        )
    return Finding("logprobs", "ok", f"{detail}; other tokens' too")


def _implausible(logprobs: Sequence[float]) -> str | None:
    """Return what is wrong with the log-probabilities of a greedy answer."""
    if not logprobs:
        return f"none, or not a number: {WITHOUT_LOGPROBS}"
    if any(not (math.isfinite(p) and p <= 0.0) for p in logprobs):
        return f"{min(logprobs)} to {max(logprobs)} are none: {WITHOUT_LOGPROBS}"
    if len(logprobs) > 1 and all(p == 0.0 for p in logprobs):
        return (
            "all 0 at temperature 0: they are of the draw, not of the model, and say nothing; use prior=count"
        )
    return None


async def check_token_ids(asker: Asker) -> Finding:
    """Whether the ids of generated tokens come back."""
    if asker.sample.token_ids is None:
        return Finding(
            "token_ids", "note", "none: a record has texts only, which training on it tokenizes anew"
        )
    return Finding("token_ids", "ok", f"told, {len(asker.sample.token_ids)} for {asker.sample.tokens} tokens")


async def check_usage(asker: Asker) -> Finding:
    """Whether the tokens are counted by who generates them."""
    assert asker.greedy is not None
    prompt, count = asker.question, asker.greedy.prompt_tokens
    if asker.greedy.prompt_token_ids is None and count == prompt_token_bound(prompt):
        return Finding(
            "usage",
            "note",
            "not told: tokens are counted by an upper bound, so a budget of tokens or dollars ends a search early",
        )
    return Finding("usage", "ok", f"{count} prompt and {asker.greedy.completion_tokens} generated tokens")


async def check_cache(asker: Asker) -> Finding:
    """Whether a prompt that was read before is not read again, where that is told."""
    prompt = (Message("user", f"{LONG}How many lines are these?"),) if asker.model.chat else LONG
    await asker.ask(prompt, tokens=1)
    again = await asker.ask(prompt, tokens=1)
    if again.cached_prompt_tokens:
        return Finding(
            "cache",
            "ok",
            f"of {again.prompt_tokens} prompt tokens asked twice, {again.cached_prompt_tokens} came from the prefix cache",
        )
    return Finding(
        "cache",
        "note",
        f"no cached tokens told for {again.prompt_tokens} asked twice: the server may keep none, keep them from {_CACHED_FROM} on, or not tell "
        "(vLLM: --enable-prefix-caching, --enable-prompt-tokens-details)",
    )
