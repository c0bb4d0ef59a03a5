"""Searches that tests share: a plain-text domain, a scripted model and a judge, all determined by content alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scheme_cases import SMALL

from thoughtgraph.agents.actions import EVALUATE
from thoughtgraph.agents.generator import StepGenerator
from thoughtgraph.agents.models.base import GenerationCall, LanguageModel
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.protocols import Context, Gateway, Judgement, Subject
from thoughtgraph.agents.team import Team
from thoughtgraph.graph.host import Mode, Setup
from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.ledger import RunSpec, Store
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes import get_scheme, make_strategy
from thoughtgraph.graph.strategies.base import Strategy
from thoughtgraph.storage.read import list_units, unit_events, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.text import TextDomain


class HashVerifier:
    """Gives every thought a value in [0, 1) that depends on its path's texts alone."""

    source = "hash"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        return [Judgement("step", value=derive_seed(1, s.steps) / 2**63) for s in subjects]


class HashEvaluator:
    """Answers every evaluation request from the subjects' texts alone."""

    source = "hash"

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        request = context.request
        worth = [derive_seed(2, request.action, s.steps) / 2**63 for s in context.subjects]
        replies: list[Judgement | None] = []
        for index, own in enumerate(worth):
            n, text = request.n, f"mind {own:.3f}"
            agreed = round(own * n)
            if request.action == "control":
                text = ("generate", "refine", "aggregate", "stop")[int(4 * own)]
            known: dict[str, Judgement | None] = {
                "value": Judgement("value", own, rollouts=n),
                "vote": Judgement("value", float(own == max(worth)), rollouts=n),
                "compare": None if index else Judgement("preference", (1 + own - worth[-1]) / 2),
                "critique": Judgement("critique", text=text),
                "reflect": Judgement("reflection", text=text),
                "discriminate": Judgement("agreement", agreed / n, rollouts=n, successes=agreed),
                "control": Judgement("choice", text=text),
            }
            replies.append(known[request.action])
        return replies


def scripted_steps(call: GenerationCall) -> list[str]:
    """Write steps, and now and then an answer, that depend on the prompt and the sample index alone."""
    prompt = call.prompt if isinstance(call.prompt, str) else call.prompt[-1].content
    texts: list[str] = []
    for i in range(call.n):
        draw = derive_seed(0, prompt, call.first_sample + i)
        texts.append(_text(draw, whole=not call.sampling.stop))
    return texts


def scripted_calls(call: GenerationCall) -> list[str]:
    """Write the same steps, some of which call a tool."""
    return [
        f"{text} <<look_up: word {len(text) % 3}>>" if hash_of(text) % 2 and "\n" not in text else text
        for text in scripted_steps(call)
    ]


def hash_of(text: str) -> int:
    """Return a number that depends on a text alone."""
    return derive_seed(0, text)


def _text(draw: int, *, whole: bool) -> str:
    answer = f"Answer: {draw % 5}"
    step = f"step {draw % 1000}"
    if whole:
        return f"{step}\nthen {draw % 77}\n{answer}"
    return answer if draw % 4 == 0 else step


def make_setup(
    store: Store,
    scheme: str = "mcts",
    params: Mapping[str, Any] | None = None,
    *,
    model: LanguageModel | None = None,
    budget: Budget | None = None,
    mode: Mode = "lockstep",
    run: str = "",
    seed: int = 0,
    wave: int = 4,
    script: Callable[[GenerationCall], list[str]] = scripted_steps,
    **changes: Any,
) -> Setup:
    """Return a setup over the plain-text domain."""
    domain = TextDomain()
    generator = StepGenerator(model or ScriptedModel(script), domain)
    evaluators = {action: HashEvaluator() for action in EVALUATE}
    team = Team(
        generator, verifiers=(HashVerifier(),), others={"discriminator": generator}, evaluators=evaluators
    )
    chosen = runnable(scheme, SMALL.get(scheme, {}) if params is None else params)
    setup = Setup(
        domain=domain,
        team=team,
        strategy=lambda lot: make_strategy(scheme, chosen, lot),
        store=store,
        budget=budget or Budget(model_calls=12),
        spec=RunSpec(run, "text", scheme, {}, seed),
        mode=mode,
        wave=wave,
        complete=runnable,
    )
    return replace(setup, **changes)


def always(strategy: Strategy[Any]) -> Callable[[int], Strategy[Any]]:
    """Return what gives a setup this strategy, whatever its seed."""
    return lambda seed: strategy


def runnable(scheme: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scheme's parameters, completed for a model that only continues text."""
    return {**get_scheme(scheme).raw, **params}


def digest(store: SqlStore, run: str) -> dict[str, Any]:
    """Return all of a run that must not depend on crashes: everything recorded but times."""
    units: dict[str, Any] = {}
    for unit in list_units(store.database, run):
        graph = unit_graph(store.database, run, unit.problem.id)
        events = unit_events(store.database, run, unit.problem.id)
        result = unit.result
        units[unit.problem.question] = {
            "thoughts": {t.id: t for t in graph.thoughts.values()},
            "edges": sorted((e.parent, e.child, e.position) for e in graph.edges),
            "evaluations": {k: sorted(v, key=lambda e: e.id) for k, v in sorted(graph.evaluations.items())},
            "tools": {
                thought: sorted(
                    (c.place, c.tool, repr(c.arguments), c.result, c.error, c.asked) for c in calls
                )
                for thought, calls in sorted(graph.tool_calls.items())
            },
            "events": [_event(e.kind, e.subjects, e.detail) for e in events],
            "result": None
            if result is None
            else (result.status, result.answer, result.thought, result.score, result.stopped),
            "usage": None if result is None else replace(result.usage, seconds=0.0),
        }
    return units


def _event(kind: str, subjects: Sequence[str], detail: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    shown = {k: v for k, v in detail.items() if k != "usage"}
    usage = {k: v for k, v in detail.get("usage", {}).items() if k != "seconds"}
    return kind, tuple(subjects), repr(sorted(shown.items())) + repr(sorted(usage.items()))
