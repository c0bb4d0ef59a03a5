"""Evaluators that ask a chat model: values, votes, comparisons, criticism, reflections, choices.

Replies are read strictly. A value is the word alone on the last line, a vote a line that names one of the choices, a choice of the controller one
word and nothing else; option words inside sentences mean nothing, and neither does a reply that was cut off. What cannot be read is asked for once
more (`asking.ask`), and then is an error, never a score. Of several replies, those that could be read count, and `rollouts` says how many.

What models say of their own work is known to be of little worth (Blueprint, arXiv 2501.11223, §8): a trained scorer or an exact check is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..graph.domain import Domain
from ..graph.errors import AgentError, ModelError, ModelUnavailableError
from ..graph.records import EvaluationKind
from .asking import Prompt, ask, best_choice, last_word, only_word, prose, together
from .models.base import GenerationCall, LanguageModel, Message, Sample, Sampling
from .prompting import fill, load_prompt, prompt_versions, show_notes, show_numbered, show_subject
from .protocols import Context, Gateway, Judgement, Subject

T = TypeVar("T")

VALUES: dict[str, float] = {"sure": 20.0, "likely": 1.0, "impossible": 0.001}
"""What the words weigh in the authors' code of Tree of Thoughts (arXiv 2305.10601)."""
HIGHEST = max(VALUES.values())
OPERATIONS = ("generate", "refine", "aggregate", "stop")
"""What a controller may choose from."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What all evaluators here share: a chat model, asked in the words of the task's family."""

    model: LanguageModel
    domain: Domain
    temperature: float = 0.7
    """≥ 0; a request's own temperature goes before it."""
    max_tokens: int = 256
    """Of one reply (≥ 1); it has to hold the reasons that come before the verdict."""

    def name(self, action: str) -> str:
        """Return the source of judgements: what is asked, of whom, in which words."""
        return f"{action}:{self.model.name}:{prompt_versions(self.domain.instructions)}"

    def prompt(self, name: str, subject: Subject, **values: str) -> tuple[Message, ...]:
        """Return the turns of a prompt file, filled."""
        family = self.domain.instructions
        values = {"question": subject.problem.question, "steps": show_subject(self.domain, subject), **values}
        system = Message("system", load_prompt("judge", family))
        return (system, Message("user", fill(load_prompt(name, family), **values)))

    async def replies(
        self, context: Context, gateway: Gateway, prompt: Prompt, read: Callable[[Sample], T | None]
    ) -> list[T]:
        """Return what the replies to a prompt say; see `asking.ask`."""
        request = context.request
        heat = self.temperature if request.temperature is None else request.temperature
        sampling = Sampling(self.max_tokens, heat)
        call = GenerationCall(prompt, sampling, request.n, context.seed, request.first_sample)
        return await ask(self.model, call, gateway, read)


@dataclass(frozen=True, slots=True)
class PromptedValue(Judge):
    """How likely each subject leads to a right answer: sure, likely or impossible.

    The value is the mean of 20, 1 and .001 over the replies, divided by 20. The authors of Tree of Thoughts sum them instead; for equal numbers of
    replies the order is the same, and the mean stays in [0, 1] whatever their number.
    """

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return self.name("value")

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        return await together(
            attempted("value", self._judge(context, subject, gateway)) for subject in context.subjects
        )

    async def _judge(self, context: Context, subject: Subject, gateway: Gateway) -> Judgement:
        words = await self.replies(context, gateway, self.prompt(value_prompt(subject), subject), read_value)
        return Judgement("value", mean_value(words), rollouts=len(words))


@dataclass(frozen=True, slots=True)
class PromptedVote(Judge):
    """Which of the subjects is the most promising; the value of each is its share of the votes that could be read."""

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return self.name("vote")

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`; a single subject has every vote, and nobody is asked."""
        subjects = context.subjects
        if len(subjects) == 1:
            return [Judgement("value", 1.0, text="the only choice", rollouts=0, successes=0)]
        choices = show_numbered("Choice", (show_subject(self.domain, subject) for subject in subjects))
        prompt = self.prompt("vote", subjects[0], choices=choices)
        try:
            votes = await self.replies(
                context, gateway, prompt, lambda reply: best_choice(reply, len(subjects))
            )
        except ModelError as error:
            return [failed("value", error)] * len(subjects)
        counts = Counter(votes)
        return [
            Judgement("value", counts[i] / len(votes), rollouts=len(votes), successes=counts[i])
            for i in range(len(subjects))
        ]


@dataclass(frozen=True, slots=True)
class PromptedComparison(Judge):
    """Whether the first subject is better than the second (LLaMA-Berry, arXiv 2410.02884): a preference of the first.

    Models prefer what they read first, or last. So the pair is shown in both orders, `n` times each, and the shares of replies for the first subject
    are averaged, which cancels a constant bias. Where one order brought nothing that can be read, there is no preference.
    """

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return self.name("compare")

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`; nothing is said of other subjects than the first."""
        if len(context.subjects) < 2:
            raise AgentError(f"{self.source} compares two thoughts and was given one; name a second subject")
        judgement = await attempted("preference", self._judge(context, gateway))
        return [judgement, *[None] * (len(context.subjects) - 1)]

    async def _judge(self, context: Context, gateway: Gateway) -> Judgement:
        ours, theirs = (show_subject(self.domain, subject) for subject in context.subjects[:2])
        forward, backward = await together(
            self.replies(
                context,
                gateway,
                self.prompt("compare", context.subjects[0], first=first, second=second),
                lambda reply: last_word(reply, ("first", "second")),
            )
            for first, second in ((ours, theirs), (theirs, ours))
        )
        wins = (forward.count("first"), backward.count("second"))
        value = (wins[0] / len(forward) + wins[1] / len(backward)) / 2
        return Judgement("preference", value, rollouts=len(forward) + len(backward), successes=sum(wins))


@dataclass(frozen=True, slots=True)
class PromptedCritique(Judge):
    """What is wrong with each subject, in words, which the generations from it read (Self-Refine, arXiv 2303.17651).

    Nothing is said of a subject whose critics all answered OK. What several said is joined.
    """

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return self.name("critique")

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        return await together(
            attempted("critique", self._judge(context, subject, gateway)) for subject in context.subjects
        )

    async def _judge(self, context: Context, subject: Subject, gateway: Gateway) -> Judgement | None:
        turns = critique_turns(self.domain, subject)
        said = await self.replies(context, gateway, turns, prose)
        faults = dict.fromkeys(text for text in said if not is_ok(text))
        return Judgement("critique", text=" ".join(faults)) if faults else None


@dataclass(frozen=True, slots=True)
class PromptedReflection(Judge):
    """What a failed attempt teaches all later ones, in words (Reflexion, arXiv 2303.11366)."""

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return self.name("reflect")

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        return await together(
            attempted("reflection", self._judge(context, subject, gateway)) for subject in context.subjects
        )

    async def _judge(self, context: Context, subject: Subject, gateway: Gateway) -> Judgement:
        prompt = self.prompt("reflect", subject, notes=show_notes(context.notes))
        lessons = await self.replies(context, gateway, prompt, prose)
        return Judgement("reflection", text=" ".join(dict.fromkeys(lessons)))


@dataclass(frozen=True, slots=True)
class PromptedControl(Judge):
    """Which operation comes next, in view of all subjects: a choice, said of the first.

    The model chooses among the words it was offered and nothing else: a reply is one of them, alone, or is not read. Of several replies the most
    frequent counts, of equals the one that is offered first.
    """

    @property
    def source(self) -> str:
        """Who judges, with the model's and the prompts' version."""
        return self.name("control")

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        judgement = await attempted("choice", self._judge(context, gateway))
        return [judgement, *[None] * (len(context.subjects) - 1)]

    async def _judge(self, context: Context, gateway: Gateway) -> Judgement:
        choices = show_numbered("Attempt", (show_subject(self.domain, s) for s in context.subjects))
        prompt = self.prompt("control", context.subjects[0], choices=choices)
        said = Counter(
            await self.replies(context, gateway, prompt, lambda reply: only_word(reply, OPERATIONS))
        )
        chosen = max(OPERATIONS, key=lambda operation: said[operation])
        return Judgement("choice", text=chosen, rollouts=said.total(), successes=said[chosen])


def value_prompt(subject: Subject) -> str:
    """Return the prompt by which a thought is valued: finished solutions are judged, not their prospects."""
    return "value_answer" if subject.thought.terminal else "value"


def read_value(reply: Sample) -> str | None:
    """Return the word of a value reply."""
    return last_word(reply, VALUES)


def mean_value(words: Sequence[str]) -> float:
    """Return the value that these words amount to, in [0, 1]."""
    return sum(VALUES[word] for word in words) / (len(words) * HIGHEST)


def critique_turns(domain: Domain, subject: Subject) -> Prompt:
    """Return what is asked about a step, or about a whole or finished attempt."""
    family, thought = domain.instructions, subject.thought
    name = "critique_attempt" if thought.whole or thought.terminal else "critique_step"
    values = {"question": subject.problem.question, "steps": show_subject(domain, subject)}
    asked = fill(load_prompt(name, family), **values)
    return (Message("system", load_prompt("critique", family)), Message("user", asked))


def is_ok(text: str) -> bool:
    """Return whether a critic has nothing to say."""
    return text.strip(" .!*`\"'").upper() == "OK"


def failed(kind: EvaluationKind, error: ModelError) -> Judgement:
    """Return what is recorded of a call that failed; a model that cannot answer at all ends the search instead."""
    if isinstance(error, ModelUnavailableError):
        raise error
    return Judgement(kind, error=str(error))


async def attempted(kind: EvaluationKind, judging: Coroutine[Any, Any, Judgement | None]) -> Judgement | None:
    """Return a judgement, or the failure of the model as one."""
    try:
        return await judging
    except ModelError as error:
        return failed(kind, error)
