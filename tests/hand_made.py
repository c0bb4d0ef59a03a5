"""Searches driven by hand: outcomes with the thoughts and scores that a test writes down."""

from __future__ import annotations

from typing import Any

from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


class Hand:
    """A search whose outcomes a test makes up, in waves of any size."""

    def __init__(self, scheme: str, seed: int = 0, **params: Any) -> None:
        self.strategy: Any = make_strategy(scheme, params, seed)
        self.state: Any = self.strategy.start(QUESTION)
        self.told: list[Outcome] = []

    @property
    def tree(self) -> Any:
        return self.state.tree

    def ask(self, k: int = 1) -> list[Request]:
        requests, self.state = self.strategy.ask(self.state, k)
        return requests

    def one(self) -> Request:
        """Ask for one request, which must come."""
        [request] = self.ask()
        return request

    def tell(self, outcome: Outcome) -> None:
        self.told.append(outcome)
        self.state = self.strategy.tell(self.state, [outcome])

    def grow(
        self,
        request: Request,
        children: dict[str, float | None],
        *,
        kind: Any = "value",
        answers: dict[str, str] | None = None,
        refuted: str = "",
        texts: dict[str, str] | None = None,
        logprob: float | None = None,
    ) -> None:
        """Tell that a request brought these thoughts, side by side, with their scores; a name ending in ! is finished."""
        depth = self.tree.depth[self.tree.index[request.subjects[0]]] + 1
        thoughts: list[Thought] = []
        evaluations: list[Evaluation] = []
        for sample, (name, score) in enumerate(children.items(), start=request.first_sample):
            answer = (answers or {}).get(name, name) if name.endswith("!") else None
            thoughts.append(
                Thought(
                    name,
                    request.subjects,
                    request.operator,
                    (texts or {}).get(name, f"text of {name}"),
                    depth,
                    request.id,
                    sample,
                    terminal=name.endswith("!"),
                    answer=answer,
                    key=answer,
                    logprob=logprob,
                    tokens=1,
                )
            )
            if score is not None:
                evaluations.append(Evaluation(name, kind, "hand", score, request=request.id))
            if name in refuted.split():
                evaluations.append(Evaluation(name, "rule", "hand", 0.0, request=request.id))
        self.tell(Outcome(request, tuple(thoughts), tuple(evaluations)))

    def chains(
        self, request: Request, *chains: dict[str, float | None], answers: dict[str, str] | None = None
    ) -> None:
        """Tell that a request brought these chains, each from its first thought to its last."""
        thoughts: list[Thought] = []
        evaluations: list[Evaluation] = []
        for sample, chain in enumerate(chains, start=request.first_sample):
            parents = request.subjects
            depth = self.tree.depth[self.tree.index[request.subjects[0]]]
            for name, score in chain.items():
                depth += 1
                answer = (answers or {}).get(name, name) if name.endswith("!") else None
                thoughts.append(
                    Thought(
                        name,
                        parents,
                        request.operator,
                        f"text of {name}",
                        depth,
                        request.id,
                        sample,
                        terminal=name.endswith("!"),
                        answer=answer,
                        key=answer,
                    )
                )
                parents = (name,)
                if score is not None:
                    evaluations.append(Evaluation(name, "value", "hand", score, request=request.id))
        self.tell(Outcome(request, tuple(thoughts), tuple(evaluations)))

    def judge(self, request: Request, kind: Any, *values: float | str | None) -> None:
        """Tell what a request's evaluator said of its subjects; None is a failure."""
        evaluations: list[Evaluation] = []
        for subject, value in zip(request.subjects, values, strict=True):
            said = value if isinstance(value, str) else None
            number = None if isinstance(value, str) else value
            error = "unreadable" if value is None else None
            evaluations.append(Evaluation(subject, kind, "hand", number, error, said, request=request.id))
        self.tell(Outcome(request, (), tuple(evaluations)))

    def q(self, name: str) -> float | None:
        return self.tree.value(self.tree.index[name])

    def n(self, name: str) -> float:
        return self.tree.visits[self.tree.index[name]]

    def answer(self) -> Any:
        return self.strategy.answer(self.state)

    def scores(self, parent: str = "root") -> dict[str, float]:
        """Return what the descent's formula gives each living child of a thought."""
        selector = self.strategy.selector
        node = self.tree.index[parent]
        children = self.tree.children(node)
        formula = selector.descent.formula if hasattr(selector, "descent") else selector.formula
        found = formula.scores(self.tree, node, children)
        return {self.tree.thought[child].id: score for child, score in zip(children, found, strict=True)}
