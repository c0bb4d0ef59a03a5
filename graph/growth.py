"""From what a generator proposed to thoughts, and from what a judge said to evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..agents.protocols import Judgement, Proposal, Subject
from ..storage.sanitise import sanitise
from .domain import Domain
from .ids import address
from .records import Evaluation, Operator, Problem, Request, Thought


def root_thought(run: str, problem: Problem) -> Thought:
    """Return the root of a search: the question itself."""
    return Thought(
        id=address("thought", run, problem.id),
        parents=(),
        operator=Operator.GENERATE,
        text=problem.question,
        depth=0,
    )


def grow(
    run: str,
    domain: Domain,
    request: Request,
    subjects: Sequence[Subject],
    proposals: Sequence[Proposal],
    agent: str,
) -> list[Thought]:
    """Turn proposals into thoughts, parents before children.

    A thought's id is the content address of (run, parents, operator, agent, model call, sample index): the call's id covers prompt, model and
    sampling parameters, the parents cover the problem. Steps beyond the domain's limit, and steps after a terminal one, are cut off. Text is made
    fit for the store here, so that a resumed search reads what the interrupted one read.
    """
    thoughts: list[Thought] = []
    base = subjects[0]
    question = base.problem.question
    for proposal in proposals:
        parents, steps, depth = request.subjects, list(base.steps), base.thought.depth
        for draft in proposal.steps:
            depth += 1
            text = sanitise(draft.text)
            steps.append(text)
            reading = domain.read(question, steps)
            terminal = reading.terminal or depth >= domain.max_steps
            thought = Thought(
                id=address("thought", run, parents, request.operator, agent, proposal.call, proposal.sample),
                parents=parents,
                operator=request.operator,
                text=text,
                depth=depth,
                request=request.id,
                sample=proposal.sample,
                count=proposal.count,
                terminal=terminal,
                answer=reading.answer if terminal else None,
                key=reading.key if terminal else None,
                state=reading.state,
                logprob=draft.logprob,
                tokens=draft.tokens,
                call=proposal.call,
            )
            thoughts.append(thought)
            if terminal:
                break
            parents = (thought.id,)
    return thoughts


def evaluation_of(thought: str, source: str, request: str, judgement: Judgement) -> Evaluation:
    """Turn a judgement into an evaluation; a value that is not a number in [0, 1] becomes a failed evaluation."""
    value, error = judgement.value, judgement.error
    if value is not None and not (math.isfinite(value) and 0.0 <= value <= 1.0):
        value, error = None, f"{source} returned {judgement.value!r}, not a number in [0, 1]"
    if value is not None:
        error = None
    return Evaluation(
        thought=thought,
        kind=judgement.kind,
        source=source,
        value=value,
        error=None if error is None else sanitise(error),
        text=None if judgement.text is None else sanitise(judgement.text),
        rollouts=judgement.rollouts,
        successes=judgement.successes,
        request=request,
    )
