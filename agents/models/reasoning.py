"""Thoughts that a reasoning model writes into its text, told apart from its answer in one place.

Servers with a parser for the model report thoughts beside the text, and models in this process write them into it between tags. Whatever way they come, a
`Sample` then holds them in `reasoning`, which is recorded, and never in `text`, which becomes steps and answers and is shown to judges.
"""

from __future__ import annotations

from dataclasses import replace

from .base import Generation, Sample

TAGS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, QwQ and most others
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL-Thinking
)
"""What models write before and after their thoughts."""


def split_reasoning(sample: Sample, *, opened: bool = False) -> Sample:
    """Return a sample with its thoughts in `reasoning` and the rest as its text; tokens and log-probabilities stay those of the whole.

    Thoughts that were never closed leave no answer: the text is then empty.

    Args:
        sample: what a chat model wrote; one whose thoughts came separately is returned as it is.
        opened: whether the model always thinks first, so that a text without any tag is all thoughts: the prompt had opened them already.
    """
    if sample.reasoning is not None:
        return sample
    begun = sample.text.lstrip()
    for opening, closing in TAGS:
        if begun.startswith(opening):
            return _parted(sample, *begun[len(opening) :].partition(closing))
        thoughts, mark, answer = begun.partition(closing)
        if mark and opening not in thoughts:
            return _parted(sample, thoughts, mark, answer)
    return _parted(sample, begun, "", "") if opened and begun else sample


def without_thoughts(generation: Generation, *, opened: bool = False) -> Generation:
    """Return a generation with every sample's thoughts split off, see `split_reasoning`."""
    samples = tuple(split_reasoning(sample, opened=opened) for sample in generation.samples)
    return replace(generation, samples=samples)


def opens_thoughts(prompt: str) -> bool:
    """Return whether a prompt ends inside thoughts, as some chat templates make it."""
    return any(prompt.rfind(opening) > prompt.rfind(closing) for opening, closing in TAGS)


def _parted(sample: Sample, thoughts: str, closing: str, answer: str) -> Sample:
    return replace(sample, text=answer.lstrip() if closing else "", reasoning=thoughts.strip())
