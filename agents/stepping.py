"""How solutions grow step by step, one step a call, so that no token is generated beyond the last.

A stop string may stand inside a step: in a fenced block, in a displayed formula, or, in a model's own turn, on an empty line before the step. Such a sample is
repaired: it goes on from where it stopped until its step is whole by the task's rule (`graph.domain.unfinished`), in one further call, after an empty line in two.
What is not whole then, or cannot be gone on with, is dropped. Half a step is never a thought.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from ..graph.domain import Domain, unfinished
from ..graph.errors import BudgetSpentError, ModelError
from ..graph.ids import derive_seed
from .asking import Drawn, Part, Prompt, draw, draw_each, must_stop, together
from .drafts import Candidate, joined, merge, read_steps
from .models.base import GenerationCall, LanguageModel, Message, Sample, Sampling, continues_turns
from .protocols import Context, Draft, Gateway, Proposal
from .sampling import call_of

REPAIRS = 2
"""Further calls at most for one step."""


class Read(NamedTuple):
    """A sample and what was read of it."""

    drawn: Drawn
    step: tuple[Draft, ...]
    """Its first step; () if it has no whole one."""


@dataclass(frozen=True, slots=True)
class Stepper:
    """Draws next steps, and chains of them, for one request."""

    model: LanguageModel
    domain: Domain
    """Says where a step and where the solution ends."""
    prompt: Callable[[tuple[str, ...]], Prompt]
    """What is asked after these steps, those of the subject included."""
    sampling: Sampling
    """Of one step."""
    turn: bool = False
    """Whether the steps are lines of one turn of the model's own: its end ends the solution, and an empty line in it is no step."""
    unique: bool = False
    """Whether next steps are drawn without replacement, and without what the subject's children say already."""

    async def step(self, context: Context, gateway: Gateway) -> list[Proposal]:
        """Draw the request's samples of the next step."""
        path = context.subjects[0].steps
        call = call_of(context, self.prompt(path), self.sampling)
        if self.unique:
            call = replace(call, unique=True, avoid=tuple(dict.fromkeys(context.siblings)))
        drawn = await self._drawn(call, gateway)
        return merge(context, [Candidate(d.place, d.call, step) for d, step in drawn])

    async def chain(self, context: Context, gateway: Gateway) -> list[Proposal]:
        """Draw the request's samples of at most `request.steps` steps each.

        They share the call for their first step; then each goes on by itself, all at once. A chain ends early with a terminal step, at the
        domain's bound, or where a call fails or is refused: what was paid stays.
        """
        path = context.subjects[0].steps
        firsts = await self._drawn(call_of(context, self.prompt(path), self.sampling), gateway)
        chains = await together(self._extended(context, first, gateway) for first in firsts)
        pairs = zip(firsts, chains, strict=True)
        return merge(context, [Candidate(f.place, f.call, chain) for (f, _), chain in pairs])

    async def _extended(self, context: Context, first: Read, gateway: Gateway) -> tuple[Draft, ...]:
        request, subject = context.request, context.subjects[0]
        longest = max(1, min(request.steps, self.domain.max_steps - subject.thought.depth))
        (drawn, step), drafts = first, list[Draft]()
        while step:
            drafts.append(replace(step[0], call=drawn.call))
            path = (*subject.steps, *(draft.text for draft in drafts))
            ended = step[0].last or self.domain.read(context.problem.question, path).terminal
            if ended or len(drafts) == longest:
                break
            # a seed of its own for each step: the same draws would come again otherwise
            seed = derive_seed(context.seed, *(draft.text for draft in drafts))
            sample = request.first_sample + first.drawn.place
            try:
                [(drawn, step)] = await self._drawn(
                    GenerationCall(self.prompt(path), self.sampling, 1, seed, sample), gateway
                )
            except (BudgetSpentError, ModelError) as error:
                if must_stop(error):
                    raise
                break
        return tuple(drafts)

    def _read(self, drawn: Drawn) -> Read:
        """Return a sample with its first step, if it has a whole one."""
        rule = partial(unfinished, self.domain)
        steps = read_steps(drawn.sample, self.domain.stop, whole=True, unfinished=rule, turn=self.turn)
        return Read(drawn, steps[:1])

    async def _drawn(self, call: GenerationCall, gateway: Gateway) -> list[Read]:
        """Draw samples, and repair those that stopped before their step was whole, where the model can go on with what it wrote.

        Raises:
            ModelError: if a turn is continued with nothing but empty lines, see `_check_begun`.
        """
        read = [self._read(drawn) for drawn in await draw(self.model, call, gateway)]
        if isinstance(call.prompt, str) or continues_turns(self.model):
            for _ in range(REPAIRS):
                broken = [i for i, one in enumerate(read) if self._breaks_off(one)]
                begun = [read[i].drawn for i in broken]
                rests = await self._rests(call, [drawn.sample for drawn in begun], gateway)
                for i, first, rest in zip(broken, begun, rests, strict=True):
                    if rest is not None:
                        whole = joined(first.sample, rest.sample, self.domain.stop)
                        read[i] = self._read(replace(first, sample=whole))
        self._check_begun(call, [drawn.sample for drawn, _ in read])
        return read

    async def _rests(
        self, call: GenerationCall, begun: Sequence[Sample], gateway: Gateway
    ) -> Sequence[Drawn | None]:
        """Return how the samples go on; where that fails or is refused, what was paid for them stays all the same."""
        if not begun:
            return []
        parts: list[Part] = []
        for sample in begun:
            # a block has many lines, so the rest of it is drawn without their stop string
            sampling = replace(call.sampling, stop=()) if sample.text.strip() else call.sampling
            parts.append(Part(_longer(call.prompt, sample.text + self.domain.stop), sampling))
        seed = derive_seed(call.seed, "repair")
        try:
            return await draw_each(self.model, parts, seed, call.first_sample, gateway)
        except (BudgetSpentError, ModelError) as error:
            if must_stop(error):
                raise
            return [None] * len(begun)

    def _breaks_off(self, read: Read) -> bool:
        """Return whether a sample stopped before its step was whole."""
        sample = read.drawn.sample
        if sample.finish != "stop":
            return False
        if not sample.text.strip():
            return self.turn and sample.reasoning is None
        return not read.step

    def _check_begun(self, call: GenerationCall, samples: Sequence[Sample]) -> None:
        """Refuse a turn that no sample goes on with: a server that strips what it is to continue makes every one begin with the stop string."""
        continued = not isinstance(call.prompt, str) and call.prompt[-1].role == "assistant"
        if continued and all(sample.finish == "stop" and not sample.text.strip() for sample in samples):
            raise ModelError(
                f"{self.model.name} continues its turn with empty lines only; if its chat template strips the end of a turn, "
                "have it asked for each step (--stepping ask)"
            )


def _longer(prompt: Prompt, text: str) -> Prompt:
    """Return a prompt with what the model wrote after it."""
    if isinstance(prompt, str):
        return prompt + text
    *before, last = prompt
    if last.role == "assistant":
        return (*before, Message("assistant", last.content + text))
    return (*prompt, Message("assistant", text))
