"""The generator over chat models that go on with a turn of their own: the question is asked once, and steps are added to the answer.

The model is asked for the whole solution, and what it has written so far stands as the beginning of its answer, which it goes on with up to the next stop
string. It sees its own words as its own, and the prompt of a thought's children is the thought's own prompt and the thought: an engine's prefix cache has
all but the last step. Where the model ends its turn it has ended the solution, whether the task finds an answer in it or not.

What is no step of a solution (whole attempts, plans, sub-questions, refinements, …) is asked for as `PromptedGenerator` asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..graph.domain import Domain, unfinished
from ..graph.records import Operator, Request
from ..tools.base import Tool
from .models.base import LanguageModel, Message
from .observing import show_observations
from .prompted_generator import PromptedGenerator
from .prompting import fill, load_prompt, show_notes, with_tools
from .protocols import Context, Gateway, Proposal
from .sampling import sample_proposals, sampling_of
from .stepping import Stepper


@dataclass(frozen=True, slots=True)
class ContinuingGenerator:
    """Has a chat model go on with its answer, step by step or to the end."""

    model: LanguageModel
    """One that `models.base.continues_turns`."""
    domain: Domain
    temperature: float = 0.7
    top_p: float = 1.0
    tools: tuple[Tool, ...] = ()
    """What the model is told that it may call."""

    @property
    def name(self) -> str:
        """Identity for content addresses; the prompt is part of each call's own."""
        return f"continued:{self.model.name}"

    @property
    def actions(self) -> frozenset[str]:
        """The actions and operators it knows."""
        return self._asking.actions

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        """See `Generator.propose`.

        Raises:
            AgentError: for an action that it does not know, or that has no such horizon.
        """
        request = context.request
        if not _goes_on(request):
            return await self._asking.propose(context, gateway)
        sampling = sampling_of(context, self.domain, self.temperature, self.top_p)
        stepper = Stepper(self.model, self.domain, partial(self._turns, context), sampling, turn=True)
        if request.horizon == "step":
            return await stepper.step(context, gateway)
        if request.steps:
            return await stepper.chain(context, gateway)
        return await sample_proposals(
            self.model,
            self._turns(context, context.subjects[0].steps),
            sampling,
            context,
            self.domain.stop,
            gateway,
            unfinished=partial(unfinished, self.domain),
            turn=True,
        )

    def _turns(self, context: Context, steps: tuple[str, ...]) -> tuple[Message, ...]:
        """Return the conversation after these steps; without any, the model is about to answer.

        Remarks change the question's turn, and with it all that follows, so they are there only where there are any.
        """
        family = self.domain.instructions
        notes = f"\nRemarks on the beginning of the solution:\n{show_notes(context.notes)}\n"
        asked = fill(
            load_prompt("continued", family),
            question=context.problem.question,
            remarks=notes if context.notes else "",
        )
        system = with_tools(load_prompt("system", family), self.tools, family)
        turns = [Message("system", system), Message("user", asked)]
        said, answer = context.subjects[0].observed, ""
        for i, step in enumerate(steps):
            answer += f"{step}{self.domain.stop}"
            if (
                i < len(said) and said[i]
            ):  # no words of the model's own: they come in a turn of somebody else's
                turns += [Message("assistant", answer), Message("user", show_observations(said[i]))]
                answer = ""
        return (*turns, Message("assistant", answer)) if answer else tuple(turns)

    @property
    def _asking(self) -> PromptedGenerator:
        return PromptedGenerator(self.model, self.domain, self.temperature, self.top_p, self.tools)


def _goes_on(request: Request) -> bool:
    """Return whether a request wants the next steps of a solution."""
    wanted = (request.action, request.horizon)
    return request.operator is Operator.GENERATE and wanted in (
        ("", "step"),
        ("", "answer"),
        ("finish", "answer"),
    )
