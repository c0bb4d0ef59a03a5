"""Verifiers that ask a chat model: generative verifiers and judges.

    PromptedVerifier(model, domain)                     # sure, likely or impossible
    YesNoVerifier(model, domain)                        # the share of several replies that say yes
    YesNoVerifier(model, domain, by="logprob")          # how likely yes is as the first word, against no

What models say of their own work is known to be of little worth (Blueprint, arXiv 2501.11223, §8): a trained scorer or an exact check is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..graph.domain import Domain
from ..graph.ids import derive_seed
from ..graph.records import EvaluationKind
from .asking import ask, last_word, together
from .evaluators_prompted import Judge, attempted, mean_value, read_value, value_prompt
from .models.base import GenerationCall, LanguageModel, Message, Sample, Sampling
from .prompting import load_prompt
from .protocols import Gateway, Judgement, Subject

ALTERNATIVES = 20
"""First tokens asked for: as many as common servers tell."""
_UNTOLD = 0.01
"""Most that the answer which is not among them could change a score."""


@dataclass(frozen=True, slots=True)
class PromptedVerifier:
    """Has a chat model say how good every new thought is, for want of a trained scorer: sure, likely or impossible.

    The words weigh as in `PromptedValue`: 1, .05, .00005. A finished solution is judged as an outcome. A reply that cannot be read is asked for once
    more, and is an error then.
    """

    model: LanguageModel
    domain: Domain
    n: int = 1
    """Replies a thought (≥ 1)."""
    temperature: float = 0.0
    """≥ 0; for several replies above 0."""
    max_tokens: int = 256

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return Judge(self.model, self.domain).name("judge")

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        return await together(self._judge(subject, gateway) for subject in subjects)

    async def _judge(self, subject: Subject, gateway: Gateway) -> Judgement | None:
        kind: EvaluationKind = "outcome" if subject.thought.terminal else "step"
        prompt = Judge(self.model, self.domain).prompt(value_prompt(subject), subject)
        seed = derive_seed(0, *(turn.content for turn in prompt))
        call = GenerationCall(prompt, Sampling(self.max_tokens, self.temperature), self.n, seed)

        async def judging() -> Judgement:
            words = await ask(self.model, call, gateway, read_value)
            return Judgement(kind, mean_value(words), rollouts=len(words))

        return await attempted(kind, judging())


@dataclass(frozen=True, slots=True)
class YesNoVerifier:
    """Asks a chat model whether a thought is right, yes or no (generative verifiers, Zhang et al., arXiv 2408.15240).

    By votes, the model checks the steps in words before its verdict, `n` times, and the score is the share of yes among the verdicts that could be
    read. By log-probability it answers at once, and the score is P(yes) / (P(yes) + P(no)) of the first token, all its spellings counted; the
    paper's r = p(Yes | x, y, I), of the two answers alone. There a single token is drawn. A finished solution is judged as an outcome.
    """

    model: LanguageModel
    domain: Domain
    by: Literal["votes", "logprob"] = "votes"
    """By `logprob` only models that say how likely other tokens were, see `tells_alternatives`."""
    n: int = 8
    """Votes (≥ 1)."""
    temperature: float = 0.7
    """Of votes, ≥ 0."""
    max_tokens: int = 256
    """Of a vote."""

    @property
    def source(self) -> str:
        """Who judges, and how, with the model's and the prompts' version."""
        how = f"votes({self.n})" if self.by == "votes" else "logprob"
        return Judge(self.model, self.domain).name(f"judge:{how}")

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        return await together(self._judge(subject, gateway) for subject in subjects)

    async def _judge(self, subject: Subject, gateway: Gateway) -> Judgement | None:
        terminal = subject.thought.terminal
        kind: EvaluationKind = "outcome" if terminal else "step"
        form = load_prompt(
            "verify_reasoned" if self.by == "votes" else "verify_word", self.domain.instructions
        )
        name = "verify_answer" if terminal else "verify"
        prompt = Judge(self.model, self.domain).prompt(name, subject, form=form)
        judging = self._votes if self.by == "votes" else self._likelihood
        return await attempted(kind, judging(kind, prompt, gateway))

    async def _votes(self, kind: EvaluationKind, prompt: tuple[Message, ...], gateway: Gateway) -> Judgement:
        call = GenerationCall(prompt, Sampling(self.max_tokens, self.temperature), self.n, _seed(prompt))
        votes = await ask(self.model, call, gateway, lambda reply: last_word(reply, ("yes", "no")))
        yes = votes.count("yes")
        return Judgement(kind, yes / len(votes), rollouts=len(votes), successes=yes)

    async def _likelihood(
        self, kind: EvaluationKind, prompt: tuple[Message, ...], gateway: Gateway
    ) -> Judgement:
        call = GenerationCall(prompt, Sampling(1, 0.0, alternatives=ALTERNATIVES), seed=_seed(prompt))
        _, generation = await gateway.generate(self.model, call)
        value = likelihood_of_yes(generation.samples[0])
        if value is None:
            told = [text for text, _ in generation.samples[0].alternatives or ()]
            wrong = f"its likeliest first tokens are {told[:3]}" if told else "it told no likely first tokens"
            return Judgement(kind, error=f"{self.model.name} does not answer yes or no: {wrong}")
        return Judgement(kind, value)


def likelihood_of_yes(reply: Sample) -> float | None:
    """Return P(yes) / (P(yes) + P(no)) of a reply's first token, in [0, 1]; None where the alternatives told do not say.

    An answer that is not among them is at most as likely as the least of them. It counts as impossible where that cannot change the result by more
    than 0.01.
    """
    told = reply.alternatives or ()
    yes, no = (
        sum(math.exp(logprob) for text, logprob in told if text.strip().casefold() == answer)
        for answer in ("yes", "no")
    )
    if yes and no:
        return yes / (yes + no)
    likely = yes or no
    least = math.exp(told[-1][1]) if told else 0.0
    if not likely or least > _UNTOLD * likely:
        return None
    return 1.0 if yes else 0.0


def _seed(prompt: Sequence[Message]) -> int:
    return derive_seed(0, *(turn.content for turn in prompt))
