"""Verifiers: who checks steps and answers.

Put the cheap and exact ones first: what one of them refutes, the later ones are not asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.domain import Domain
from ..graph.ids import derive_seed
from ..graph.records import EvaluationKind
from ..tools.base import Tool
from .asking import ask, together
from .evaluators_prompted import Judge, attempted, mean_value, read_value, value_prompt
from .models.base import GenerationCall, LanguageModel, Sampling, ScoringModel, Trace
from .protocols import Gateway, Judgement, Subject


@dataclass(frozen=True, slots=True)
class RuleVerifier:
    """Refutes steps that break a rule of the task, or that failed a tool's check.

    Its verdict 0 is final: the thought is never continued and never the answer. It says nothing of steps that break no rule.
    """

    domain: Domain

    @property
    def source(self) -> str:
        """Who judges."""
        return f"rule:{self.domain.name}"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        return [self._judge(subject) for subject in subjects]

    def _judge(self, subject: Subject) -> Judgement | None:
        failed = [o for o in subject.observations if o.ok is False]
        reason = failed[0].result if failed else self.domain.flaw(subject.problem.question, subject.steps)
        return None if reason is None else Judgement("rule", value=0.0, text=reason)


@dataclass(frozen=True, slots=True)
class OutcomeChecker:
    """Checks a finished solution against the question by the task's own rules, with an exact tool.

    It knows no reference answer: it asks the task which equation must hold, and the tool whether it does. A finished solution without an answer
    gets 0; where the task cannot tell, nothing is said.
    """

    domain: Domain
    tool: Tool
    """Checks `{"equation": "A = B"}`."""

    @property
    def source(self) -> str:
        """Who judges."""
        return f"outcome:{self.domain.name}:{self.tool.name}"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        return [await self._judge(subject, gateway) for subject in subjects]

    async def _judge(self, subject: Subject, gateway: Gateway) -> Judgement | None:
        thought = subject.thought
        if not thought.terminal:
            return None
        if thought.answer is None:
            return Judgement("outcome", value=0.0, text="the solution ends without an answer")
        equation = self.domain.goal(subject.problem.question, thought.answer)
        if equation is None:
            return None
        seen = await gateway.call_tool(thought.id, self.tool, {"equation": equation})
        if seen.ok is None:
            return Judgement("outcome", error=seen.error or f"{self.tool.name} checked nothing")
        return Judgement("outcome", value=1.0 if seen.ok else 0.0, text=seen.result)


@dataclass(frozen=True, slots=True)
class StepScoreVerifier:
    """Scores the newest step with a process reward model."""

    model: ScoringModel
    domain: Domain

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"score:{self.model.name}"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        return [
            Judgement("step", value=v, error=e)
            for v, e in await newest_scores(self.model, self.domain, subjects, gateway)
        ]


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


async def newest_scores(
    model: ScoringModel, domain: Domain, subjects: Sequence[Subject], gateway: Gateway
) -> list[tuple[float | None, str | None]]:
    """Return, for each subject, the score of its newest step, or why there is none."""
    traces = [Trace(domain.prompt(s.problem.question, ()), s.steps) for s in subjects]
    results = await gateway.score(model, traces)
    return [(None, result) if isinstance(result, str) else (result[-1], None) for result in results]
