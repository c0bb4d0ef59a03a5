"""Critics: who says what a thought is worth, or what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.domain import Domain
from ..graph.errors import ModelError, ModelUnavailableError
from ..graph.ids import derive_seed
from .evaluators_prompted import is_ok
from .models.base import GenerationCall, LanguageModel, Message, Sampling, ScoringModel
from .observing import observed_steps
from .prompting import fill, load_prompt
from .protocols import Gateway, Judgement, Subject
from .verifier import newest_scores


@dataclass(frozen=True, slots=True)
class ValueCritic:
    """Estimates the chance to succeed from a thought, with a value model: its score at the newest step.

    Finished solutions are left to the verifiers: with a sparse reward a value model is not defined on them (Blueprint, arXiv 2501.11223,
    Appendix A).
    """

    model: ScoringModel
    domain: Domain

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"value:{self.model.name}"

    async def critique(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Critic.critique`."""
        open_ = [subject for subject in subjects if not subject.thought.terminal]
        scores = iter(await newest_scores(self.model, self.domain, open_, gateway))
        return [None if subject.thought.terminal else _value(*next(scores)) for subject in subjects]


@dataclass(frozen=True, slots=True)
class PromptedCritic:
    """Has a chat model say in words what is wrong with a step; the next generation of its children reads it."""

    model: LanguageModel
    temperature: float = 0.0
    max_tokens: int = 96
    family: str = "text"
    """The family of tasks whose prompts are used."""

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"critique:{self.model.name}"

    async def critique(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Critic.critique`; nothing is said of finished solutions and of steps found in order."""
        return await asyncio.gather(*(self._judge(subject, gateway) for subject in subjects))

    async def _judge(self, subject: Subject, gateway: Gateway) -> Judgement | None:
        if subject.thought.terminal:
            return None
        asked = fill(
            load_prompt("critique_step", self.family),
            question=subject.problem.question,
            steps="\n".join(observed_steps(subject)),
        )
        turns = (Message("system", load_prompt("critique", self.family)), Message("user", asked))
        call = GenerationCall(turns, Sampling(self.max_tokens, self.temperature), seed=derive_seed(0, asked))
        try:
            _, generation = await gateway.generate(self.model, call)
        except ModelUnavailableError:
            raise
        except ModelError as error:
            return Judgement("critique", error=str(error))
        text = generation.samples[0].text.strip()
        return None if not text or is_ok(text) else Judgement("critique", text=text)


def _value(value: float | None, error: str | None) -> Judgement:
    return Judgement("value", value=value, error=error)
