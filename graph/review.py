"""A person's part in a search: what is shown before an answer is final, and what the reply does.

    {"question": …, "answer": …, "score": …, "steps": […], "choices": ["accept", "continue", {"reject": "the reason"}], …}

accept: the answer is final. reject: it is wrong; the thought is refuted, with the reason on record, and the search goes on. continue: it is not good
enough to end the search; it counts as an outcome check of 0.5, and the search goes on for a better one. No answer is final before one was accepted.
"""

from __future__ import annotations

from typing import Any, cast

from .errors import UserError
from .records import Answer, Evaluation, Operator, Outcome, Request
from .session import Session, Work

PERSON = "person"
"""Source of a person's evaluations."""

DOUBTFUL = 0.5
"""What an answer is worth that a person neither accepts nor rejects."""


def shown(session: Session, answer: Answer) -> dict[str, Any]:
    """Return what the person sees, as JSON values."""
    choices: list[Any] = ["accept", "continue", {"reject": "the reason"}]
    if session.stopped is not None:
        choices.remove("continue")
    return {
        "run": session.lease.run,
        "problem": session.problem.id,
        "question": session.problem.question,
        "answer": answer.text,
        "score": answer.score,
        "thought": answer.thought,
        "steps": list(session.subject(answer.thought).steps),
        "stopped": session.stopped,
        "choices": choices,
    }


def verdict(session: Session, answer: Answer, reply: Any, step: int) -> Evaluation | None:
    """Return the reply as an evaluation of the answer; None if it was accepted.

    Args:
        session: the search.
        answer: what was shown.
        reply: what came back.
        step: waves so far, which tells reviews of the same thought apart.

    Raises:
        UserError: if the reply is none of the choices.
    """
    request = Request(Operator.EVALUATE, (answer.thought,), n=0, first_sample=step)
    reason = cast("dict[str, Any]", reply).get("reject") if isinstance(reply, dict) else None
    if reply == "accept":
        return None
    if reason is not None:
        return Evaluation(answer.thought, "rule", PERSON, 0.0, text=str(reason), request=request.id)
    if reply != "continue":
        raise UserError(
            f"the review was answered with {reply!r}; answer accept, continue or {{'reject': reason}}"
        )
    if session.stopped is not None:
        raise UserError(
            f"the search cannot continue ({session.stopped}); answer accept or {{'reject': reason}}"
        )
    return Evaluation(
        answer.thought,
        "outcome",
        PERSON,
        DOUBTFUL,
        text="not good enough to end the search",
        request=request.id,
    )


def absorb(session: Session, evaluation: Evaluation, step: int) -> None:
    """Tell the strategy the person's evaluation, and queue it for the store."""
    request = Request(Operator.EVALUATE, (evaluation.thought,), n=0, first_sample=step)
    work = Work(request, session.gateway(request), [session.thoughts[evaluation.thought]], [evaluation])
    session.absorb(Outcome(request, (), (evaluation,)))
    session.save(evaluations=[evaluation], events=[session.told(work), *session.drained_operations()])
