"""The generator over models that only continue text: the shipped one, or any base model.

Such a model cannot read criticism, so refining and aggregating are operationalised here in our own way, by what may be kept of the attempts:

* refine: some steps before the first faulty one are kept, and the rest is sampled anew. A fault is what the task's rules find on the growing
  attempt; where they find none, any step may be the fault. How many of the steps before it are kept is drawn uniformly, for every sample by
  itself, since a fault often shows later than it was made: a numbers puzzle that ends in 23 went wrong before its last step.
* aggregate: the longest beginning on which more than half of the attempts agree is kept, up to the first faulty step and never with an
  attempt's last step, and the rest is sampled anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..graph.domain import Domain, unfinished
from ..graph.errors import AgentError
from ..graph.ids import derive_rng
from ..graph.records import Operator
from ..tools.base import Tool
from .actions import BY_RAW
from .asking import Part, draw, draw_each
from .drafts import Candidate, kept, merge, read_steps
from .models.base import LanguageModel, Sample, Sampling
from .observing import observed_steps
from .prompting import fill, load_prompt, with_tools
from .protocols import Context, Draft, Gateway, Proposal, Subject
from .sampling import call_of, sample_proposals, sampling_of
from .stepping import Stepper

NEXT_PROBLEM = "\nProblem:"
"""How the next of the worked examples would begin."""


@dataclass(frozen=True, slots=True)
class StepGenerator:
    """Continues the question and the steps so far as raw text, in the task's own step format."""

    model: LanguageModel
    domain: Domain
    temperature: float = 1.0
    """≥ 0; a request's own temperature goes before it."""
    top_p: float = 1.0
    min_p: float = 0.0
    """See `Sampling.min_p`: keeps high temperatures to plausible tokens."""
    unique: bool = False
    """Whether next steps are drawn without replacement where the request wants distinct ones (see `GenerationCall.unique`): no token is paid for a
    step that is there already, and every step has count 1."""
    shots: bool = False
    """Whether the family's worked examples, and the tools, stand before the question, for a base model, which was not trained on the task's own format."""
    tools: tuple[Tool, ...] = ()
    """What the model is told that it may call, with `shots`."""

    @property
    def name(self) -> str:
        """Identity for content addresses."""
        return f"step:{self.model.name}"

    @property
    def actions(self) -> frozenset[str]:
        """The actions and operators it knows."""
        return BY_RAW

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        """See `Generator.propose`.

        Raises:
            AgentError: for what cannot be asked of a model that continues text.
        """
        request = context.request
        if request.operator is Operator.GENERATE and request.action in ("", "finish"):
            return await self._continue(context, gateway)
        if request.horizon == "solution" and request.action == "":
            if request.operator is Operator.REFINE:
                return await self._refine(context, gateway)
            if request.operator is Operator.AGGREGATE:
                return await self._aggregate(context, gateway)
        wanted = request.action or f"{request.operator} with horizon {request.horizon}"
        raise AgentError(
            f"generator {self.name!r} only continues text and cannot {wanted!r}; give a model that chats, "
            "or set the parameter of the scheme that asks for it"
        )

    async def _continue(self, context: Context, gateway: Gateway) -> list[Proposal]:
        request, steps = context.request, context.subjects[0].steps
        if request.horizon == "solution":
            return await self._from(context, steps, gateway)
        sampling = sampling_of(context, self.domain, self.temperature, self.top_p, self.min_p)
        if request.steps and request.horizon == "answer":
            return await self._stepper(context, sampling).chain(context, gateway)
        if request.horizon == "step":
            return await self._stepper(context, sampling).step(context, gateway)
        return await sample_proposals(
            self.model,
            self._prompt(context, steps),
            self._whole(sampling),
            context,
            self.domain.stop,
            gateway,
            unfinished=partial(unfinished, self.domain),
        )

    async def _from(self, context: Context, steps: Sequence[str], gateway: Gateway) -> list[Proposal]:
        """Draw attempts that all begin with these steps."""
        part = self._part(context, steps)
        drawn = await draw(self.model, call_of(context, part.prompt, part.sampling), gateway)
        ends = [(d, self._steps(d.sample)) for d in drawn]
        return merge(context, [Candidate(d.place, d.call, (*kept(steps), *end)) for d, end in ends if end])

    async def _refine(self, context: Context, gateway: Gateway) -> list[Proposal]:
        request, steps = context.request, context.subjects[0].steps
        fault = self._fault(context.subjects[0])
        samples = range(request.first_sample, request.first_sample + request.n)
        begun = [steps[: derive_rng(context.seed, "kept", i).randint(0, fault)] for i in samples]
        parts = [self._part(context, beginning) for beginning in begun]
        drawn = await draw_each(self.model, parts, context.seed, request.first_sample, gateway)
        candidates: list[Candidate] = []
        for beginning, d in zip(begun, drawn, strict=True):
            end = self._steps(d.sample) if d else ()
            if d and end:
                candidates.append(Candidate(d.place, d.call, (*kept(beginning), *end)))
        return merge(context, candidates)

    async def _aggregate(self, context: Context, gateway: Gateway) -> list[Proposal]:
        return await self._from(context, self._agreed(context), gateway)

    def _fault(self, subject: Subject) -> int:
        """Return how many steps stand before the first that breaks a rule; all but the last where none does."""
        steps, question = subject.steps, subject.problem.question
        faults = (k for k in range(len(steps)) if self.domain.flaw(question, steps[: k + 1]) is not None)
        return next(faults, max(0, len(steps) - 1))

    def _agreed(self, context: Context) -> tuple[str, ...]:
        """Return the longest sound beginning that more than half of the attempts share, and that is the whole of none of those."""
        question, attempts = context.problem.question, [subject.steps for subject in context.subjects]
        agreed: tuple[str, ...] = ()
        while True:
            depth = len(agreed)
            votes = Counter(a[depth] for a in attempts if len(a) > depth + 1 and a[:depth] == agreed)
            step, count = votes.most_common(1)[0] if votes else ("", 0)
            longer = (*agreed, step)
            if 2 * count <= len(attempts) or self.domain.flaw(question, longer) is not None:
                return agreed
            agreed = longer

    def _part(self, context: Context, steps: Sequence[str]) -> Part:
        sampling = sampling_of(
            context, self.domain, self.temperature, self.top_p, self.min_p, kept=len(steps)
        )
        return Part(self._prompt(context, steps), self._whole(sampling))

    def _stepper(self, context: Context, sampling: Sampling) -> Stepper:
        unique = self.unique and context.request.distinct and context.request.horizon == "step"
        return Stepper(
            self.model, self.domain, lambda path: self._prompt(context, path), sampling, unique=unique
        )

    def _prompt(self, context: Context, steps: Sequence[str]) -> str:
        """Return the text to be continued: the question and the steps, after worked examples if there are to be any."""
        question = context.problem.question
        steps = observed_steps(context.subjects[0], steps)
        if not self.shots:
            return self.domain.prompt(question, steps)
        family = self.domain.instructions
        head = fill(load_prompt("raw", family), examples=load_prompt("examples", family), question=question)
        if self.tools:
            head = f"{with_tools('', self.tools, family).lstrip()}\n\n{head}"
        return f"{head}\n\n" + "".join(f"{step}{self.domain.stop}" for step in steps)

    def _whole(self, sampling: Sampling) -> Sampling:
        """Return the parameters for all remaining steps: after worked examples a model would go on to problems of its own."""
        return replace(sampling, stop=(NEXT_PROBLEM,)) if self.shots else sampling

    def _steps(self, sample: Sample) -> tuple[Draft, ...]:
        rule = partial(unfinished, self.domain)
        return read_steps(sample, self.domain.stop, whole=True, unfinished=rule)
