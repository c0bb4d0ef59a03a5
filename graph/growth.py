"""From what a generator proposed to thoughts, and from what a judge said to evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

from ..agents.protocols import Judgement, Proposal, Subject
from ..storage.sanitise import sanitise
from .domain import Domain, Reading
from .ids import address
from .records import Evaluation, Operator, Problem, Request, Thought, Usage


@dataclass(frozen=True, slots=True)
class Inner:
    """How a search inside a thought ended."""

    run: str
    steps: tuple[str, ...]
    """The path of its answer, or of its best unfinished thought."""
    answer: str | None
    usage: Usage
    refused: str | None = None
    """The limit that left it too little for its first call; None if it could begin."""
    error: str | None = None
    """Why it failed: the model never answered. None if it did."""
    tainted: bool = False
    """Whether its path came of text of strangers."""


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
    tainted: bool = False,
) -> list[Thought]:
    """Turn proposals into thoughts, parents before children; `tainted` says whether any of what the agent saw came of text of strangers.

    A thought's id is the content address of (run, parents, operator, agent, model call, sample index): the call's id covers prompt, model and
    sampling parameters, the parents cover the problem. Steps beyond the domain's limit, and steps after a terminal one, are cut off. Text is made
    fit for the store here, so that a resumed search reads what the interrupted one read.
    """
    thoughts: list[Thought] = []
    base = subjects[0]
    question = base.problem.question
    if request.horizon == "solution":
        return [
            _attempt(run, domain, request, base, proposal, agent, tainted)
            for proposal in proposals
            if proposal.steps
        ]
    for proposal in proposals:
        parents, steps, depth = request.subjects, list(base.steps), base.thought.depth
        for draft in proposal.steps:
            depth += 1
            text = sanitise(draft.text)
            steps.append(text)
            reading = domain.read(question, steps)
            terminal = reading.terminal or draft.last or depth >= domain.max_steps
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
                call=draft.call or proposal.call,
                tainted=tainted,
            )
            thoughts.append(thought)
            if terminal:
                break
            parents = (thought.id,)
    return thoughts


def _attempt(
    run: str, domain: Domain, request: Request, base: Subject, proposal: Proposal, agent: str, tainted: bool
) -> Thought:
    """Turn a proposal into one thought that is an attempt at the whole problem, up to its first terminal step."""
    question = base.problem.question
    kept = list(proposal.steps)
    steps: list[str] = []
    reading = Reading(terminal=False)
    for index, draft in enumerate(kept):
        steps.append(sanitise(draft.text))
        reading = domain.read(question, steps)
        if reading.terminal:
            del kept[index + 1 :]
            break
    logprobs = [draft.logprob for draft in kept if draft.logprob is not None]
    return Thought(
        id=address("thought", run, request.subjects, request.operator, agent, proposal.call, proposal.sample),
        parents=request.subjects,
        operator=request.operator,
        text="\n".join(steps),
        depth=base.thought.depth + 1,
        request=request.id,
        sample=proposal.sample,
        count=proposal.count,
        terminal=reading.terminal,
        answer=reading.answer,
        key=reading.key,
        state=reading.state,
        logprob=sum(logprobs) if len(logprobs) == len(kept) else None,
        tokens=sum(draft.tokens for draft in kept),
        call=proposal.call,
        whole=True,
        tainted=tainted,
    )


def contained(
    run: str, domain: Domain, request: Request, base: Subject, sample: int, inner: Inner
) -> Thought:
    """Turn what a search inside a thought ended with into that thought.

    With a question of its own it is a sub-result of one line, never terminal; otherwise the path of its answer is an attempt at the problem.
    """
    nested = request.nested
    assert nested is not None
    reading = Reading(terminal=False)
    text = "\n".join(inner.steps)
    if nested.question is not None:
        text = f"{nested.question} = {inner.answer}"
    else:
        reading = domain.read(base.problem.question, inner.steps)
    return Thought(
        id=address("thought", run, request.subjects, request.operator, inner.run, sample),
        parents=request.subjects,
        operator=request.operator,
        text=sanitise(text),
        depth=base.thought.depth + 1,
        request=request.id,
        sample=sample,
        terminal=reading.terminal,
        answer=reading.answer,
        key=reading.key,
        state=reading.state,
        tokens=inner.usage.completion_tokens,
        whole=True,
        nested=inner.run,
        tainted=base.tainted or inner.tainted,
    )


def evaluation_of(thought: str, source: str, request: str, judgement: Judgement) -> Evaluation:
    """Turn a judgement into an evaluation; a value that is not a number in [0, 1] becomes a failed evaluation."""
    value, error = _score(judgement.value), judgement.error
    if value is not None:
        error = None
    elif judgement.value is not None or (error is None and judgement.text is None):
        error = f"{source} returned {judgement.value!r:.80}, not a number in [0, 1]"
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


def _score(value: Any) -> float | None:
    """Return a value that is a number in [0, 1]; None for anything else, which users' judges may return all the same."""
    try:
        number = float(value) if isinstance(value, float | SupportsFloat) else math.nan
    except OverflowError:
        number = math.inf
    return number if 0.0 <= number <= 1.0 else None
