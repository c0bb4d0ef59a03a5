"""Searches inside thoughts: a request may have another scheme run on the same question, or on a part of it, and grow the thought that this ends with.

The inner search is a run of its own in the store, with `parent` naming the outer one and an id that follows from the request, so that after a
crash it is found and resumed, not paid twice. It has a budget of its own, a share of what was left when it began, which the outer search
reserves meanwhile and settles to what was really paid; so the outer budget holds, and neither depends on the other's timing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ModelError, UserError
from .growth import Inner
from .ids import address, derive_seed
from .ledger import RunSpec
from .records import Budget, Nested, Problem, Request
from .schemes import make_strategy
from .session import Session, Work
from .strategies.base import Strategy

if TYPE_CHECKING:
    from .host import Host


@dataclass(frozen=True, slots=True)
class Inside:
    """In what a search inside a thought differs from the one around it."""

    strategy: Callable[[int], Strategy[Any]]
    budget: Budget
    seed: int


async def nest(host: Host, session: Session, work: Work, sample: int) -> Inner:
    """Run, or resume, the search that a request wants inside a thought.

    Raises:
        BudgetSpentError: if nothing is left for it, or too little for its first call.
        ModelError: on a question that the task cannot read.
    """
    nested = work.request.nested
    assert nested is not None, "the request wants no search inside a thought"
    reservation, budget = work.gateway.reserve_nested(nested.share)
    if budget.tokens is not None and budget.tokens < session.domain.step_tokens:
        work.gateway.release(reservation)
        work.gateway.refuse("tokens")
    try:
        inner = await _searched(host, session, work, nested, budget, sample)
    except BaseException:
        work.gateway.release(reservation)
        raise
    if inner.refused is not None:
        work.gateway.release(reservation)
        work.gateway.refuse(inner.refused)
    work.gateway.pay_nested(reservation, inner.usage)
    return inner


async def _searched(
    host: Host, session: Session, work: Work, nested: Nested, budget: Budget, sample: int
) -> Inner:
    setup, store = host.setup, host.setup.store
    question = session.problem.question
    if nested.question is not None:
        try:
            question = setup.domain.parse(nested.question)
        except UserError as error:  # the question is a model's text
            raise ModelError(f"a sub-problem cannot be read as a problem: {error}") from error
    problem = Problem(address("problem", session.problem.task, question), session.problem.task, question)
    params = dict(setup.complete(nested.scheme, dict(nested.params)))
    run = address("run", *session.unit, work.request.id, sample)
    spec = RunSpec(
        run,
        setup.spec.task,
        nested.scheme,
        {
            **setup.spec.settings,
            "scheme": nested.scheme,
            "params": params,
            "budget": budget.as_dict(),
        },
        _seed(session, work.request, nested, sample),
        setup.spec.oracle,
        parent=session.lease.run,
    )
    await host.call(store.create_run, spec, [problem])
    spec = await host.call(store.run, run)  # of an earlier try, if there was one: its budget stays
    ended = await host.call(store.result, run, problem.id)
    if ended is not None and ended.status == "failed":
        await host.call(store.reopen_failed, run)  # it failed in an earlier try; an error is no answer
        ended = None
    if ended is None:
        params = spec.settings["params"]
        inner = Inside(
            strategy=lambda seed: make_strategy(nested.scheme, params, seed),
            budget=Budget(**spec.settings["budget"]),
            seed=spec.seed,
        )
        with host.inside(run, inner):
            start = {"run": run, "problem": problem.id}
            # a context of its own: LangGraph would otherwise take the machine for a subgraph of the node it is called in
            await asyncio.create_task(host.inner_machine.ainvoke(start), context=Context())
    result = await host.call(store.result, run, problem.id)
    assert result is not None, "a finished machine leaves a result"
    path = await host.call(store.path, run, problem.id, result.thought) if result.thought else []
    steps: list[str] = []
    for thought in path[1:]:
        steps = thought.text.splitlines() if thought.whole else [*steps, thought.text]
    nothing = not steps and result.usage.model_calls == 0 and result.stopped.startswith("budget:")
    refused = result.stopped.removeprefix("budget:") if nothing else None
    error = result.stopped.removeprefix("failed: ") if result.status == "failed" else None
    tainted = any(thought.tainted for thought in path)
    return Inner(run, tuple(steps), result.answer, result.usage, refused, error, tainted)


def _seed(session: Session, request: Request, nested: Nested, sample: int) -> int:
    """Return the seed of a search inside a thought: of its place and what it is for, not of the run, so that equal seeds repeat a search."""
    return derive_seed(session.context(request).seed, nested.as_json(), request.first_sample, sample)
