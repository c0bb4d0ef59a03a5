"""Agents of your own in place of ours: a generator with its own prompt, and a verifier with its own rule.

An agent is any object with the name and the one method of its protocol (`thoughtgraph.agents.protocols`). What is paid goes through the gateway it
is handed: there it is scheduled, counted against the budget, recorded, and not paid again after a crash. The model here answers from a script, so
that this runs offline; put `model="openai:…"` or any `LanguageModel` in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.agents.generator import sample_proposals
from thoughtgraph.agents.models.base import GenerationCall, LanguageModel, Sampling
from thoughtgraph.agents.protocols import Context, Gateway, Judgement, Proposal, Subject
from thoughtgraph.graph.records import Thought

STEPS = [
    ["17 * 20 = 360", "17 * 20 = 340"],
    ["17 * 3 = 51"],
    ["340 + 51 = 381", "340 + 51 = 391"],
    ["Answer: 391"],
]


@dataclass(frozen=True)
class Tutor:
    """Generator: shows the model the steps so far, numbered, and what was said against them."""

    model: LanguageModel
    name: str = "tutor@1"

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        done = [f"{i}. {step}" for i, step in enumerate(context.subjects[0].steps, 1)]
        notes = [f"(mind: {note})" for note in context.notes]
        prompt = "\n".join([context.problem.question, *done, *notes, f"{len(done) + 1}. "])
        sampling = Sampling(max_tokens=30, temperature=0.8, stop=("\n",))
        return await sample_proposals(self.model, prompt, sampling, context, "\n", gateway)


@dataclass(frozen=True)
class Arithmetic:
    """Verifier: refutes a product or sum that is wrong; a finished solution without one is right.

    What it raises, here for a step that is no equation, is recorded as a failed evaluation, never as a 0.
    """

    source: str = "arithmetic@1"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        return [self.judge(subject.thought) for subject in subjects]

    def judge(self, thought: Thought) -> Judgement:
        if thought.terminal:
            return Judgement("outcome", value=1.0)
        a, sign, b, _, claimed = thought.text.split()
        right = int(a) * int(b) if sign == "*" else int(a) + int(b)
        if right == int(claimed):
            return Judgement("step", value=1.0)
        return Judgement("rule", value=0.0, text=f"{a} {sign} {b} is {right}")


def student(call: GenerationCall) -> list[str]:
    """Answer in the model's place: the next step, now and then a wrong one."""
    number = int(str(call.prompt).split("\n")[-1].rstrip(". "))
    return list(islice(cycle(STEPS[number - 1]), call.n))


tutor = Tutor(ScriptedModel(student, name="student"))
result = solve("What is 17 * 23?", task="text", scheme="mcts", generator=tutor, verifiers=(Arithmetic(),))
print(result)
print(f"answer {result.answer}, score {result.score}, {result.usage.model_calls} calls")
