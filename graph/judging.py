"""What happens to one request between ask and tell: propose, act, judge.

Failures are sorted here. The budget's refusal ends a request quietly; a failed model call is the request's error; a model that cannot answer at
all ends the search, resumable; a judge that breaks leaves a failed evaluation with its reason. Nothing becomes a zero.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ..agents.protocols import Gateway, Judgement, Subject
from .errors import AgentError, BudgetSpentError, ModelError, ModelUnavailableError
from .growth import evaluation_of, grow
from .records import Evaluation
from .session import Session, Work

Judge = tuple[str, Callable[[Sequence[Subject], Gateway], Awaitable[Sequence[Judgement | None]]]]
"""A judge's source and its method."""


async def propose(session: Session, work: Work) -> Work:
    """Have the generator answer a request, and record the thoughts that came of it."""
    request = work.request
    work.held = False
    if request.n == 0:
        work.thoughts = [session.thoughts[thought] for thought in request.subjects]
        return session.arrived(work)
    context = session.context(request)
    generator = session.team.generator
    try:
        proposals = await generator.propose(context, work.gateway)
    except BudgetSpentError as refusal:
        work.held, work.spent = refusal.held, not refusal.held
    except ModelUnavailableError:
        raise
    except ModelError as error:
        work.error = str(error)
    else:
        if len(proposals) > request.n:
            raise AgentError(
                f"generator {generator.name!r} returned {len(proposals)} proposals where {request.n} were asked"
            )
        run = session.lease.run
        work.thoughts = grow(run, session.domain, request, context.subjects, proposals, generator.name)
        for thought in work.thoughts:
            session.learn(thought)
        session.save(thoughts=work.thoughts)
    return session.arrived(work)


async def act(session: Session, work: Work) -> None:
    """Have every tool user act on the request's thoughts."""
    if not work.thoughts:
        return
    subjects = [session.subject(thought.id) for thought in work.thoughts]
    for user in session.team.tool_users:
        try:
            observations = await user.act(subjects, work.gateway)
        except BudgetSpentError:
            return
        for observation in observations:
            session.observe(observation)


async def judge(session: Session, work: Work, judges: Sequence[Judge]) -> None:
    """Have the judges judge the request's thoughts, in order, cheap ones first: what one refutes, the next need not pay for."""
    for source, method in judges:
        refuted = {e.thought for e in work.evaluations if e.kind == "rule" and e.value == 0.0}
        open_ = [thought.id for thought in work.thoughts if thought.id not in refuted]
        known = [session.evaluated[key] for key in session.evaluated if key[1] == source and key[0] in open_]
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
    try:
        judgements = await method(subjects, work.gateway)
        if len(judgements) != len(subjects):
            raise AgentError(f"{source} returned {len(judgements)} judgements for {len(subjects)} thoughts")
    except BudgetSpentError:
        return []
    except ModelUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - a judge of the user's may raise anything; it is recorded
        reason = f"{type(error).__name__}: {error}"
        failed = Judgement("step", error=reason)
        return [evaluation_of(subject.thought.id, source, request, failed) for subject in subjects]
    pairs = zip(subjects, judgements, strict=True)
    return [evaluation_of(s.thought.id, source, request, j) for s, j in pairs if j is not None]
