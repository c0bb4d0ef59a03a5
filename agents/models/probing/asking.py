"""How a model is asked in a check, and what a check says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from ....graph.errors import ModelError
from ..base import Generation, GenerationCall, LanguageModel, Message, Sample, Sampling, ScoringModel
from ..scheduler import Scheduler

T = TypeVar("T")

Status = Literal["ok", "note", "problem"]
"""ok: as a search wants it; note: something will not work, or not as well, see the detail; problem: it cannot be used."""

TOKENS = 16
"""Generated tokens of a sample at most, but for the measure of speed."""
CALL_S = 90.0
"""Seconds that a call may take, after the first one, which may start an engine."""

Prompt = str | tuple[Message, ...]

PUZZLE = "4 5 6 10 -> 24\n"
"""What raw text models continue: a puzzle, as the shipped model knows it, after which others go on with anything."""
COUNTING = (Message("user", "Write the numbers from one to twenty as words, one a line, and nothing else."),)
"""A chat whose answer is known and has many lines."""
LETTERS = (Message("user", "Write a line of twelve random letters, and nothing else."),)
"""A chat with many answers."""
LONG = "1 + 2 = 3 (left: 3 4 5)\n" * 14
"""A text of 150 to 250 tokens with most tokenizers: more than a block of a prefix cache, less than the smallest context."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    status: Status
    detail: str
    """What was found; where that is not as it should be, also what follows from it, and what to do."""


class Asker:
    """Asks one model, in the way in which a search asks it.

    Args:
        model: that is checked.

    Attributes:
        greedy: its likeliest answer to `question`, once it has answered.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.greedy: Generation | None = None
        self._scheduler = Scheduler()

    @property
    def question(self) -> Prompt:
        """What has one likely answer of several words."""
        return COUNTING if self.model.chat else PUZZLE

    @property
    def open_question(self) -> Prompt:
        """What has many answers."""
        return LETTERS if self.model.chat else PUZZLE

    @property
    def sample(self) -> Sample:
        """The likeliest answer."""
        assert self.greedy is not None, "the first check asks for it"
        return self.greedy.samples[0]

    async def first(self) -> Generation:
        """Ask for the likeliest answer; how long that may take is the model's to say.

        Raises:
            ModelError: if there is none.
        """
        sampling = Sampling(TOKENS, temperature=0.0)
        self.greedy = await self._scheduler.generate(self.model, GenerationCall(self.question, sampling))
        return self.greedy

    async def ask(
        self,
        prompt: Prompt,
        *,
        tokens: int = TOKENS,
        temperature: float = 0.0,
        n: int = 1,
        seed: int = 0,
        stop: tuple[str, ...] = (),
        min_p: float = 0.0,
        alternatives: int = 0,
    ) -> Generation:
        """Ask anything; see `GenerationCall` and `Sampling`.

        Raises:
            ModelError: if there is no answer, or none in time.
        """
        sampling = Sampling(tokens, temperature, min_p=min_p, stop=stop, alternatives=alternatives)
        call = GenerationCall(prompt, sampling, n, seed)
        return await in_time(self.model.name, self._scheduler.generate(self.model, call))

    async def aclose(self) -> None:
        """Give up what is still asked; the model stays open."""
        await self._scheduler.aclose()


async def in_time(name: str, work: Awaitable[T]) -> T:
    """Return what comes of the work.

    Raises:
        ModelError: if it takes longer than `CALL_S`.
    """
    try:
        return await asyncio.wait_for(work, CALL_S)
    except TimeoutError:
        raise ModelError(f"{name} did not answer within {CALL_S:g} s") from None


async def reached(model: LanguageModel | ScoringModel) -> None:
    """Have a model that can tell without a call say whether its server is there: a call would try again and again.

    Raises:
        ModelUnavailableError: if it is not.
    """
    tell: Callable[[], Awaitable[None]] | None = getattr(model, "reach", None)
    if tell is not None:
        await tell()


def said(sample: Sample) -> str:
    """Return all that a sample says, thoughts included."""
    return (sample.reasoning or "") + sample.text


def quoted(text: str, width: int = 48) -> str:
    """Return a text for a message, on one line, cut where it is long."""
    return repr(text if len(text) <= width else text[: width - 1] + "…")
