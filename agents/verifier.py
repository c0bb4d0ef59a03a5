"""Verifiers: who checks steps and answers.

Put the cheap and exact ones first: what one of them refutes, the later ones are not asked about.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.domain import Domain
from ..tools.base import Tool
from .models.base import ScoringModel, Trace
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
        failed = [o for o in subject.observations if o.ok is False and not o.asked]
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


_PASSED = re.compile(r"(\d+) of (\d+) tests passed")


@dataclass(frozen=True, slots=True)
class TestsVerifier:
    """Runs a finished program against the tests that the question shows: 1 if it passes all, else half the share that it passes, below 0.5.

    Whether it is right is known to the hidden tests only, which nobody here has.
    """

    __test__ = False  # to pytest its name says that it is one

    tool: Tool
    """Runs the question's tests on `{"code": PROGRAM}`."""
    tests_of: Callable[[str], Sequence[Any]]
    """Returns the tests that a question shows; of one that shows none, nothing is said."""
    program_of: Callable[[str, str], str]
    """Returns the whole program, given the question and an answer, which may be a part of it."""

    @property
    def source(self) -> str:
        """Who judges."""
        return f"outcome:{self.tool.name}"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        return await asyncio.gather(*(self._judge(subject, gateway) for subject in subjects))

    async def _judge(self, subject: Subject, gateway: Gateway) -> Judgement | None:
        thought = subject.thought
        if not thought.terminal or not self.tests_of(subject.problem.question):
            return None
        if thought.answer is None:
            return Judgement("outcome", value=0.0, text="the solution ends without a program")
        program = self.program_of(subject.problem.question, thought.answer)
        seen = await gateway.call_tool(thought.id, self.tool, {"code": program})
        if seen.ok is None:
            return Judgement("outcome", error=seen.error or f"{self.tool.name} checked nothing")
        passed = _PASSED.match(seen.text)
        share = int(passed[1]) / int(passed[2]) if passed and passed[2] != "0" else 0.0
        return Judgement("outcome", value=1.0 if seen.ok else 0.5 * min(share, 0.99), text=seen.result)


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
class OutcomeScoreVerifier:
    """Scores finished solutions as a whole with an outcome reward model (Cobbe et al., arXiv 2110.14168); it says nothing of others."""

    model: ScoringModel
    domain: Domain

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"score:{self.model.name}"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Verifier.verify`."""
        finished = [subject for subject in subjects if subject.thought.terminal]
        scores = iter(await newest_scores(self.model, self.domain, finished, gateway))
        return [
            Judgement("outcome", *next(scores)) if subject.thought.terminal else None for subject in subjects
        ]


async def newest_scores(
    model: ScoringModel, domain: Domain, subjects: Sequence[Subject], gateway: Gateway
) -> list[tuple[float | None, str | None]]:
    """Return, for each subject, the score of its newest step, or why there is none; nobody is asked about none."""
    if not subjects:
        return []
    traces = [Trace(domain.prompt(s.problem.question, ()), s.steps, newest=True) for s in subjects]
    results = await gateway.score(model, traces)
    return [(None, result) if isinstance(result, str) else (result[-1], None) for result in results]
