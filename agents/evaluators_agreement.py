"""Mutual consistency: whether another model, given the beginning of a solution, comes to the same answer (rStar, arXiv 2408.06195, §3.2).

No reference answer is involved. The authors' code has a branch that consults one where several candidates survive; it is not here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.domain import Domain, Reading
from ..graph.errors import BudgetSpentError, ModelError
from .asking import Drawn, Part, draw_each, must_stop, together
from .evaluators_prompted import attempted
from .models.base import LanguageModel, Message, Sampling
from .models.text import shorten
from .prompting import fill, load_prompt, show_subject
from .protocols import Context, Gateway, Judgement, Subject


@dataclass(frozen=True, slots=True)
class Discriminator:
    """Has another model finish each solution from `n` of its beginnings; the agreement is the share that comes to the same answer.

    The beginnings are fractions of the solution, spread evenly from `low` to `high`, both included: of its words for a model that chats, of its steps
    for one that continues text, rounded up (from memory of the authors' code: unverified), and never all of it. Their code has 0.2 to 0.5; the paper
    says that the place is drawn from 20 to 80 %.

    A completion without an end says nothing: it is asked for once more, and left out if that has none either.
    """

    model: LanguageModel
    domain: Domain
    low: float = 0.2
    """In [0, high]."""
    high: float = 0.5
    """In [low, 1]."""
    temperature: float = 1.0
    """≥ 0; a request's own temperature goes before it."""

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"discriminate:{self.model.name}"

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`; the subjects are finished solutions."""
        return await together(
            attempted("agreement", self._judge(context, subject, gateway)) for subject in context.subjects
        )

    async def _judge(self, context: Context, subject: Subject, gateway: Gateway) -> Judgement:
        if not subject.thought.terminal or subject.thought.key is None:
            return Judgement("agreement", error="the thought has no answer that others could agree with")
        n, request = context.request.n, context.request
        begun = [self._beginning(subject, share) for share in spread(self.low, self.high, n)]
        ends: list[Reading | None] = [None] * n
        unread = ""
        for again in (False, True):
            missing = [i for i, end in enumerate(ends) if end is None]
            parts = [self._part(context, subject, begun[i]) for i in missing]
            first = request.first_sample + n * again
            try:
                drawn = await draw_each(self.model, parts, context.seed, first, gateway)
            except (BudgetSpentError, ModelError) as error:
                if len(missing) == n or must_stop(error):
                    raise
                break
            for i, reply in zip(missing, drawn, strict=True):
                ends[i] = self._read(subject, begun[i], reply)
                unread = reply.sample.text if reply and ends[i] is None else unread
            if None not in ends:
                break
        read = [end for end in ends if end is not None]
        if not read:
            raise ModelError(f"{self.model.name} finished no solution, asked twice: {shorten(unread, 80)!r}")
        same = sum(end.key == subject.thought.key for end in read)
        return Judgement("agreement", same / len(read), rollouts=len(read), successes=same)

    def _beginning(self, subject: Subject, share: float) -> str | tuple[str, ...]:
        """Return the words of a solution up to this share of them, or its steps."""
        if not self.model.chat:
            steps = subject.steps
            return steps[: _kept(share, len(steps))]
        text = show_subject(self.domain, subject)
        ends = [word.end() for word in re.finditer(r"\S+", text)]
        kept = _kept(share, len(ends))
        return text[: ends[kept - 1]] if kept else ""

    def _part(self, context: Context, subject: Subject, begun: str | tuple[str, ...]) -> Part:
        heat = self.temperature if context.request.temperature is None else context.request.temperature
        question, domain = subject.problem.question, self.domain
        if not isinstance(begun, str):
            left = max(1, domain.max_steps - len(begun))
            return Part(domain.prompt(question, begun), Sampling(domain.step_tokens * left, heat))
        family = domain.instructions
        asked = fill(load_prompt("complete", family), question=question, steps=begun)
        turns = (Message("system", load_prompt("system", family)), Message("user", asked))
        return Part(turns, Sampling(domain.step_tokens * domain.max_steps, heat))

    def _read(self, subject: Subject, begun: str | tuple[str, ...], reply: Drawn | None) -> Reading | None:
        """Return what a completed solution amounts to, up to its first end; None if it has none.

        Words are gone on from in the same line or, as models do that begin the broken line anew, in the next.
        """
        if reply is None or reply.sample.finish == "filter":
            return None
        text, stop = reply.sample.text, self.domain.stop
        whole = [text] if not isinstance(begun, str) else [f"{begun} {text}", f"{begun}{stop}{text}"]
        steps = () if isinstance(begun, str) else begun
        ends = (self._end(subject, steps, text, cut=reply.sample.finish == "length") for text in whole)
        return next((end for end in ends if end is not None), None)

    def _end(self, subject: Subject, steps: Sequence[str], text: str, *, cut: bool) -> Reading | None:
        path = list(steps)
        lines = text.split(self.domain.stop)
        for line in lines[:-1] if cut else lines:
            if not line.strip():
                continue
            path.append(line.strip())
            reading = self.domain.read(subject.problem.question, path)
            if reading.terminal:
                return reading
        return None


def spread(low: float, high: float, n: int) -> list[float]:
    """Return `n` numbers (≥ 1) spread evenly from `low` to `high`, both included; `low` alone if `n` is 1."""
    return [low + (high - low) * i / max(1, n - 1) for i in range(n)]


def _kept(share: float, whole: int) -> int:
    """Return how many of `whole` parts are kept: the share, rounded up, but never all."""
    return min(max(0, whole - 1), math.ceil(share * whole - 1e-9))
