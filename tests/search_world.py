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

    def do(self, request: Request) -> Outcome:
        """Return what came of a request."""
        if self._chance("break", request.id) < self.breaking:
            return Outcome(request, error="the model failed")
        subject = self.thoughts[request.subjects[0]]
        grown: dict[object, list[Thought]] = {}
        for sample in range(request.first_sample, request.first_sample + request.n):
            chain = self._chain(request, subject, sample)
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

    def _chain(self, request: Request, subject: Thought, sample: int) -> list[Thought]:
        if self._chance("drop", request.id, sample) < self.dropping:
            return []
        chain: list[Thought] = []
        text = "" if subject is ROOT else subject.text
        last = subject
        steps = 1 if request.horizon == "step" else self.depth
        while len(chain) < steps and last.depth < self.depth:
            greedy = request.temperature == 0.0
            rng = derive_rng(self.seed, "next", text, -1 if greedy else sample)
            text += str(rng.randrange(self.letters))
            terminal = last.depth + 1 == self.depth
            answer = str(int(text) % 7) if terminal else None
            last = Thought(
                id=address("thought", last.id, text, sample, request.n, len(chain)),
                parents=(last.id,),
                operator=Operator.GENERATE,
                text=text,
                depth=last.depth + 1,
                request=request.id,
                sample=sample,
                terminal=terminal,
                answer=answer,
                key=answer,
                logprob=-0.1 - rng.random(),
                tokens=3,
            )
            chain.append(last)
        return chain

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
    from thoughtgraph.graph.schemes import make_strategy, schemes

    for name in sorted(schemes()):
        trace = run(make_strategy(name, seed=1), World(seed=3, failing=0.1, refuting=0.1, goal=2.0), limit=60)
        print(name, digest(trace.asked, trace.answer))


if __name__ == "__main__":
    sys.exit(main())
