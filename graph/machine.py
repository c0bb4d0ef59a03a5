"""The LangGraph machine that grows a reasoning graph.

    select ─► generate ─► act ─► verify ─► critique ─► update ─┬─► select
                                                               ├─► review   (interrupt: a person decides)
                                                               └─► finalize ─► END

One iteration handles a wave of up to K requests. Nodes with nothing to do in a wave are skipped. The nodes are thin: `select` is the strategy's
ask, `update` its tell; what agents do in between goes through their gateway. State holds ids; see `state.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.managed import RemainingSteps
from langgraph.types import interrupt

from .errors import UserError
from .host import Host, Review, Setup
from .judging import act, judge, propose
from .ledger import Event, UnitResult
from .records import Answer, Budget, Evaluation
from .review import absorb, shown, verdict
from .session import Session, Work
from .state import MachineInput, MachineOutput, MachineState

STEPS_A_WAVE = 6
"""Super-steps of one iteration with every node in it."""


COMPANY = 4
"""While the models have enough to do, a request that came back waits in `rolling` until one in so many of its search's is back."""


class LiveState(MachineState, total=False):
    """The state as nodes see it: LangGraph adds how many super-steps remain."""

    remaining: RemainingSteps


Machine = CompiledStateGraph[LiveState, None, MachineInput, MachineOutput]
"""The compiled graph: `ainvoke({"question": …})`, or use it as a node of a graph of your own."""

Update = dict[str, Any]


class Nodes:
    """The machine's nodes, closed over their host."""

    def __init__(self, host: Host, review: Review) -> None:
        self.host = host
        self.setup = host.setup
        self._review = review

    async def select(self, state: LiveState) -> Update:
        """Open the search if need be, and ask the strategy for requests."""
        session, update = await self._open(state)
        if state.get("remaining", STEPS_A_WAVE * 2) < STEPS_A_WAVE * 2:
            session.stop("budget:steps")
        self._check_budget(session)
        works = (
            self._next(session, self.setup.wave - len(session.flight.tasks))
            if session.stopped is None
            else []
        )
        for work in works:
            session.flight.begin(work.request.id, propose(session, work))
        selected = [work.request.id for work in works]
        return update | {
            "selected": selected,
            "in_flight": list(session.flight.tasks),
            "step": update["step"] + 1,
            "stopped": session.stopped or "",
        }

    async def generate(self, state: LiveState) -> Update:
        """Wait for the wave (lockstep), or for whatever comes back first (rolling)."""
        session = await self._session(state)
        await self._back(session)
        if session.meter.seconds_left == 0.0:
            await session.flight.end()
        back = session.flight.collect()
        session.held.extend(work for work in back if work.held)
        session.wave = [work for work in back if not work.held]
        if self.setup.mode == "rolling":
            session.wave.sort(key=lambda work: work.arrival)
        session.purse.settle()
        thoughts = [thought for work in session.wave for thought in work.thoughts]
        _emit("generated", *session.unit, thoughts=[thought.id for thought in thoughts])
        return {
            "wave": [work.request.id for work in session.wave],
            "in_flight": list(session.flight.tasks),
            "thoughts": len(session.thoughts),
        }

    async def act(self, state: LiveState) -> Update:
        """Let the tool users run what the new thoughts call for."""
        session = await self._session(state)
        await _at_once([act(session, work) for work in session.wave])
        return {}

    async def verify(self, state: LiveState) -> Update:
        """Score steps and outcomes."""
        session = await self._session(state)
        verifiers = [(agent.source, agent.verify) for agent in session.team.verifiers]
        await _at_once([judge(session, work, verifiers) for work in session.wave])
        return {}

    async def critique(self, state: LiveState) -> Update:
        """Add value estimates, and criticism for later generations to read."""
        session = await self._session(state)
        critics = [(agent.source, agent.critique) for agent in session.team.critics]
        await _at_once([judge(session, work, critics) for work in session.wave])
        return {}

    async def update(self, state: LiveState) -> Update:
        """Tell the strategy what came of the wave, and make it durable."""
        session = await self._session(state)
        session.purse.settle()  # what the wave's judges paid
        events: list[Event] = []
        for work in session.wave:
            if work.spent:
                continue
            session.absorb(work.outcome)
            session.count_idle(work)
            events += [session.told(work), *session.drained_operations()]
        if events:
            session.save(events=events)
        session.wave = []
        await session.writer.flushed()
        self._check_budget(session)
        usage = session.meter.usage.as_dict()
        _emit("updated", *session.unit, thoughts=len(session.thoughts), usage=usage)
        return {"wave": [], "usage": usage, "stopped": session.stopped or ""}

    async def review(self, state: LiveState) -> Update:
        """Show the answer to a person, who accepts it, rejects it or has the search continue; see `review.py`.

        There is nothing to review where no finished solution is left.
        """
        session = await self._session(state)
        answer = session.answer()
        if answer is None or answer.text is None:
            return {"status": "finished"}
        step = state.get("step", 0)
        evaluation = _reviewed(session, answer, step)
        if evaluation is None:
            return {"status": "finished"}
        absorb(session, evaluation, step)
        await session.writer.flushed()
        return {"status": "searching"}

    async def finalize(self, state: LiveState) -> Update:
        """Record the best answer and end the search; after a crash the result may be on record already."""
        run, problem = state.get("run", ""), state.get("problem", "")
        result: UnitResult | None = None
        if self.host.live(run, problem) is None:
            result = await self.host.call(self.setup.store.result, run, problem)
        if result is None:
            session = await self._session(state)
            result = _result(session)
            session.save(events=session.drained_operations())
            await self.host.close(session)
            await self.host.call(self.setup.store.finish, session.lease, result)
        usage = result.usage.as_dict()
        ended = {"result": result.status, "answer": result.answer, "stopped": result.stopped}
        _emit("finished", run, problem, **ended, usage=usage)
        return {
            "status": "finished",
            "answer": result.answer,
            "score": result.score,
            "stopped": result.stopped,
            "usage": usage,
            "best": result.thought,
            "selected": [],
            "in_flight": [],
        }

    def held(
        self, node: Callable[[LiveState], Awaitable[Update]]
    ) -> Callable[[LiveState], Awaitable[Update]]:
        """Return the node, holding its search while it works; see `Host.working`."""

        async def run(state: LiveState) -> Update:
            return await self.host.working(state.get("run") or "", state.get("problem") or "", node(state))

        return run

    # What chooses the next node is asynchronous throughout: LangGraph calls a plain function in a thread, three a wave.

    async def after_select(self, state: LiveState) -> str:
        """Go on while something is under way; otherwise the search is over."""
        return "generate" if state.get("in_flight") else self._over()

    async def after_update(self, state: LiveState) -> str:
        """Go on unless something stopped the search and nothing is under way."""
        session = self.host.live(state.get("run", ""), state.get("problem", ""))
        over = session is not None and session.stopped is not None and not session.flight.tasks
        return self._over() if over else "select"

    async def after_review(self, state: LiveState) -> str:
        """Follow the person's decision."""
        return "finalize" if state.get("status") == "finished" else "select"

    async def _back(self, session: Session) -> None:
        """Wait for what is under way, but not beyond the deadline: in `lockstep`, and once a search has stopped, for all of it.

        In `rolling` for the first request that came to something; and while the models have more waiting than they work on, until a part of what
        the search has under way is back. A new request would only wait too: so one iteration serves several, and asks when more is known.
        """
        flight, left = session.flight, session.meter.seconds_left
        if self.setup.mode == "lockstep" or session.stopped is not None:
            await flight.wait(left, lambda: False)
            return
        await flight.wait(left)
        if flight.tasks and self._backlogged():
            company, left = len(flight.tasks) // COMPANY, session.meter.seconds_left
            await flight.wait(left, lambda: flight.useful >= company or not self._backlogged())

    def _backlogged(self) -> bool:
        return any(model.queued > model.in_flight for model in self.host.scheduler.statistics.values())

    def _next(self, session: Session, room: int) -> list[Work]:
        """Return up to `room` requests to start: those that waited for budget, then new ones."""
        works, session.held = session.held[: max(room, 0)], session.held[max(room, 0) :]
        if room > len(works):
            requests, session.search = session.strategy.ask(session.search, room - len(works))
            works.extend(Work(request, session.gateway(request)) for request in requests)
        return works

    def _over(self) -> str:
        return "review" if self._review == "answer" else "finalize"

    def _check_budget(self, session: Session) -> None:
        limit = session.meter.spent()
        if limit is not None:
            session.stop(f"budget:{limit}")

    async def _session(self, state: LiveState) -> Session:
        """Return the live session; after a restart in mid-wave it is rebuilt, and the wave is asked again."""
        session = await self.host.open(state.get("run", ""), state.get("problem", ""))
        if state.get("stopped"):
            session.stop(state.get("stopped", ""))
        return session

    async def _open(self, state: LiveState) -> tuple[Session, Update]:
        run, problem, question = state.get("run"), state.get("problem"), state.get("question")
        if question is not None:
            if state.get("status") == "searching":
                await self.host.let_go(run or "", problem or "")
            run, opened = await self.host.open_run(question)
            problem = opened.id
        elif state.get("status") == "searching":
            return await self._session(state), {"step": state.get("step", 0)}
        if not run or not problem:
            raise UserError(
                "start the machine with {'question': …}, or with the run and problem of a unit in the store"
            )
        session = await self.host.open(run, problem)
        _emit("opened", run, problem, question=session.problem.question)
        fresh: Update = {"run": run, "problem": problem, "status": "searching", "step": 0, "wave": []}
        # the question is used up: what comes next on this thread is another one, or a resume
        fresh |= {"question": None, "answer": None, "score": None, "best": None, "thoughts": 1}
        return session, fresh


def build(
    setup: Setup, checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None
) -> tuple[Machine, Host]:
    """Compile the machine over its setup; the host gives runners a hand on sessions and leases."""
    host = Host(setup, lambda host: _compile(host, "never", False))
    return _compile(host, setup.review, checkpointer), host


def _compile(
    host: Host, review: Review, checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None
) -> Machine:
    nodes = Nodes(host, review)
    team = host.setup.team
    stages: list[tuple[str, bool, Callable[..., Any]]] = [
        ("act", bool(team.tool_users), nodes.held(nodes.act)),
        ("verify", bool(team.verifiers), nodes.held(nodes.verify)),
        ("critique", bool(team.critics), nodes.held(nodes.critique)),
    ]
    # Any: the overloads of add_node are only partially typed, which strict pyright reports at every call
    graph: Any = StateGraph(LiveState, input_schema=MachineInput, output_schema=MachineOutput)
    graph.add_node("select", nodes.held(nodes.select))
    graph.add_node("generate", nodes.held(nodes.generate))
    graph.add_node("update", nodes.held(nodes.update))
    graph.add_node("finalize", nodes.held(nodes.finalize))
    over = ["finalize"]
    if review == "answer":
        graph.add_node("review", nodes.held(nodes.review))
        graph.add_conditional_edges("review", nodes.after_review, ["select", "finalize"])
        over = ["review"]
    graph.add_edge(START, "select")
    graph.add_conditional_edges("select", nodes.after_select, ["generate", *over])
    _chain(graph, [(name, node) for name, present, node in stages if present])
    graph.add_conditional_edges("update", nodes.after_update, ["select", *over])
    graph.add_edge("finalize", END)
    compiled: Machine = graph.compile(checkpointer=checkpointer, name="thoughtgraph")
    return compiled.with_config(recursion_limit=recursion_limit(host.setup.budget))


def _chain(graph: Any, stages: Sequence[tuple[str, Callable[..., Any]]]) -> None:
    """Put the stages between `generate` and `update`; a wave that brought nothing skips them."""
    for name, node in stages:
        graph.add_node(name, node)
    names = [*(name for name, _ in stages), "update"]
    first = names[0]

    async def after_generate(state: LiveState) -> str:
        return first if state.get("wave") else "update"

    graph.add_conditional_edges(
        "generate", after_generate, [first, "update"] if first != "update" else ["update"]
    )
    for name, following in pairwise(names):
        graph.add_edge(name, following)


def recursion_limit(budget: Budget) -> int:
    """Return a super-step limit that the budget always reaches first: each wave pays at least one call and one token."""
    bounds = [limit for limit in (budget.tokens, budget.model_calls) if limit is not None]
    waves = min(bounds) if bounds else 100_000_000
    return STEPS_A_WAVE * (waves + 4)


async def _at_once(jobs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run these at once; one alone needs no task of its own."""
    if len(jobs) == 1:
        await jobs[0]
    else:
        await asyncio.gather(*jobs)


def _result(session: Session) -> UnitResult:
    """Return what the search ends with; one that the model never answered has failed, whatever stopped it."""
    if session.failure is not None:
        return UnitResult("failed", None, None, None, f"failed: {session.failure}", session.meter.usage)
    answer = session.answer()
    return UnitResult(
        status="answered" if answer is not None and answer.text is not None else "no_answer",
        answer=answer.text if answer else None,
        thought=answer.thought if answer else None,
        score=answer.score if answer else None,
        stopped=session.stopped or "finished",
        usage=session.meter.usage,
    )


def _reviewed(session: Session, answer: Answer, step: int) -> Evaluation | None:
    """Return the person's reply as an evaluation, None if the answer was accepted; after an impossible reply it asks again.

    It must not raise for one: LangGraph keeps the reply, and every later try would meet it again.
    """
    asked = shown(session, answer)
    while True:
        try:
            return verdict(session, answer, interrupt(asked), step)
        except UserError as error:
            asked = {**asked, "error": str(error)}


def _emit(kind: str, run: str, problem: str, **detail: Any) -> None:
    """Stream a typed event to whoever listens (`stream_mode="custom"`)."""
    get_stream_writer()({"event": kind, "run": run, "problem": problem, **detail})
