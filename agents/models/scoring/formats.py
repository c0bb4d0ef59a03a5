r"""How each kind of scoring model wants a trace: as which token ids, and at which of them its numbers are read.

    format = make_format("plus_minus", tokenizer)
    encoded = format.encode("How many are 3 dozen?\n", ["3 * 12 = 36", "The answer is 36"])
    encoded.ids[encoded.tags[0]]      # the id of ки: where the number of the first step is read

Formats are pure: they know a tokenizer and no weights, so a model in this process and one behind a server read the same ids at the same
positions. `reading.probability` makes scores of the numbers. Positions are found by id, and a text that spells a marker is refused, since it
would move scores to other steps.

What published models expect is told by their model cards and evaluation code; it was not tried with their weights here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from ....graph.errors import ModelError, UnknownNameError, UserError
from ..base import ScoreKind
from .trace_encoding import STEP_END, STEP_TAG, EncodedTrace, encode_trace, step_tag_id

QWEN_TAG = "<extra_0>"
QWEN_SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


class TraceFormat(ABC):
    """A way to write traces for a scoring model.

    Attributes:
        name: identity, with the marks where they can be chosen.
        kind: whether its numbers are of steps, or one is of the whole solution.
        tag: id of the token that stands wherever a number is read; None where other tokens stand there.
        answers: ids of the tokens that call a step bad and good, for models that answer with one of them.
    """

    name: str
    kind: ScoreKind = "step"
    tag: int | None = None
    answers: tuple[int, int] | None = None

    @abstractmethod
    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """Return the ids of a trace of one step or more, up to its last number, and the positions of its numbers.

        Raises:
            ModelError: if the text spells a marker, or does not survive the tokenizer.
        """


class StepFormat(TraceFormat):
    """Ours: `<|step|>` after each step, see `encode_trace`."""

    def __init__(self, tokenizer: Any) -> None:
        self.name = "step"
        self.tag = step_tag_id(tokenizer)
        self._tokenizer = tokenizer

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`."""
        return encode_trace(self._tokenizer, prompt, steps)


class ValueFormat(TraceFormat):
    """The value of a state, at the last token of its newest step: its `<|step|>` where the tokenizer has that token, else its line end."""

    def __init__(self, tokenizer: Any) -> None:
        self.name = "value"
        self.tag = tokenizer.get_vocab().get(STEP_TAG)
        self._tokenizer = tokenizer

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`."""
        if self.tag is not None:
            return encode_trace(self._tokenizer, prompt, steps)
        ids: list[int] = list(self._tokenizer.encode(prompt, add_special_tokens=True))
        tags: list[int] = []
        for step in steps:
            ids += self._tokenizer.encode(step.rstrip(STEP_END) + STEP_END, add_special_tokens=False)
            tags.append(len(ids) - 1)
        return EncodedTrace(tuple(ids), tuple(tags))


class OutcomeFormat(TraceFormat):
    """A whole solution as the answer of a chat, or as plain text with its end token where there is no chat template; read at the last token."""

    kind = "outcome"

    def __init__(self, tokenizer: Any) -> None:
        self.name = "orm"
        self._tokenizer = tokenizer

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`; it has one number."""
        if self._tokenizer.chat_template:
            ids = _chat(self._tokenizer, _turn("user", prompt), _turn("assistant", STEP_END.join(steps)))
        else:
            ids = list(self._tokenizer.encode(prompt + STEP_END.join(steps), add_special_tokens=True))
            end = self._tokenizer.eos_token_id
            ids += [end] if end is not None and ids[-1] != end else []
        return EncodedTrace(tuple(ids), (len(ids) - 1,))


class QwenFormat(TraceFormat):
    """Qwen2.5-Math-PRM (arXiv 2501.07301): the steps are one answer of a chat, each followed by `<extra_0>`."""

    def __init__(self, tokenizer: Any) -> None:
        tag = tokenizer.get_vocab().get(QWEN_TAG)
        if tag is None:
            raise UserError(
                f"the tokenizer has no token {QWEN_TAG!r}, which the format qwen puts after each step; choose another format"
            )
        _require_chat("qwen", tokenizer)
        self.name, self.tag = "qwen", tag
        self._tokenizer = tokenizer

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`."""
        answer = "".join(step.strip() + QWEN_TAG for step in steps)
        turns = (_turn("system", QWEN_SYSTEM), _turn("user", prompt), _turn("assistant", answer))
        ids = _chat(self._tokenizer, *turns)
        return _marked(ids, [i for i, id_ in enumerate(ids) if id_ == self.tag], steps, QWEN_TAG)


class PlusMinusFormat(TraceFormat):
    """Math-Shepherd (arXiv 2312.08935): `Step 1: … ки` a line; the model answers at each mark whether the step is good or bad.

    Args:
        tokenizer: of the model.
        step_tag: text of the mark after each step; with the answers it must be one token.
        good: text of the answer for a right step.
        bad: text of the answer for a wrong one.
    """

    def __init__(self, tokenizer: Any, *, step_tag: str = "ки", good: str = "+", bad: str = "-") -> None:
        self.name = f"plus_minus({step_tag!r},{good!r},{bad!r})"
        self.tag = _one_token(tokenizer, "step_tag", step_tag)
        self.answers = (_one_token(tokenizer, "bad", bad), _one_token(tokenizer, "good", good))
        self._mark = step_tag
        self._tokenizer = tokenizer

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`."""
        lines = (f"{_numbered(k, step)} {self._mark}" for k, step in enumerate(steps, 1))
        text = f"{prompt.strip()} " + "\n".join(lines)
        ids: list[int] = list(self._tokenizer.encode(text, add_special_tokens=True))
        return _marked(ids, [i for i, id_ in enumerate(ids) if id_ == self.tag], steps, self._mark)


class RLHFlowFormat(TraceFormat):
    """RLHFlow's chats: each step is a user's turn, the first one with the question, and the assistant answers `+` or `-`.

    Earlier steps count as answered with `good`. A number is read where the answer is about to be written, on the last token before it.
    """

    def __init__(self, tokenizer: Any, *, good: str = "+", bad: str = "-") -> None:
        _require_chat("rlhflow", tokenizer)
        self.name = f"rlhflow({good!r},{bad!r})"
        self.answers = (_one_token(tokenizer, "bad", bad), _one_token(tokenizer, "good", good))
        self._good = good
        self._tokenizer = tokenizer
        self._before = _before_answer(tokenizer)

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`."""
        said = [step.strip() for step in steps]
        said[0] = f"{prompt.strip()} {said[0]}"
        turns = (turn for text in said for turn in (_turn("user", text), _turn("assistant", self._good)))
        ids = _chat(self._tokenizer, *turns)
        before, good = self._before, self.answers[1] if self.answers else None
        at = [
            i - 1
            for i in range(len(before), len(ids))
            if ids[i] == good and ids[i - len(before) : i] == before
        ]
        return _marked(ids, at, steps, self._good)


class SkyworkFormat(TraceFormat):
    r"""Skywork-o1-Open-PRM: question and steps a line each, tokenized apart; read at the line end of each step."""

    def __init__(self, tokenizer: Any) -> None:
        self.name = "skywork"
        self.tag = _one_token(tokenizer, "line end", STEP_END)
        self._tokenizer = tokenizer

    def encode(self, prompt: str, steps: Sequence[str]) -> EncodedTrace:
        """See `TraceFormat.encode`."""
        start = self._tokenizer.bos_token_id
        ids: list[int] = [] if start is None else [start]
        ids += self._tokenizer.encode(prompt.rstrip(STEP_END) + STEP_END, add_special_tokens=False)
        tags: list[int] = []
        for step in steps:
            ids += self._tokenizer.encode(step.rstrip(STEP_END), add_special_tokens=False)
            tags.append(len(ids))
            ids.append(self.tag or 0)
        return EncodedTrace(tuple(ids), tuple(tags))


FORMATS: dict[str, Callable[..., TraceFormat]] = {
    "step": StepFormat,
    "qwen": QwenFormat,
    "plus_minus": PlusMinusFormat,
    "rlhflow": RLHFlowFormat,
    "skywork": SkyworkFormat,
    "orm": OutcomeFormat,
    "value": ValueFormat,
}
_BY_ARCHITECTURE = {
    "ForTokenClassification": "step",
    "ForSequenceClassification": "orm",
    "Qwen2ForProcessRewardModel": "qwen",
    "Qwen2ForRewardModel": "orm",
    "Qwen2ForPrmModel": "skywork",
}
_MARKS = {"plus_minus": ("step_tag", "good", "bad"), "rlhflow": ("good", "bad")}


def format_of(architecture: str) -> str | None:
    """Return the name of the format that an architecture of `config.json` calls for; None if it does not tell."""
    return next((name for end, name in _BY_ARCHITECTURE.items() if architecture.endswith(end)), None)


def make_format(name: str, tokenizer: Any, **marks: object) -> TraceFormat:
    """Return the format of this name.

    Args:
        name: one of `FORMATS`.
        tokenizer: the scoring model's own, of transformers.
        marks: `step_tag`, `good` and `bad` where a format has them; None is the format's own.

    Raises:
        UnknownNameError: if there is no such format.
        UserError: if a mark does not belong to it, or the tokenizer lacks a token that it needs.
    """
    if name not in FORMATS:
        raise UnknownNameError("format of a scoring model", name, FORMATS)
    given = {mark: str(text) for mark, text in marks.items() if text is not None}
    for mark in given:
        if mark not in _MARKS.get(name, ()):
            raise UserError(f"the format {name!r} has no {mark!r}; leave it out")
    return FORMATS[name](tokenizer, **given)


def _turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text.strip()}


def _chat(tokenizer: Any, *turns: dict[str, str], answering: bool = False) -> list[int]:
    """Return the ids of a chat as its template writes it."""
    return list(
        tokenizer.apply_chat_template(
            list(turns), add_generation_prompt=answering, tokenize=True, return_dict=False
        )
    )


def _before_answer(tokenizer: Any) -> list[int]:
    """Return the ids that the chat template puts between a user's turn and the assistant's answer."""
    asked = _chat(tokenizer, _turn("user", "?"))
    answering = _chat(tokenizer, _turn("user", "?"), answering=True)
    if len(answering) == len(asked) or answering[: len(asked)] != asked:
        raise UserError("the chat template puts nothing before an answer; the format rlhflow needs it")
    return answering[len(asked) :]


def _require_chat(name: str, tokenizer: Any) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer has no chat template, which the format {name} needs; choose another format"
        )


def _one_token(tokenizer: Any, mark: str, text: str) -> int:
    """Return the id of a mark; white space that a tokenizer puts before it is no part of it."""
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    if not ids or tokenizer.decode(ids[:-1]).strip() or ids[-1] == tokenizer.unk_token_id:
        raise UserError(f"the tokenizer has no token {text!r}; give the model's own {mark} as ?{mark}=TEXT")
    return ids[-1]


def _numbered(k: int, step: str) -> str:
    step = step.strip()
    return step if step.startswith(f"Step {k}") else f"Step {k}: {step}"


def _marked(ids: Sequence[int], at: Sequence[int], steps: Sequence[str], mark: str) -> EncodedTrace:
    """Return an encoded trace that ends with its last number.

    Raises:
        ModelError: if the numbers are not one a step.
    """
    if len(at) != len(steps):
        raise ModelError(
            f"the trace cannot be scored: {len(at)} places for the scores of {len(steps)} steps; its text spells {mark!r}, "
            "or the tokenizer joins it to the text"
        )
    return EncodedTrace(tuple(ids[: at[-1] + 1]), tuple(at))
