"""Whole runs against an endpoint of whose replies 30 % are faulty, in every way at once: all problems end, and no row is wrong.

What the server says is a function of prompt, seed and place, so every sample, thought and score of the database is compared with what was truly said.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from thoughtgraph.agents.evaluators_prompted import mean_value, read_value
from thoughtgraph.agents.models.base import Generation, Sample
from thoughtgraph.agents.models.codec import generation_from_json
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.ledger import ModelCall
from thoughtgraph.storage.read import UnitGraph, list_units, unit_graph, unit_model_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.crew import Replacements
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

from .fault_replies import JUDGING, Asked, Fault, Plan, Said, truth, well
from .fault_server import FaultServer
from .faults import FAULTS, FORGED, mixed, rejecting

FATAL = {"401", "402", "403", "404 model", "429 quota", "501", "quota with 200", "model swapped"}
"""These stop a run, as they should."""
REFUSED = {"400 context"}
UNREPORTED = {name for name in FAULTS if name.startswith("logprob ")}
UNTRUE = {"content null", "content empty", "content filter", "cut by length"}
"""Not what a sample truly says, but not passed off as a step either."""
UNTRUE_USAGE = {name for name in FAULTS if name.startswith("usage ")}
SOFT = UNREPORTED | UNTRUE | UNTRUE_USAGE | {"fewer choices", "more choices"}
"""Replies that are taken, for what they are."""
TRANSIENT = set(FAULTS) - FATAL - REFUSED - SOFT
MIX = sorted(TRANSIENT | REFUSED | SOFT)
LATENCY = 0.05
"""Seconds before any reply. The client's own waits are scaled to it: a tenth of it before the second try, for half a second of five in earnest."""
TIMEOUT = 20 * LATENCY


def settings(steps: int) -> Settings:
    """Search by beams of two, judged by the same model, for so many steps."""
    params = {"beams": 2, "width": 2, "repeats": 1, "max_steps": steps}
    return Settings(task="text", scheme="beam", params=params, scorer="judge")


@dataclass
class Ran:
    """A run and what the server saw of it."""

    store: SqlStore
    asked: list[Asked]
    seconds: float
    calls: dict[str, list[ModelCall]] = field(default_factory=dict[str, list[ModelCall]])
    """By problem."""
    graphs: dict[str, UnitGraph] = field(default_factory=dict[str, UnitGraph])

    def __post_init__(self) -> None:
        for unit in list_units(self.store.database, "r"):
            problem = unit.problem.id
            self.calls[problem] = unit_model_calls(self.store.database, "r", problem)
            self.graphs[problem] = unit_graph(self.store.database, "r", problem)
            if unit.status != "done":  # all that it asked for was refused: it says so
                assert unit.result is not None, unit
                assert [call.error for call in self.calls[problem] if call.response] == [], unit
                assert unit.result.stopped == f"failed: {self.calls[problem][-1].error}"


def storm(server: FaultServer) -> Plan:
    """Do one of MIX to 30 % of the requests; token ids are refused from the 500th request on, as by an engine that was replaced."""
    faults, refusing = mixed(MIX, 0.3, seed=11), rejecting("return_token_ids")

    def plan(asked: Asked) -> tuple[str, Fault] | None:
        late = len(server.asked) > 500
        return (refusing(asked) if late else None) or faults(asked)

    return plan


def items(count: int) -> list[Item]:
    task = load_task("text")
    return [Item(task.problem(f"What comes of {i}?")) for i in range(count)]


async def run(folder: Path, count: int, steps: int, *, stormy: bool) -> Ran:
    """Search `count` problems against a server that is well, or in a storm."""
    store = SqlStore.open(str(folder / ("stormy.db" if stormy else "calm.db")))
    with FaultServer(latency=LATENCY) as server:
        server.plan = storm(server) if stormy else well
        model = OpenAIModel("m", base_url=server.url, wait=LATENCY / 10, timeout=TIMEOUT)
        began = time.monotonic()
        await start(store, settings(steps), items(count), own=Replacements(model=model), run="r", parallel=32)
        seconds = time.monotonic() - began
        await model.aclose()
    return Ran(store, server.asked, seconds)


def seeds_of(call: ModelCall) -> list[int]:
    """Return the seeds that the samples of a call are drawn from, where each is asked for alone."""
    seed, first = call.parameters["seed"], call.parameters["first_sample"]
    return [derive_seed(seed, first + i) & 0x7FFFFFFF for i in range(call.parameters["n"])]


def is_true(sample: Sample, true: Said) -> bool:
    """Return whether a sample is this one, with what is known of its tokens."""
    return (
        sample.text == true.text
        and (sample.finish == "length") == (true.finish == "length")
        and sample.token_ids in (None, true.ids)
        and sample.logprobs in (None, true.logprobs)
        and sample.pieces in (None, true.pieces)
    )


def true_samples(call: ModelCall, generation: Generation) -> list[bool]:
    """Return which samples of a call are what the server truly says to its prompt with its seeds."""
    seeds, p = seeds_of(call), call.parameters
    stop, most = tuple(p["stop"]), p["max_tokens"]
    return [
        is_true(sample, truth(call.prompt, seeds[0], i, stop, most))
        or is_true(sample, truth(call.prompt, seeds[i], 0, stop, most))
        for i, sample in enumerate(generation.samples)
    ]


def wrong_call(call: ModelCall, tries: Sequence[Asked]) -> str | None:
    """Return what is wrong with a recorded call, given how the server was asked; None if nothing is."""
    faults = [asked.fault for asked in tries]
    if call.error is not None:
        if "refused the request" in call.error:
            right = bool(REFUSED & set(faults))
        else:
            failed = sum(1 for asked in tries if asked.fault in TRANSIENT or asked.ended == "disconnected")
            said = re.search(r" failed (\d+) times, at last with: ", call.error)
            right = said is not None and 2 <= int(said[1]) <= failed
        return None if right and call.response is None else f"{faults} ended in {call.error!r}"
    generation = generation_from_json(call.response)
    for sample, true in zip(generation.samples, true_samples(call, generation), strict=True):
        if not true and not (UNTRUE & set(faults) and is_no_step(sample)):
            return f"{faults} left {sample}"
        if true and sample.logprobs is None and not UNREPORTED & set(faults):
            return f"{faults} left no log-probabilities"
        if sample.tokens <= 0:
            return f"{faults} cost nothing"
    return None


def is_no_step(sample: Sample) -> bool:
    return (
        sample.finish == "filter"
        or not sample.text
        or (sample.finish == "length" and "\n" not in sample.text)
    )


def wrong_thoughts(graph: UnitGraph, calls: Iterable[ModelCall]) -> list[str]:
    """Return what is wrong with a graph: a text or log-probability that no true sample has, a score that no reply gives."""
    said: dict[str, set[tuple[str, float | None]]] = {}
    continued: set[tuple[str, float | None]] = set()  # after an empty line, in a further call
    verdicts: dict[str, set[float]] = defaultdict(set)
    for call in calls:
        if call.response is None:
            continue
        generation = generation_from_json(call.response)
        good = [s for s, true in zip(generation.samples, true_samples(call, generation), strict=True) if true]
        said[call.id] = {
            (s.text.split("\n")[0], None if s.logprobs is None else sum(s.logprobs)) for s in good
        }
        if call.prompt[-1] == {"role": "assistant", "content": "\n"}:
            continued |= {(text, None) for text, _ in said[call.id]}
        if JUDGING in json.dumps(call.prompt):
            words = [word for s in good if (word := read_value(s)) is not None]
            verdicts[json.dumps(call.prompt)] |= {mean_value([word]) for word in words}
    wrong: list[str] = []
    for thought in graph.thoughts.values():
        known = said.get(thought.call or "", set()) | continued
        if thought.parents and (thought.text, thought.logprob) not in known:
            wrong.append(f"thought {thought.text!r} ({thought.logprob})")
        shown = json.dumps(thought.text)[1:-1]
        values = {v for prompt, given in verdicts.items() if shown in prompt for v in given}
        wrong += [
            f"score {e.value} ({e.error}) of {thought.text!r}"
            for e in graph.evaluations.get(thought.id, ())
            if (e.error is None) != (e.value in values)
        ]
    return wrong


def wrongs(ran: Ran) -> dict[str, list[str]]:
    """Return what is wrong with each problem, those with nothing left out."""
    by_prompt: dict[str, list[Asked]] = defaultdict(list)
    for asked in ran.asked:
        by_prompt[json.dumps(asked.body["messages"])].append(asked)
    found: dict[str, list[str]] = {}
    for problem, calls in ran.calls.items():
        wrong = wrong_thoughts(ran.graphs[problem], calls)
        for call in calls:
            seeds = set(seeds_of(call))
            tries = [a for a in by_prompt[json.dumps(call.prompt)] if a.body["seed"] in seeds]
            if reason := wrong_call(call, tries):
                wrong.append(reason)
        if wrong:
            found[problem] = wrong
    return found


def assert_unharmed(ran: Ran) -> None:
    """Assert that what a storm left is right, and that it was not tried too often."""
    assert wrongs(ran) == {}
    for graph in ran.graphs.values():
        texts = [thought.text for thought in graph.thoughts.values()]
        texts += [e.text or "" for evaluations in graph.evaluations.values() for e in evaluations]
        assert not any(FORGED in text or "\ufffd" in text for text in texts)
    faulty = Counter(asked.fault for asked in ran.asked if asked.fault)
    assert faulty.total() >= 0.25 * len(ran.asked)
    assert max(Counter(asked.call for asked in ran.asked).values()) <= 10
    assert len(ran.asked) <= 1.6 * sum(len(calls) for calls in ran.calls.values())


async def test_a_storm_of_faults_leaves_no_wrong_row(tmp_path: Path) -> None:
    stormy = await run(tmp_path, 60, 2, stormy=True)
    assert_unharmed(stormy)
    stormy.store.close()


@pytest.mark.slow
async def test_a_storm_over_300_problems_beside_a_calm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = await run(tmp_path, 300, 3, stormy=False)
    assert wrongs(calm) == {}
    stormy = await run(tmp_path, 300, 3, stormy=True)
    assert_unharmed(stormy)
    assert {asked.fault for asked in stormy.asked} >= set(MIX)
    calls = [call for found in stormy.calls.values() for call in found]
    failed = Counter(
        (call.error or "").partition(" (")[0].partition(", at")[0] for call in calls if call.error
    )
    faulty = sum(1 for asked in stormy.asked if asked.fault)
    with capsys.disabled():
        print(
            f"\n{len(calls)} calls, {len(stormy.asked)} requests ({faulty / len(stormy.asked):.0%} faulty), "
            f"no problem wrong; {stormy.seconds:.1f} s against {calm.seconds:.1f} s "
            f"for {len(calm.asked)} requests; failed: {dict(failed)}"
        )
    for ran in (calm, stormy):
        ran.store.close()
