"""How much of a real engine a search uses, and what others make of the same engine.

    python benchmarks/engine.py --vllm .venv-vllm/bin/python        # scripts/vllm makes that environment

One vLLM server with the shipped policy; the shipped scorer in this process; 100 puzzles of the Game of 24, 32 at once, no calculator. The server has one
processor core and this process the others, as an engine on a GPU has it to itself; with --shared both use all cores.

*Share of the engine*: generated tokens a second of a whole search (every thought in SQLite) over those of the raw engine, which is sent the same calls
again, as many at a time, by the barest client. Both take turns, and medians over the turns are reported.

*Beside others*: its_hub (beam search, particle filtering) and treequest (AB-MCTS in threads) on the same server, scorer and puzzles. Ours may spend what
theirs spent a puzzle, in tokens. Reported are solved puzzles a second and per thousand generated tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import engine_rivals as rivals
import torch
from engine_load import Rate, replay
from vllm_serving import BUILTIN, VLLMServer, forget_prefixes, running

from thoughtgraph import Budget
from thoughtgraph.agents.models.base import ScoringModel
from thoughtgraph.agents.models.registry import load_scorer
from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.ledger import ModelCall
from thoughtgraph.storage.read import list_units, unit_model_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain
from thoughtgraph.tasks.runs import Watch, start
from thoughtgraph.tasks.settings import Settings

PARALLEL = 32
ATTEMPTS = 4
"""Of a puzzle at once, in treequest."""
SCHEMES: dict[str, dict[str, Any]] = {
    "beam": {"merge_states": True},
    "mcts": {  # chosen on validation on the server, which draws no distinct steps as the shipped model does in this process
        "branching": 2,
        "widening": 4,
        "max_expansions": 32,
        "temperature": 1.0,
        "heating": 0.2,
        "prior": "logprob",
        "count_refuted": True,
        "merge_states": True,
        "select": "joint",
    },
    "best_of_n": {"temperature": 1.3},
}
"""The schemes whose share of the engine is measured, with parameters chosen on the validation split (benchmarks/game24_params.yaml)."""


async def search(
    base_url: str, items: Sequence[Item], scheme: str, params: dict[str, Any], tokens: int, concurrency: int
) -> tuple[rivals.Outcome, list[ModelCall]]:
    """Search all puzzles, and return what came of it with the calls it made, in the order of their records.

    The clock runs from when the first search is opened: loading models is not timed, nor is it of the other libraries.
    """
    model = f"openai:numbers?base_url={base_url}&completions=true&max_concurrency={concurrency}"
    settings = Settings(
        task="game24",
        scheme=scheme,
        params=params,
        model=model,
        scorer="builtin:numbers",
        tools=False,
        step_tokens=rivals.STEP_TOKENS,
        budget=Budget(tokens=tokens),
        mode="rolling",
    )
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore.open(str(Path(folder) / "engine.db"))
        begun: list[float] = []
        watch = Watch(Drain(), on_event=lambda _: begun.append(time.perf_counter()) if not begun else None)
        summary = await start(store, settings, items, parallel=PARALLEL, watch=watch)
        seconds = time.perf_counter() - begun[0]
        units = list_units(store.database, summary.run)
        calls = [c for u in units for c in unit_model_calls(store.database, summary.run, u.problem.id)]
        store.close()
    return rivals.Outcome(summary.solved, summary.usage.completion_tokens, seconds), [
        call for call in calls if call.kind == "generate"
    ]


def body(call: ModelCall) -> bytes:
    """Return the request of a recorded call, as it was sent."""
    p = call.parameters
    return json.dumps(
        {
            "model": "numbers",
            "prompt": call.prompt,
            "n": p["n"],
            "temperature": p["temperature"],
            "max_tokens": p["max_tokens"],
            "stop": p["stop"],
            "seed": derive_seed(p["seed"], p["first_sample"]) & 0x7FFFFFFF,
            "logprobs": 1,
            "return_token_ids": True,
        }
    ).encode()


async def share_of_engine(
    server: VLLMServer, items: Sequence[Item], scheme: str, tokens: int, concurrency: int, turns: int
) -> dict[str, Any]:
    """Return a scheme's generated tokens a second over the raw engine's, medians over the turns; both find an empty prefix cache."""
    base_url = server.base_url
    ours: list[float] = []
    raw: list[Rate] = []
    solved: list[int] = []
    for _ in range(turns):
        forget_prefixes(server)
        outcome, calls = await search(base_url, items, scheme, SCHEMES[scheme], tokens, concurrency)
        forget_prefixes(server)
        ours.append(outcome.tokens / outcome.seconds)
        solved.append(outcome.solved)
        raw.append(await replay(f"{base_url}/completions", _interleaved(calls), concurrency))
    rates = [rate.tokens_per_second for rate in raw]
    shares = [mine / theirs for mine, theirs in zip(ours, rates, strict=True)]
    return {
        "scheme": scheme,
        "share": round(statistics.median(shares), 3),
        "shares": [round(share, 3) for share in shares],
        "tokens_per_second": round(statistics.median(ours)),
        "raw_tokens_per_second": round(statistics.median(rates)),
        "requests": raw[-1].requests,
        "tokens": raw[-1].tokens,
        "solved": solved,
    }


def _interleaved(calls: Sequence[ModelCall]) -> list[bytes]:
    """Return the requests one puzzle after the other in turn, as many searches at once send them."""
    by_problem: dict[str, list[bytes]] = {}
    for call in calls:
        by_problem.setdefault(str(call.prompt).partition("\n")[0], []).append(body(call))
    queues = [iter(bodies) for bodies in by_problem.values()]
    mixed: list[bytes] = []
    while queues:
        taken = [(queue, next(queue, None)) for queue in queues]
        mixed += [one for _, one in taken if one is not None]
        queues = [queue for queue, one in taken if one is not None]
    return mixed


async def beside_others(
    server: VLLMServer, items: Sequence[Item], scorer: ScoringModel
) -> list[dict[str, Any]]:
    """Return what each library came to, each followed by ours with as many tokens a puzzle, and beam search beside its own scheme.

    its_hub bounds its requests by nothing, treequest by its threads; ours are as many at once as treequest's.
    """
    base_url = server.base_url
    bench = rivals.Bench(base_url, "numbers", load_task("game24"), items, scorer, PARALLEL, temperature=1.0)
    rows: list[dict[str, Any]] = []

    async def add(name: str, theirs: rivals.Outcome, schemes: Sequence[tuple[str, dict[str, Any]]]) -> None:
        rows.append(_row(name, theirs, len(items)))
        tokens = round(theirs.tokens / len(items))
        for scheme, params in schemes:
            forget_prefixes(server)
            ours, _ = await search(base_url, items, scheme, params, tokens, PARALLEL * ATTEMPTS)
            rows.append(_row(f"thoughtgraph {scheme}, {tokens} tokens", ours, len(items)))
        for row in rows[-1 - len(schemes) :]:
            print(json.dumps(row), flush=True)

    beam = ("beam", SCHEMES["beam"])
    forget_prefixes(server)
    theirs = await rivals.its_hub_beam(bench, budget=32, width=8)
    await add("its_hub BeamSearch, 32 samples, 8 kept", theirs, (beam,))
    forget_prefixes(server)
    theirs = await rivals.its_hub_particles(bench, budget=32)
    particles = ("particle_filter", {"n": 32, "temperature": 1.0})
    await add("its_hub ParticleFiltering, 32 particles", theirs, (particles, beam))
    forget_prefixes(server)
    theirs = await asyncio.to_thread(rivals.treequest_ab_mcts, bench, 32, ATTEMPTS)
    ab_mcts = ("ab_mcts_a", {"temperature": 1.0})
    await add(f"treequest ABMCTSA, 32 attempts, {ATTEMPTS} at once", theirs, (ab_mcts, beam))
    return rows


def _row(name: str, outcome: rivals.Outcome, problems: int) -> dict[str, Any]:
    return {
        "what": name,
        "solved": outcome.solved,
        "of": problems,
        "tokens_per_puzzle": round(outcome.tokens / problems),
        "solved_per_second": round(outcome.solved / outcome.seconds, 2),
        "solved_per_1000_tokens": round(1000 * outcome.solved / outcome.tokens, 2),
    }


def _reserved_core() -> int:
    """Leave this process all cores but one, and return that one."""
    *others, last = sorted(os.sched_getaffinity(0))
    if not others:
        raise SystemExit("this machine has one core, which both would use; say --shared")
    os.sched_setaffinity(0, others)
    torch.set_num_threads(len(others))
    return last


def _versions(python: str) -> dict[str, str]:
    code = "import vllm, torch; print(vllm.__version__, torch.__version__)"
    printed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    engine = dict(zip(("vllm", "torch"), printed[-2:], strict=True))
    return {**engine, **rivals.versions(), "python": platform.python_version()}


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Start the server, measure all, and return the figures."""
    items = list(load_task("game24").load(args.split))[: args.limit]
    scorer = load_scorer("builtin:numbers")
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.jinja"
        template.write_text(rivals.CHAT_TEMPLATE)
        flags = ("--max-model-len", "256", "--chat-template", str(template))
        log = Path(folder) / "vllm.log"
        core = None if args.shared else _reserved_core()
        with running(args.vllm, BUILTIN / "policy", *flags, log=log, name="numbers", core=core) as server:
            await search(
                server.base_url, items[:PARALLEL], "cot", {}, args.tokens, args.concurrency
            )  # warms up
            shares: list[dict[str, Any]] = []
            for scheme in SCHEMES:
                row = await share_of_engine(server, items, scheme, args.tokens, args.concurrency, args.turns)
                shares.append(row)
                print(json.dumps(row), flush=True)
            others = await beside_others(server, items, scorer)
    return {
        "versions": _versions(args.vllm),
        "command": f"python benchmarks/engine.py --split {args.split} --limit {args.limit} --tokens {args.tokens} "
        f"--concurrency {args.concurrency} --turns {args.turns}{' --shared' if args.shared else ''}",
        "parallel": PARALLEL,
        "share_of_engine": shares,
        "beside_others": others,
    }


def main() -> None:
    """Measure and print; with --out also store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vllm", required=True, help="an interpreter with vLLM, see scripts/vllm")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--limit", type=int, default=100, help="puzzles")
    parser.add_argument("--tokens", type=int, default=1000, help="generated tokens a puzzle")
    parser.add_argument("--concurrency", type=int, default=32, help="requests at the server at once")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--shared", action="store_true", help="let the server and this process share all cores"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    figures = asyncio.run(measure(args))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
