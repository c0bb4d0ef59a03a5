"""What happens to one request between ask and tell: propose, act, judge.

Failures are sorted here. The budget's refusal ends a request quietly; a failed model call is the request's error; a model that cannot answer at
all ends the search, resumable; a judge that breaks leaves a failed evaluation with its reason. Nothing becomes a zero.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from ..agents.actions import KINDS
from ..agents.protocols import Gateway, Judgement, Subject
from .acting import act_on, acting_chains, drawn
from .errors import (
    AgentError,
    BudgetSpentError,
    ModelError,
    ModelUnavailableError,
    OutcomeUnknownError,
    UnknownNameError,
)
from .growth import contained, evaluation_of
from .records import Evaluation, Thought
from .session import Session, Work

Judge = tuple[str, Callable[[Sequence[Subject], Gateway], Awaitable[Sequence[Judgement | None]]]]
"""A judge's source and its method."""


async def propose(session: Session, work: Work) -> Work:
    """Have the generator answer a request, and record the thoughts that came of it."""
    request = work.request
    work.held = False
    try:
        if not request.grows:
            work.thoughts = [session.thoughts[thought] for thought in request.subjects]
            work.evaluations = await _evaluated(session, work) if request.n else []
        else:
            work.thoughts = await (_nested(session, work) if request.nested else _proposed(session, work))
            for thought in work.thoughts:
                session.learn(thought)
            session.save(thoughts=work.thoughts)
    except BudgetSpentError as refusal:
        work.held, work.spent = refusal.held, not refusal.held
    except ModelUnavailableError:
        raise
    except ModelError as error:
        work.error = str(error)
    return session.arrived(work)


async def _proposed(session: Session, work: Work) -> list[Thought]:
    request = work.request
    if request.horizon == "answer" and session.answers_calls(request):
        return await acting_chains(session, work)
    return await drawn(session, request, work.gateway)


async def _nested(session: Session, work: Work) -> list[Thought]:
    request = work.request
    thoughts: list[Thought] = []
    error: str | None = None
    for sample in range(request.first_sample, request.first_sample + request.n):
        inner = await session.nest(work, sample)
        error = inner.error or error
        if inner.steps and (request.nested is None or request.nested.question is None or inner.answer):
            base = session.subject(request.subjects[0])
            thoughts.append(contained(session.lease.run, session.domain, request, base, sample, inner))
    if error is not None and not thoughts:
        raise ModelError(error)
    return thoughts


async def _evaluated(session: Session, work: Work) -> list[Evaluation]:
    """Have the evaluator of the request's action judge its subjects, each of which costs one verifier call."""
    request = work.request
    evaluators = session.team.evaluators
    if request.action not in evaluators:
        raise UnknownNameError("evaluator", request.action, evaluators)
    evaluator = evaluators[request.action]
    work.gateway.judge(len(request.subjects))
    subjects = [session.subject(thought) for thought in request.subjects]
    context = session.context(request)
    evaluations = await _judged(
        evaluator.source, lambda _, gateway: evaluator.evaluate(context, gateway), subjects, work
    )
    session.save(evaluations=evaluations)
    return evaluations


async def act(session: Session, work: Work) -> None:
    """Have every tool user act on the request's thoughts; while they were drawn, some may have been acted on already."""
    waiting = [thought for thought in work.thoughts if thought.id not in work.acted]
    if not waiting or not work.judgeable:
        return
    with suppress(BudgetSpentError):
        await act_on(session, work, waiting)


async def judge(session: Session, work: Work, judges: Sequence[Judge]) -> None:
    """Have the judges judge the request's thoughts, in order, cheap ones first: what one refutes, the next need not pay for.

    What a strategy had evaluated was judged by who it asked; what prepares a solution is no step of it.
    """
    if not work.judgeable:
        return
    for source, method in judges:
        refuted = {e.thought for e in work.evaluations if e.kind == "rule" and e.value == 0.0}
        open_ = [thought.id for thought in work.thoughts if thought.id not in refuted]
        known = session.known(source, open_, work.request)
        work.evaluations.extend(known)
        judged = {evaluation.thought for evaluation in known}
        subjects = [session.subject(thought) for thought in open_ if thought not in judged]
        if subjects:
            evaluations = await _judged(source, method, subjects, work)
            work.evaluations.extend(evaluations)
            session.save(evaluations=evaluations)


async def _judged(
    source: str,
    method: Callable[[Sequence[Subject], Gateway], Awaitable[Sequence[Judgement | None]]],
    subjects: Sequence[Subject],
    work: Work,
) -> list[Evaluation]:
    request = work.request.id
    work.gateway.evaluates = True
    try:
        judgements = await method(subjects, work.gateway)
        if len(judgements) != len(subjects):
            raise AgentError(f"{source} returned {len(judgements)} judgements for {len(subjects)} thoughts")
    except BudgetSpentError:
        if work.judged:  # it waits or comes to nothing: a strategy would take silence for a verdict
            raise
        return []
    except (ModelUnavailableError, OutcomeUnknownError):
        raise
    except Exception as error:  # noqa: BLE001 - a judge of the user's may raise anything; it is recorded
        reason = f"{type(error).__name__}: {error}"
        failed = Judgement(KINDS[work.request.action] if work.judged else "step", error=reason)
        return [evaluation_of(subject.thought.id, source, request, failed) for subject in subjects]
    pairs = zip(subjects, judgements, strict=True)
    return [evaluation_of(s.thought.id, source, request, j) for s, j in pairs if j is not None]
