"""What tests of agents share: a real gateway without a machine, and contexts made of a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.agents.protocols import Context, Observation, Subject
from thoughtgraph.graph.budget import Meter
from thoughtgraph.graph.domain import Domain
from thoughtgraph.graph.gateway import Purse, RequestGateway
from thoughtgraph.graph.growth import grow
from thoughtgraph.graph.ids import address
from thoughtgraph.graph.records import Budget, Operator, Problem, Request, Thought
from thoughtgraph.tasks.text import TextDomain

TEXT = TextDomain()
PROBLEM = Problem("p", "text", "How many are 3 dozen?")
ROOT = Thought("root", (), Operator.GENERATE, PROBLEM.question, 0)


def gateway(**budget: Any) -> RequestGateway:
    """Return a gateway; without limits, one of a million calls."""
    meter = Meter(Budget(**(budget or {"model_calls": 10**6})))
    return RequestGateway(Purse("unit", meter, Scheduler(), lambda commit: None, barrier=False), "request")


def subject(
    *steps: str,
    whole: bool = False,
    domain: Domain = TEXT,
    problem: Problem = PROBLEM,
    observations: tuple[Observation, ...] = (),
    depth: int = 1,
) -> Subject:
    """Return the thought at the end of these steps, or the whole attempt that they are."""
    path = [Thought("root", (), Operator.GENERATE, problem.question, 0)]
    if whole:
        reading = domain.read(problem.question, steps)
        text = "\n".join(steps)
        path.append(
            _thought(path[-1], text, reading.terminal, reading.answer, reading.key, depth, whole=True)
        )
    else:
        for k, step in enumerate(steps, 1):
            reading = domain.read(problem.question, steps[:k])
            path.append(_thought(path[-1], step, reading.terminal, reading.answer, reading.key, k))
    return Subject(problem, tuple(path), observations)


def _thought(
    parent: Thought,
    text: str,
    terminal: bool,
    answer: str | None,
    key: str | None,
    depth: int,
    *,
    whole: bool = False,
) -> Thought:
    return Thought(
        address("thought", parent.id, text),
        (parent.id,),
        Operator.GENERATE,
        text,
        depth,
        terminal=terminal,
        answer=answer,
        key=key,
        whole=whole,
    )


def context(
    *subjects: Subject,
    siblings: Sequence[str] = (),
    notes: Sequence[str] = (),
    seed: int = 7,
    operator: Operator = Operator.GENERATE,
    **request: Any,
) -> Context:
    """Return what an agent sees of a request about these subjects, or about the question."""
    subjects = subjects or (subject(),)
    asked = Request(operator, tuple(s.thought.id for s in subjects), **request)
    return Context(subjects[0].problem, asked, subjects, tuple(siblings), tuple(notes), seed)


def judged(*subjects: Subject, action: str, **request: Any) -> Context:
    """Return the context of an evaluation request."""
    return context(*subjects, operator=Operator.EVALUATE, action=action, **request)


async def grown(generator: Any, asked: Context, domain: Domain = TEXT, **budget: Any) -> list[Thought]:
    """Return the thoughts that come of a request, as the machine makes them."""
    proposals = await generator.propose(asked, gateway(**budget))
    assert len(proposals) <= asked.request.n
    return grow("run", domain, asked.request, asked.subjects, proposals, generator.name)
