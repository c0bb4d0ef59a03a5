"""Drawing thoughts, and acting while they are drawn: a solution whose steps may call tools cannot be drawn to its end in one go.

Where a tool user answers calls of the agent that is asked, a request for whole chains (horizon `answer`) is served step by step: each sample draws a
step, its calls are made, and the next step is drawn in view of what the tools said. This is the loop of ReAct (arXiv 2210.03629), for any scheme that
draws chains or rolls out. Prompts that ask for a solution in one go (`few_shot`, `zero_shot`) have no place in it: every step is asked for as a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..agents.asking import must_stop, together
from ..agents.protocols import Gateway
from .errors import AgentError, BudgetSpentError, ModelError, UnknownNameError
from .growth import grow
from .records import Request, Thought
from .session import Session, Work


async def drawn(session: Session, request: Request, gateway: Gateway) -> list[Thought]:
    """Have the agent of a request propose, and return the thoughts that come of it.

    Raises:
        UnknownNameError: if there is no such agent.
        AgentError: if it proposes more than was asked for.
    """
    generator = session.team.generator
    if request.agent:
        if request.agent not in session.team.others:
            raise UnknownNameError("agent", request.agent, session.team.others)
        generator = session.team.others[request.agent]
    context = session.context(request)
    proposals = await generator.propose(context, gateway)
    if len(proposals) > request.n:
        raise AgentError(
            f"generator {generator.name!r} returned {len(proposals)} proposals where {request.n} were asked"
        )
    return grow(
        session.lease.run,
        session.domain,
        request,
        context.subjects,
        proposals,
        generator.name,
        context.tainted,
    )


async def act_on(session: Session, work: Work, thoughts: Sequence[Thought]) -> None:
    """Have every tool user act on new thoughts of a request."""
    agent = work.request.agent or "generator"
    subjects = [replace(session.subject(thought.id), agent=agent) for thought in thoughts]
    work.acted.update(thought.id for thought in thoughts)
    for user in session.team.tool_users:
        for observation in await user.act(subjects, work.gateway):
            session.observe(observation)


async def acting_chains(session: Session, work: Work) -> list[Thought]:
    """Draw the request's samples up to an answer, a step at a time, and have their calls answered in between.

    A chain ends early where a call of the model fails or the budget is spent: what was paid stays.
    """
    request = work.request
    first = replace(request, horizon="step", distinct=False, steps=0, action="")
    heads = await _step(session, work, first)
    chains = await together(_extended(session, work, head) for head in heads)
    return [thought for chain in chains for thought in chain]


async def _step(session: Session, work: Work, request: Request) -> list[Thought]:
    """Draw next steps, known to the search before anything acts on them; they belong to the chain's request."""
    thoughts = [
        replace(thought, request=work.request.id) for thought in await drawn(session, request, work.gateway)
    ]
    for thought in thoughts:
        session.learn(thought)
    session.save(thoughts=thoughts)
    await session.writer.flushed()  # or a crash would lose more of the chain than its call under way
    return thoughts


async def _extended(session: Session, work: Work, head: Thought) -> list[Thought]:
    """Return a chain from its first step on."""
    request, chain = work.request, [head]
    longest = request.steps or session.domain.max_steps
    try:
        while not chain[-1].terminal and len(chain) < longest:
            await act_on(session, work, chain[-1:])
            onwards = replace(
                request,
                subjects=(chain[-1].id,),
                n=1,
                first_sample=head.sample,
                horizon="step",
                distinct=False,
                steps=0,
                action="",
            )
            following = await _step(session, work, onwards)
            if not following:
                break
            chain += following
    except (BudgetSpentError, ModelError) as error:
        if must_stop(error):
            raise
    return chain
