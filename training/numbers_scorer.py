"""Train the shipped step scorer: `python -m thoughtgraph.training.numbers_scorer --db labels.db --out OUT`.

The scorer is the policy with its output layer replaced by one linear, bias-free score a token
(`LlamaForTokenClassification`, one label). It learns P(success | prefix) at the step tags that `encode_trace` puts after
every step, for training and for serving alike, by binary cross-entropy on the soft labels of `numbers_rollouts`. The
policy has met the training puzzles itself and succeeds more often on them, so successes weigh less, by the ratio of
the odds on validation, and at the end all logits are divided by a temperature.

Traces and labels come from the database. Nothing of a held-out puzzle is learned from, whatever the database holds;
learning rate, epoch, weight and temperature are chosen on the validation puzzles.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerFast

from ..agents.models.base import Trace
from ..agents.models.inprocess.loading import load_tokenizer, weights_version
from ..agents.models.scoring.step_scorer import HFStepScorer
from ..graph.errors import ThoughtGraphError, UserError
from ..storage.database import Database, open_database
from ..storage.labels import DatasetSnapshot, ModelArtifact, read_labels, register_dataset, register_model
from ..storage.read import list_runs
from ..tasks.numbers import NumbersTask
from .numbers_rollouts import source_of
from .scorer_eval import summarise
from .scorer_puzzles import forbidden_in, known_by_heart, touches_held_out
from .scorer_trainer import Example, Recipe, Trainer, encode, odds_ratio
from .traces import LABEL_KIND, LabelledTrace, distinct, labelled_traces, read_counts, read_prefixes

NAME = "builtin:numbers:scorer"
POLICY = Path(__file__).resolve().parent.parent / "agents" / "builtin" / "numbers" / "policy"


@dataclass(frozen=True, slots=True)
class Labels:
    """The labelled traces of one source."""

    source: str
    train: list[LabelledTrace]
    """Distinct; none touches a held-out puzzle, or is of a puzzle that the policy knows by heart."""
    validation: list[LabelledTrace]
    samples: int
    """Traces searched for each validation problem."""
    touching: int
    """Traces of training runs left out by the data rule."""
    by_heart: int
    """Traces of training runs left out since the policy knows their puzzles by heart."""


def read_traces(database: Database, source: str | None = None) -> Labels:
    """Read training and validation traces from the runs that `numbers_rollouts` made.

    Args:
        database: where they are.
        source: of the labels; by default that of the newest label.

    Raises:
        UserError: if there are no labels to train on, or none to choose by.
    """
    if source is None:
        labels = read_labels(database, kind=LABEL_KIND)
        if not labels:
            raise UserError(
                "the database has no labels; collect some with thoughtgraph.training.numbers_rollouts"
            )
        source = labels[-1].source
    found: dict[str, list[LabelledTrace]] = {"train": [], "val": []}
    samples = 0
    for run in reversed(list_runs(database)):
        split = run.spec.id.split("-")[0]
        counts = read_counts(database, run.spec.id, source) if split in found else {}
        if counts:
            found[split] += labelled_traces(read_prefixes(database, run.spec.id), counts)
            samples = int(run.spec.settings["params"]["n"]) if split == "val" else samples
    forbidden = forbidden_in("train")
    kept = [t for t in found["train"] if not touches_held_out(t.leaf.question, t.leaf.steps, forbidden)]
    judged = [t for t in kept if not known_by_heart(t.leaf.question)]
    if not judged or not found["val"]:
        missing = "validation" if judged else "training"
        raise UserError(f"{source} labelled no {missing} traces; run thoughtgraph.training.numbers_rollouts")
    touching, by_heart = len(found["train"]) - len(kept), len(kept) - len(judged)
    return Labels(source, distinct(judged), found["val"], samples, touching, by_heart)


async def serve(folder: Path, traces: Sequence[LabelledTrace]) -> list[list[float]]:
    """Return the scores of traces as searches will get them, from the saved model."""
    scorer = HFStepScorer(folder, device="cpu", batch=256)
    prompt = NumbersTask.domain.prompt
    results = await scorer.score([Trace(prompt(t.leaf.question, ()), t.leaf.steps) for t in traces])
    for result in results:
        if isinstance(result, Exception):
            raise result
    return cast("list[list[float]]", results)


def train(database: Database, out: Path, recipe: Recipe, source: str | None, command: str) -> dict[str, Any]:
    """Train a scorer, write it with its metrics to `out`, register it in the database, and return the metrics.

    Raises:
        UserError: if the labels are missing.
    """
    started = time.monotonic()
    labels = read_traces(database, source)
    tokenizer: PreTrainedTokenizerFast = load_tokenizer(str(recipe.policy))
    examples = [encode(tokenizer, trace) for trace in labels.train]
    validation = [encode(tokenizer, trace) for trace in labels.validation]
    recipe = replace(recipe, positive_weight=odds_ratio(examples, validation))
    trainer = Trainer(recipe, examples, validation)
    trainer.run()
    trainer.save(out)
    scores = asyncio.run(serve(out, labels.validation))
    metrics = {
        "command": command,
        "seed": recipe.seed,
        "labels": labels.source,
        "training": {
            "problems": len({trace.leaf.problem for trace in labels.train}),
            "traces": len(examples),
            "labelled_steps": sum(len(example.tags) for example in examples),
            "traces_left_out_by_the_data_rule": labels.touching,
            "traces_left_out_as_known_by_heart": labels.by_heart,
        },
        "steps": trainer.step,
        "seconds": round(time.monotonic() - started),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "rate": recipe.rate,
        "weight_decay": recipe.weight_decay,
        "positive_weight": round(recipe.positive_weight, 4),
        "best_epoch": trainer.best_epoch,
        "epochs": trainer.history,
        "validation": summarise(labels.validation, scores, labels.samples),
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    register(database, out, labels, examples, metrics)
    return metrics


def register(
    database: Database, out: Path, labels: Labels, examples: Sequence[Example], metrics: dict[str, Any]
) -> None:
    """Record the data set and the model in the database."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([example.ids, example.tags, example.targets]).encode() + b"\n")
    query = {"kind": LABEL_KIND, "source": labels.source, "runs": "train-*", "distinct": True}
    snapshot = DatasetSnapshot("prm", query, digest.hexdigest(), len(examples), str(database.url))
    dataset = register_dataset(database, snapshot)
    base = labels.source.removeprefix(source_of(""))
    register_model(
        database, ModelArtifact(NAME, weights_version(out), "prm", str(out), base, dataset, metrics)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate on validation, write `metrics.json` beside the weights, and register the model."""
    default = Recipe(POLICY)
    parser = argparse.ArgumentParser(
        prog="python -m thoughtgraph.training.numbers_scorer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--db", required=True, help="database with labels: a path or a URL")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--policy", type=Path, default=POLICY, help="folder of the model to start from")
    parser.add_argument("--source", help="source of the labels; by default that of the newest label")
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--rate", type=float, default=default.rate, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    recipe = Recipe(policy=chosen.policy, epochs=chosen.epochs, rate=chosen.rate, seed=chosen.seed)
    command = (
        f"python -m thoughtgraph.training.numbers_scorer --db DB --out OUT "
        f"--epochs {recipe.epochs} --rate {recipe.rate:g} --seed {recipe.seed}"
    )
    database = open_database(chosen.db)
    try:
        print(json.dumps(train(database, chosen.out, recipe, chosen.source, command), indent=2))
    finally:
        database.close()


if __name__ == "__main__":
    try:
        main()
    except ThoughtGraphError as error:
        sys.exit(f"error: {error}")
