"""An endless world of fresh thoughts, for tests that count or that are large."""

from __future__ import annotations

from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


class Grower:
    """Answers requests with fresh thoughts, cheaply; keeps nothing but their depths."""

    def __init__(self, finished: int = 0, few: int = 10**9) -> None:
        self.depths = {"root": 0}
        self.finished = finished
        """Every so many thoughts, one is finished; 0: none ever."""
        self.few = few
        """Children at most of all thoughts but the root."""

    def do(self, request: Request) -> Outcome:
        if not request.grows:
            return Outcome(request, (), tuple(self._value(subject, request) for subject in request.subjects))
        thoughts: list[Thought] = []
        n = request.n if request.subjects == ("root",) else min(request.n, self.few)
        for sample in range(request.first_sample, request.first_sample + n):
            parent = request.subjects[0]
            for _ in range(request.steps or 1):
                thoughts.append(self._thought(parent, request, sample))
                parent = thoughts[-1].id
                if thoughts[-1].terminal:
                    break
        scores = (Evaluation(t.id, "step", "v", _score(t.id), request=request.id) for t in thoughts)
        return Outcome(request, tuple(thoughts), tuple(scores))

    def _thought(self, parent: str, request: Request, sample: int) -> Thought:
        made = len(self.depths)
        name, depth = f"{made:020d}", self.depths[parent] + 1
        self.depths[name] = depth
        terminal = bool(self.finished) and made % self.finished == 0
        answer = str(made % 7) if terminal else None
        return Thought(
            name,
            (parent,),
            Operator.GENERATE,
            f"step {name}",
            depth,
            request.id,
            sample,
            terminal=terminal,
            answer=answer,
            key=answer,
            state=None if terminal else f"state {made % 50_000}",
        )

    def _value(self, subject: str, request: Request) -> Evaluation:
        return Evaluation(subject, "value", "e", _score(subject), request=request.id)


def _score(name: str) -> float:
    return int(name) * 7919 % 1000 / 1000
