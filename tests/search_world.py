"""A small world to search in, for tests of strategies: it answers requests as the machine would, deterministically by their content.

Solutions are paths of digits of length `depth`. A path's true quality is drawn from its own text; verifiers read it with noise, fail at
times, and rules refute at times. Run as a script, it prints a digest of every scheme's search, for comparison between processes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thoughtgraph.graph.ids import address, derive_rng
from thoughtgraph.graph.records import Answer, Evaluation, EvaluationKind, Operator, Outcome, Request, Thought
from thoughtgraph.graph.strategies.base import Strategy

ROOT = Thought(address("thought", "world"), (), Operator.GENERATE, "the question", 0)


@dataclass
class World:
    """Answers requests."""

    seed: int = 0
    depth: int = 3
    """Steps of a solution."""
    letters: int = 5
    """Different next steps."""
    goal: float = 0.9
    """Solutions of at least this quality are right, as the outcome check says."""
    kinds: tuple[EvaluationKind, ...] = ("step", "value", "outcome")
    """Evaluations made; outcomes of finished solutions only, values of unfinished ones only."""
    failing: float = 0.0
    """Share of evaluations that fail."""
    refuting: float = 0.0
    """Share of thoughts that a rule refutes."""
    dropping: float = 0.0
    """Share of samples that come to nothing."""
    breaking: float = 0.0
    """Share of requests that come to nothing."""
    thoughts: dict[str, Thought] = field(default_factory=lambda: {ROOT.id: ROOT})
    digits: dict[str, str] = field(default_factory=lambda: {ROOT.id: ""})
    """What each thought amounts to: the digits so far."""
    parts: int = 2
    """Sub-problems of a plan."""

    def do(self, request: Request) -> Outcome:
        """Return what came of a request."""
        if self._chance("break", request.id) < self.breaking:
            return Outcome(request, error="the model failed")
        if not request.grows:
            return Outcome(request, (), tuple(self._replies(request)))
        grown: dict[object, list[Thought]] = {}
        for sample in range(request.first_sample, request.first_sample + request.n):
            chain = self._sampled(request, sample)
            if not chain:
                continue
            known = grown.get(chain[-1].text) if request.distinct else None
            if known is None:
                grown[chain[-1].text if request.distinct else sample] = chain
            else:
                known[:] = [replace(thought, count=thought.count + 1) for thought in known]
        thoughts = [thought for chain in grown.values() for thought in chain]
        self.thoughts.update({thought.id: thought for thought in thoughts})
        evaluations = [e for thought in thoughts for e in self._judge(thought, request)]
        return Outcome(request, tuple(thoughts), tuple(evaluations))

    def quality(self, text: str) -> float:
        """Return the true quality of a path, in [0, 1]."""
        return self._chance("quality", text)

    def _sampled(self, request: Request, sample: int) -> list[Thought]:
        if self._chance("drop", request.id, sample) < self.dropping:
            return []
        subject = self.thoughts[request.subjects[0]]
        if request.action in ("plan", "split") or (request.nested and request.nested.question):
            return [self._part(request, subject, sample)]
        if request.horizon == "solution":
            return [self._attempt(request, subject, sample)]
        return self._chain(request, subject, sample)

    def _chain(self, request: Request, subject: Thought, sample: int) -> list[Thought]:
        chain: list[Thought] = []
        digits, last = self.digits[subject.id], subject
        steps = 1 if request.horizon == "step" else request.steps or self.depth
        while len(chain) < steps and len(digits) < self.depth:
            greedy = request.temperature == 0.0
            rng = derive_rng(self.seed, "next", digits, -1 if greedy else sample)
            digits += str(rng.randrange(self.letters))
            last = self._thought(request, (last,), digits, digits, sample, len(chain), rng.random())
            chain.append(last)
        return chain

    def _attempt(self, request: Request, subject: Thought, sample: int) -> Thought:
        """Return a whole solution: a new one, one with a digit changed, or one with digits of each subject."""
        rng = derive_rng(self.seed, "attempt", request.operator, sorted(request.subjects), sample)
        found = "".join(str(rng.randrange(self.letters)) for _ in range(self.depth))
        sources = [d for s in request.subjects if len(d := self.digits[s]) == self.depth]
        if sources and request.operator is Operator.REFINE:
            place = rng.randrange(self.depth)
            found = sources[0][:place] + found[place] + sources[0][place + 1 :]
        elif sources:
            found = "".join(sources[i % len(sources)][i] for i in range(self.depth))
        subjects = tuple(self.thoughts[s] for s in request.subjects)
        return self._thought(request, subjects, found, found, sample, 0, rng.random(), whole=True)

    def _part(self, request: Request, subject: Thought, sample: int) -> Thought:
        """Return a plan, a part of the problem, or the result of a sub-problem."""
        nested = request.nested
        text = (
            f"{nested.question} = {sample}" if nested else "\n".join(f"part {i}" for i in range(self.parts))
        )
        text += f" of sample {sample}" if request.action == "split" else ""
        subjects = tuple(self.thoughts[s] for s in request.subjects)
        return self._thought(request, subjects, "", text, sample, 0, 0.5, whole=True)

    def _thought(
        self,
        request: Request,
        parents: tuple[Thought, ...],
        digits: str,
        text: str,
        sample: int,
        place: int,
        luck: float,
        *,
        whole: bool = False,
    ) -> Thought:
        terminal = len(digits) == self.depth
        answer = str(int(digits) % 7) if terminal else None
        ids = tuple(parent.id for parent in parents)
        thought = Thought(
            id=address(
                "thought",
                ids,
                text,
                sample,
                request.n,
                place,
                request.operator,
                request.action,
                request.agent,
            ),
            parents=ids,
            operator=request.operator,
            text=text,
            depth=parents[0].depth + 1,
            request=request.id,
            sample=sample,
            terminal=terminal,
            answer=answer,
            key=answer,
            state=None if terminal or not digits else str(sum(map(int, digits))),
            logprob=-0.1 - luck,
            tokens=3,
            whole=whole,
            nested="inner" if request.nested else None,
        )
        self.digits[thought.id] = digits
        return thought

    def _replies(self, request: Request) -> list[Evaluation]:
        """Return what an evaluator says of a request's subjects."""
        texts = [self.thoughts[subject].text for subject in request.subjects]
        worth = [0.7 * self.quality(t) + 0.3 * self._chance("reply", request.action, t) for t in texts]
        made: list[Evaluation] = []
        for subject, own in zip(request.subjects, worth, strict=True):
            kind, value, text = "value", own, None
            counts: tuple[int, int] | tuple[None, None] = (None, None)
            if request.action == "vote":
                value = float(own == max(worth))
                counts = (request.n, int(value) * request.n)
            elif request.action == "compare":
                if subject != request.subjects[0]:
                    continue
                kind, value = "preference", 1.0 / (1.0 + 10.0 ** (worth[1] - worth[0]))
            elif request.action == "discriminate":
                agreed = round(own * request.n)
                kind, value, counts = "agreement", agreed / request.n, (request.n, agreed)
            elif request.action in ("critique", "reflect", "control"):
                kinds = {"critique": "critique", "reflect": "reflection", "control": "choice"}
                operations = ("generate", "refine", "aggregate", "stop")
                kind, value = kinds[request.action], None
                text = operations[int(own * 4) % 4] if kind == "choice" else f"mind {own:.2f}"
            if self._chance("fail", request.id, subject) < self.failing:
                made.append(Evaluation(subject, kind, "reply", error="unreadable", request=request.id))  # pyright: ignore[reportArgumentType]
            else:
                made.append(
                    Evaluation(subject, kind, "reply", value, None, text, *counts, request=request.id)  # pyright: ignore[reportArgumentType]
                )
        return made

    def _judge(self, thought: Thought, request: Request) -> list[Evaluation]:
        made: list[Evaluation] = []
        refuted = self._chance("refute", thought.text) < self.refuting
        made.append(Evaluation(thought.id, "rule", "rule", float(not refuted), request=request.id))
        if refuted:
            return made
        for kind in self.kinds:
            if (kind == "outcome" and not thought.terminal) or (kind == "value" and thought.terminal):
                continue
            if self._chance("fail", kind, thought.text) < self.failing:
                made.append(Evaluation(thought.id, kind, kind, error="NaN", request=request.id))
                continue
            value = 0.7 * self.quality(thought.text) + 0.3 * self._chance("noise", kind, thought.text)
            if kind == "outcome":
                value = float(self.quality(thought.text) >= self.goal)
            made.append(Evaluation(thought.id, kind, kind, value, request=request.id))
        return made

    def _chance(self, *labels: Any) -> float:
        return derive_rng(self.seed, *labels).random()


@dataclass
class Trace:
    """A search that was run: what was asked, in order, what was told, in order, and how it ended."""

    asked: list[list[str]]
    told: list[Outcome]
    answer: Answer | None
    state: Any


def run(strategy: Strategy[Any], world: World, k: int = 4, limit: int = 10_000) -> Trace:
    """Search to the end, in waves of k, or until `limit` requests were told."""
    state = strategy.start(ROOT)
    trace = Trace([], [], None, state)
    while len(trace.told) < limit:
        requests, state = strategy.ask(state, k)
        trace.asked.append([request.id for request in requests])
        if not requests:
            break
        outcomes = [world.do(request) for request in requests]
        trace.told.extend(outcomes)
        state = strategy.tell(state, outcomes)
    trace.state, trace.answer = state, strategy.answer(state)
    return trace


def digest(asked: Sequence[Sequence[str]], answer: Answer | None) -> str:
    """Return a digest of a search."""
    return hashlib.sha256(repr((asked, answer)).encode()).hexdigest()


def main() -> None:
    """Print a digest for every scheme."""
    from scheme_cases import SMALL

    from thoughtgraph.graph.schemes import make_strategy, schemes

    for name in sorted(schemes()):
        trace = run(
            make_strategy(name, SMALL.get(name), seed=1),
            World(seed=3, failing=0.1, refuting=0.1, goal=2.0),
            limit=60,
        )
        print(name, digest(trace.asked, trace.answer))


if __name__ == "__main__":
    sys.exit(main())
