"""The same work by other libraries, on the same server and scorer: its_hub (beam search, particle filtering) and treequest (AB-MCTS).

    pip install its_hub==1.2.0 treequest==0.3.3

Each is used as its documentation shows: its_hub with its own client and step generation, where a question is the user's turn and the steps are the
assistant's; treequest with a function that grows a node, in a pool of threads. Both give the scorer's number for the newest step of a path.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

from openai import OpenAI

from thoughtgraph.agents.models.base import ScoringModel, Trace
from thoughtgraph.graph.domain import Domain
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.tasks.base import Item, Task

STEPS = 3
"""Of a puzzle with four numbers."""
STEP_TOKENS = 40
CHAT_TEMPLATE = "{{ bos_token }}{% for turn in messages %}{{ turn['content'] }}{% endfor %}"
"""Lets the shipped model, which continues text, be asked through the chat API that its_hub speaks: turns are written one after the other."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a library came to on a set of puzzles."""

    solved: int
    tokens: int
    """Generated."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What all libraries are given."""

    base_url: str
    model: str
    """Its name on the server."""
    task: Task
    items: Sequence[Item]
    scorer: ScoringModel
    parallel: int
    """Puzzles at once."""
    temperature: float

    @property
    def domain(self) -> Domain:
        """The rules of the puzzles."""
        return self.task.domain

    def solves(self, question: str, steps: Sequence[str]) -> bool:
        """Return whether a path of steps is a right solution."""
        answer = self.domain.read(question, tuple(steps)).answer
        verdict = self.task.grade(question, answer, None)
        return verdict is not None and verdict.correct

    async def score(self, prompt: str, paths: Sequence[Sequence[str]]) -> list[float]:
        """Return the score of each path's newest step, in [0, 1].

        Raises:
            ModelError: if one cannot be scored: an error is no score.
        """
        scores: list[float] = []
        for result in await self.scorer.score([Trace(prompt, tuple(path)) for path in paths]):
            if isinstance(result, ModelError):
                raise result
            scores.append(result[-1])
        return scores


def versions() -> dict[str, str]:
    """Return the versions of the libraries."""
    return {name: version(name) for name in ("its_hub", "treequest")}


async def its_hub_beam(bench: Bench, budget: int, width: int) -> Outcome:
    """Search with its_hub's beam search: `budget` samples a level, of which the `width` best go on."""
    algorithms: Any = import_module("its_hub.core.algorithms.beam_search")
    return await _its_hub(bench, budget, partial(algorithms.BeamSearch, beam_width=width))


async def its_hub_particles(bench: Bench, budget: int) -> Outcome:
    """Search with its_hub's particle filtering (arXiv 2502.01618): `budget` particles."""
    algorithms: Any = import_module("its_hub.core.algorithms.particle_gibbs")
    return await _its_hub(bench, budget, algorithms.ParticleFiltering)


async def _its_hub(bench: Bench, budget: int, make: Callable[[Any, Any], Any]) -> Outcome:
    api: Any = import_module("its_hub.api")
    client: Any = import_module("its_hub.core.lms.openai_lm")
    stepping: Any = import_module("its_hub.core.lms.step_generation")
    used: Any = api.GenerationUsage()

    class Counted(client.OpenAICompatibleLanguageModel):
        """Its algorithms ask without a counter; the tokens are wanted here."""

        async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # its own beam search calls what it deprecates
                asked: Any = super()
                return await asked.agenerate(*args, **kwargs, usage_accumulator=used)

    class Scorer(api.AbstractProcessRewardModel):
        def score(self, *_: Any) -> list[float]:
            raise NotImplementedError

        async def ascore(self, prompt: str, steps: list[str]) -> list[float]:
            return await bench.score(prompt, [text.split("\n") for text in steps])

    # it stops a path once `max_steps` steps lie behind the newest one
    steps = stepping.StepGeneration(max_steps=STEPS - 1, step_token="\n", temperature=bench.temperature)
    lm = Counted(bench.base_url, "none", bench.model, max_tokens=STEP_TOKENS)
    search = make(steps, Scorer())
    slots = asyncio.Semaphore(bench.parallel)

    async def solve(item: Item) -> bool:
        question = item.problem.question
        async with slots:
            reply = await search.ainfer(lm, bench.domain.prompt(question, ()), budget)
        return bench.solves(question, reply["content"].split("\n"))

    started = time.perf_counter()
    solved = sum(await asyncio.gather(*map(solve, bench.items)))
    seconds = time.perf_counter() - started
    await lm.close()
    return Outcome(solved, used.completion_tokens, seconds)


def treequest_ab_mcts(bench: Bench, nodes: int, batch: int) -> Outcome:
    """Search with treequest's AB-MCTS-A: a node is a whole attempt, its children keep some of its steps and make the others anew.

    A thread a puzzle, and `batch` attempts of a puzzle at once in a pool that all puzzles share.
    """
    treequest: Any = import_module("treequest")
    tokens = 0
    counting = threading.Lock()
    client = OpenAI(base_url=bench.base_url, api_key="none", timeout=300)

    def attempt(question: str, kept: Sequence[str]) -> tuple[tuple[str, ...], float]:
        nonlocal tokens
        reply = client.completions.create(
            model=bench.model,
            prompt=bench.domain.prompt(question, kept),
            temperature=bench.temperature,
            max_tokens=STEP_TOKENS * (STEPS - len(kept)),
        )
        with counting:
            tokens += reply.usage.completion_tokens if reply.usage else 0
        lines = [line for line in reply.choices[0].text.split("\n") if line.strip()]
        path = (*kept, *lines)[:STEPS]
        prompt = bench.domain.prompt(question, ())
        return path, asyncio.run(bench.score(prompt, [path]))[0] if path else 0.0

    def grow(
        question: str, rng: random.Random, parent: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], float]:
        kept = () if parent is None else parent[: rng.randint(0, max(0, len(parent) - 1))]
        return attempt(question, kept)

    def solve(item: Item) -> bool:
        question, rng = item.problem.question, random.Random(0)
        algorithm: Any = treequest.ABMCTSA(dist_type="beta")
        state = algorithm.init_tree()
        for _ in range(0, nodes, batch):
            state, trials = algorithm.ask_batch(state, batch, ["attempt"])
            grown = workers.map(partial(grow, question, rng), [trial.parent_state for trial in trials])
            for trial, result in zip(trials, grown, strict=True):
                state = algorithm.tell(state, trial.trial_id, result)
        [(best, _)] = treequest.top_k(state, algorithm, k=1)
        return bench.solves(question, best)

    started = time.perf_counter()
    with (
        client,
        ThreadPoolExecutor(bench.parallel * batch) as workers,
        ThreadPoolExecutor(bench.parallel) as searches,
    ):
        solved = sum(searches.map(solve, bench.items))
    return Outcome(solved, tokens, time.perf_counter() - started)
