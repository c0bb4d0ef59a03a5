"""The generator over chat models: one prompt file for each action, said in the words of the task's family.

Criticism, reflections and what tools answered are passed on to the model as remarks. Nothing that it writes chooses what is done next: an action is
asked for by the scheme, and the reply is read as the steps it should be, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..graph.domain import Domain, unfinished
from ..graph.errors import AgentError, BudgetSpentError, ModelError
from ..graph.ids import derive_seed
from ..graph.records import Operator
from ..tools.base import Tool
from .actions import GENERATE
from .asking import Drawn, Part, Prompt, draw, draw_each, must_stop, prose
from .drafts import Candidate, as_one, kept, merge, read_steps
from .formats import AGAIN, ANSWER, REPHRASED, SUBQUESTION, read_subquestion, strip_item
from .models.base import GenerationCall, LanguageModel, Message, Sample, Sampling, reasons_first
from .observing import observed_steps
from .prompting import fill, load_prompt, show_notes, show_numbered, show_steps, show_subject, with_tools
from .protocols import Context, Draft, Gateway, Proposal
from .sampling import call_of, sample_proposals, sampling_of
from .stepping import Stepper

_CONTINUING = {
    ("", "step"): "next_step",
    ("", "answer"): "next_answer",
    ("", "solution"): "whole",
    ("finish", "answer"): "finish",
    ("finish", "solution"): "finish",
    ("few_shot", "answer"): "few_shot",
    ("few_shot", "solution"): "few_shot",
}
"""The prompt of each action that samples are drawn from in one call, by action and horizon."""

_FEEDBACK_TOKENS = 256


@dataclass(frozen=True, slots=True)
class PromptedGenerator:
    """Asks a chat model for what an action wants; see `actions.GENERATE`.

    Whole attempts (horizon `solution`) are made by `generate`, by `refine`, which rewrites the first subject in view of the remarks on it and of
    further subjects as earlier attempts, and by `aggregate`, which combines all subjects.
    """

    model: LanguageModel
    domain: Domain
    temperature: float = 0.7
    top_p: float = 1.0
    tools: tuple[Tool, ...] = ()
    """What the model is told that it may call."""

    @property
    def name(self) -> str:
        """Identity for content addresses; the prompt is part of each call's own."""
        return f"prompted:{self.model.name}"

    @property
    def actions(self) -> frozenset[str]:
        """The actions and operators it knows."""
        return frozenset({*GENERATE, "refine", "aggregate"})

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        """See `Generator.propose`.

        Raises:
            AgentError: for an action that it does not know, or that has no such horizon.
        """
        request = context.request
        whole = request.horizon == "solution"
        many = request.horizon != "step" and not request.steps
        match request.operator, request.action:
            case Operator.GENERATE, "" | "finish" if (request.action, request.horizon) in _CONTINUING:
                return await self._continue(context, gateway)
            case Operator.GENERATE, "few_shot" if many:
                return await self._continue(context, gateway)
            case Operator.GENERATE, "zero_shot" if many:
                return await self._zero_shot(context, gateway)
            case Operator.GENERATE, "propose" | "split" if request.horizon != "answer":
                return await self._list(context, gateway)
            case Operator.GENERATE, "plan" if request.horizon != "answer":
                return await self._single(context, gateway, self._read_plan)
            case Operator.GENERATE, "rephrase" if request.horizon != "answer":
                return await self._single(context, gateway, self._read_rephrased)
            case Operator.GENERATE, "subquestion" | "reanswer" if request.horizon == "step":
                return await self._single(context, gateway, self._read_subquestion)
            case Operator.REFINE, "" | "feedback" if whole:
                return await self._refine(context, gateway)
            case Operator.AGGREGATE, "" if whole:
                return await self._aggregate(context, gateway)
            case _:
                raise AgentError(
                    f"generator {self.name!r} cannot {request.operator} with action {request.action!r}, horizon {request.horizon!r} and "
                    f"{request.steps} steps at most; ask for what help(thoughtgraph.agents.actions) lists"
                )

    async def _continue(self, context: Context, gateway: Gateway) -> list[Proposal]:
        request = context.request
        steps, name = context.subjects[0].steps, _CONTINUING[request.action, request.horizon]
        sampling = self._sampling(context)
        if request.horizon == "step" or (request.horizon == "answer" and request.steps):

            def ask_step(path: tuple[str, ...]) -> Prompt:
                return self._turns(context, "next_step", steps=self._shown(context, path))

            stepper = Stepper(self.model, self.domain, ask_step, sampling)
            return await (stepper.step if request.horizon == "step" else stepper.chain)(context, gateway)
        if name == "few_shot":
            so_far = "" if request.horizon == "solution" else self._so_far(steps)
            turns = self._turns(context, name, examples=self._prompt("examples"), so_far=so_far)
        else:
            turns = self._turns(context, name, steps=self._shown(context))
        if name == "finish" and request.horizon == "solution":
            drawn = await draw(self.model, call_of(context, turns, sampling), gateway)
            ends = [(d, self._steps(d.sample)) for d in drawn]
            return merge(
                context, [Candidate(d.place, d.call, (*kept(steps), *end)) for d, end in ends if end]
            )
        return await self._sampled(context, turns, gateway)

    async def _zero_shot(self, context: Context, gateway: Gateway) -> list[Proposal]:
        """Reason first, then extract the answer: the two calls of arXiv 2205.11916, the second one greedy.

        The second is left out where the reasoning ends in the task's own form of an answer.
        """
        solution = context.request.horizon == "solution"
        steps = () if solution else context.subjects[0].steps
        first = self._user(context, "zero_shot", so_far=self._so_far(steps))
        drawn = await draw(self.model, call_of(context, (first,), self._sampling(context)), gateway)
        reasoned = [(d, self._steps(d.sample)) for d in drawn]
        open_ = [(d, r) for d, r in reasoned if r and not self._ends(context, (*steps, *_texts(r)))]
        greedy = Sampling(self.domain.step_tokens, 0.0)
        asked = Message("user", self._prompt("extract"))
        parts = [
            Part((first, Message("assistant", show_steps(self.domain, _texts(r))), asked), greedy)
            for _, r in open_
        ]
        found = await self._extracted(context, parts, gateway)
        answers = {
            d.place: self._answer(context, (*steps, *_texts(r)), reply)
            for (d, r), reply in zip(open_, found, strict=True)
        }
        return merge(
            context, [Candidate(d.place, d.call, (*r, *answers.get(d.place, ()))) for d, r in reasoned]
        )

    async def _extracted(
        self, context: Context, parts: Sequence[Part], gateway: Gateway
    ) -> Sequence[Drawn | None]:
        """Return the answers found in reasonings; where none can be had, what was paid for the reasoning stays all the same."""
        if not parts:
            return []
        seed = derive_seed(context.seed, "extract")
        try:
            return await draw_each(self.model, parts, seed, context.request.first_sample, gateway)
        except (BudgetSpentError, ModelError) as error:
            if must_stop(error):
                raise
            return [None] * len(parts)

    async def _list(self, context: Context, gateway: Gateway) -> list[Proposal]:
        """Have one reply list up to `n` steps or parts; the whole list is one sample, and what it says twice counts once."""
        request = context.request
        steps = self._shown(context)
        turns = self._turns(context, request.action, steps=steps, n=str(request.n))
        sampling = replace(self._sampling(context), max_tokens=self.domain.step_tokens * request.n, stop=())
        call = GenerationCall(turns, sampling, 1, context.seed, request.first_sample)
        [drawn] = await draw(self.model, call, gateway)
        items: dict[str, Draft] = {}
        for draft in self._steps(drawn.sample):
            text = strip_item(draft.text)
            if text:
                items.setdefault(text, replace(draft, text=text))
        listed = list(items.values())[: request.n]
        return merge(context, [Candidate(i, drawn.call, (draft,)) for i, draft in enumerate(listed)])

    async def _single(
        self, context: Context, gateway: Gateway, read: Callable[[Context, Sample], str]
    ) -> list[Proposal]:
        """Draw samples each of which is read as one thought, or as none."""
        subject = context.subjects[0]
        values = {"steps": self._shown(context)}
        if context.request.action == "reanswer":
            asked = read_subquestion(subject.thought.text)
            values["subquestion"] = asked.question if asked else subject.thought.text
        turns = self._turns(context, context.request.action, **values)
        sampling = replace(self._sampling(context), max_tokens=4 * self.domain.step_tokens, stop=())
        drawn = await draw(self.model, call_of(context, turns, sampling), gateway)
        read_off = [(d, read(context, d.sample)) for d in drawn]
        return merge(
            context, [Candidate(d.place, d.call, (as_one(d.sample, text),)) for d, text in read_off if text]
        )

    async def _refine(self, context: Context, gateway: Gateway) -> list[Proposal]:
        request = context.request
        sampling = self._sampling(context)
        if request.action != "feedback":
            turns = self._rewriting(context, ())
            return await self._sampled(context, turns, gateway)
        attempt = show_subject(self.domain, context.subjects[0])
        turns = self._turns(context, "feedback", attempt=attempt)
        short = replace(sampling, max_tokens=_FEEDBACK_TOKENS)
        said = await draw(self.model, call_of(context, turns, short), gateway)
        parts = [Part(self._rewriting(context, [prose(d.sample) or ""]), sampling) for d in said]
        seed = derive_seed(context.seed, "rewrite")
        drawn = await draw_each(self.model, parts, seed, request.first_sample, gateway)
        return self._attempts(context, [d for d in drawn if d])

    async def _aggregate(self, context: Context, gateway: Gateway) -> list[Proposal]:
        attempts = show_numbered("Attempt", (show_subject(self.domain, s) for s in context.subjects))
        turns = self._turns(context, "aggregate", attempts=attempts)
        return await self._sampled(context, turns, gateway)

    async def _sampled(self, context: Context, turns: Prompt, gateway: Gateway) -> list[Proposal]:
        """Draw the request's samples in one call, each of which may hold many steps."""
        return await sample_proposals(
            self.model,
            turns,
            self._sampling(context),
            context,
            self.domain.stop,
            gateway,
            unfinished=partial(unfinished, self.domain),
        )

    def _attempts(self, context: Context, drawn: Sequence[Drawn]) -> list[Proposal]:
        return merge(context, [Candidate(d.place, d.call, self._steps(d.sample)) for d in drawn])

    def _rewriting(self, context: Context, remarks: Sequence[str]) -> Prompt:
        """Return what is asked for a new attempt in place of the first subject."""
        first, *others = context.subjects
        # a scheme may name them newest first; what was made from another is deeper than it
        others.reverse()
        others.sort(key=lambda subject: subject.thought.depth)
        earlier = show_numbered("Attempt", (show_subject(self.domain, subject) for subject in others))
        heeded = replace(context, notes=(*context.notes, *filter(None, remarks)))
        return self._turns(heeded, "refine", attempt=show_subject(self.domain, first), earlier=earlier)

    def _read_plan(self, context: Context, sample: Sample) -> str:
        items = (strip_item(draft.text) for draft in self._steps(sample))
        return "\n".join(dict.fromkeys(item for item in items if item))

    def _read_rephrased(self, context: Context, sample: Sample) -> str:
        text = " ".join(sample.text.split())
        if not text or sample.finish in ("length", "filter"):
            return ""
        return text if text.lower().startswith(REPHRASED.lower()) else f"{REPHRASED} {text}"

    def _read_subquestion(self, context: Context, sample: Sample) -> str:
        """Return the sub-question with its answer, on one line even where the reply needed several; else the first step of the reply."""
        steps = _texts(self._steps(sample))
        end = next((k for k, step in enumerate(steps, 1) if ANSWER in step.lower()), 0)
        if not end:
            return "" if sample.finish == "length" or not steps else steps[0]
        line = " ".join(" ".join(steps[:end]).split())
        if context.request.action != "reanswer" or line.lower().startswith(AGAIN.lower()):
            return line
        asked = read_subquestion(context.subjects[0].thought.text)
        if line.lower().startswith(SUBQUESTION.lower()):
            return f"{AGAIN}{line[len(SUBQUESTION) :]}"
        return line if asked is None else f"{AGAIN} {asked.question} {line}"

    def _answer(self, context: Context, steps: Sequence[str], reply: Drawn | None) -> tuple[Draft, ...]:
        """Return the answer line that a reply is, in the task's form; nothing if it is none."""
        drafts = read_steps(reply.sample, self.domain.stop, whole=False) if reply else ()
        for draft in drafts:
            for text in (draft.text, f"Answer: {draft.text}"):
                if self.domain.read(context.problem.question, (*steps, text)).terminal:
                    return (replace(draft, text=text, call=reply.call if reply else None),)
        return ()

    def _ends(self, context: Context, steps: Sequence[str]) -> bool:
        """Return whether some of the steps finishes the solution."""
        question = context.problem.question
        return any(self.domain.read(question, steps[:k]).terminal for k in range(1, len(steps) + 1))

    def _steps(self, sample: Sample) -> tuple[Draft, ...]:
        rule = partial(unfinished, self.domain)
        return read_steps(sample, self.domain.stop, whole=True, unfinished=rule)

    def _shown(self, context: Context, path: Sequence[str] | None = None) -> str:
        """Return the steps of the first subject, or those of a path that goes on from there, with what tools answered."""
        return show_steps(self.domain, observed_steps(context.subjects[0], path))

    def _so_far(self, steps: Sequence[str]) -> str:
        return f"\nSteps so far, to be continued:\n{show_steps(self.domain, steps)}\n" if steps else ""

    def _sampling(self, context: Context) -> Sampling:
        kept_steps = 0 if context.request.horizon == "solution" else None
        sampling = sampling_of(context, self.domain, self.temperature, self.top_p, kept=kept_steps)
        # a stop string would end the thoughts of a model that has some, and a block that calls a tool after its first line;
        # the first step is cut out of the reply instead
        blocks = any(tool.language for tool in self.tools)
        return replace(sampling, stop=()) if blocks or reasons_first(self.model) else sampling

    def _turns(self, context: Context, prompt: str, **values: str) -> tuple[Message, ...]:
        system = with_tools(self._prompt("system"), self.tools, self.domain.instructions)
        return (Message("system", system), self._user(context, prompt, **values))

    def _user(self, context: Context, prompt: str, **values: str) -> Message:
        values = {"question": context.problem.question, "notes": show_notes(context.notes), **values}
        return Message("user", fill(self._prompt(prompt), **values).rstrip())

    def _prompt(self, name: str) -> str:
        return load_prompt(name, self.domain.instructions)


def _texts(drafts: Sequence[Draft]) -> tuple[str, ...]:
    return tuple(draft.text for draft in drafts)
