r"""How a trace of steps becomes token ids for a step scorer: one function, for training and for serving.

Prompt and steps are tokenized apart and the tag `<|step|>` is appended to each step by id, so no merge across a
boundary can move a score to another token and no text can hold a tag.

    encoded = encode_trace(tokenizer, "4 5 6 10 -> 24\n", ["4 * 5 = 20 (left: 6 10 20)"])
    encoded.ids[encoded.tags[0]]      # the id of <|step|>: where the score of the first step is read
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ....graph.errors import ModelError, UserError

STEP_TAG = "<|step|>"
"""The special token at which the score of the step before it is read."""
STEP_END = "\n"
"""What the policy writes after a step, and sees after every earlier one."""


class TraceTokenizer(Protocol):
    """The part of a transformers tokenizer that is needed."""

    def encode(self, text: str, *, add_special_tokens: bool) -> Any: ...
    def get_vocab(self) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True)
class EncodedTrace:
    """A trace as token ids."""

    ids: tuple[int, ...]
    """Prompt and steps, up to where the last score is read; in our format, for every step its text, its line end and the step tag."""
    tags: tuple[int, ...]
    """Positions in `ids` where scores are read, ascending; in our format those of the step tags, one a step."""


def step_tag_id(tokenizer: TraceTokenizer) -> int:
    """Return the id of `<|step|>`.

    Raises:
        UserError: if the tokenizer has no such token.
    """
    tag = tokenizer.get_vocab().get(STEP_TAG)
    if tag is None:
        raise UserError(
            f"the tokenizer has no token {STEP_TAG!r}; use the tokenizer the scorer was trained with"
        )
    return tag


def encode_trace(tokenizer: TraceTokenizer, prompt: str, steps: Sequence[str]) -> EncodedTrace:
    """Return the ids of a trace and where its scores are read.

    Args:
        tokenizer: with the token `<|step|>`; its own beginning-of-text token goes in front of the prompt.
        prompt: the question as the policy sees it, its line end included.
        steps: texts of the steps; a line end is added where there is none.

    Raises:
        ModelError: if prompt or step spells the step tag itself.
        UserError: if the tokenizer has no step tag.
    """
    tag = step_tag_id(tokenizer)
    ids: list[int] = list(tokenizer.encode(prompt, add_special_tokens=True))
    tags: list[int] = []
    for step in steps:
        text = step if step.endswith(STEP_END) else step + STEP_END
        ids += tokenizer.encode(text, add_special_tokens=False)
        tags.append(len(ids))
        ids.append(tag)
    if ids.count(tag) != len(tags):
        raise ModelError(f"the trace cannot be scored: its text spells the step tag {STEP_TAG!r}")
    return EncodedTrace(tuple(ids), tuple(tags))
