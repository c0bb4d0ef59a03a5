"""Train the shipped step scorer: `python -m thoughtgraph.training.numbers_scorer --db labels.db --out OUT`.

The scorer is the policy with its output layer replaced by one linear, bias-free score a token
(`LlamaForTokenClassification`, one label). It learns P(success | prefix) at the step tags that `encode_trace` puts after
every step, for training and for serving alike, by binary cross-entropy on the soft labels of `numbers_rollouts`.

Traces and labels come from the database. Nothing of a held-out puzzle is learned from, whatever the database holds;
epoch and learning rate are chosen on the validation puzzles.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoConfig, LlamaForTokenClassification, PreTrainedTokenizerFast

from ..agents.models.base import Trace
from ..agents.models.local import load_tokenizer, weights_version
from ..agents.models.step_scorer import HFStepScorer
from ..agents.models.trace_encoding import encode_trace
from ..graph.errors import ThoughtGraphError, UserError
from ..storage.database import Database, open_database
from ..storage.labels import DatasetSnapshot, ModelArtifact, read_labels, register_dataset, register_model
from ..storage.read import list_runs
from ..tasks.numbers import NumbersTask
from .numbers_rollouts import forbidden_in, source_of, touches_held_out
from .scorer_eval import summarise
from .traces import LABEL_KIND, LabelledTrace, distinct, labelled_traces, read_counts, read_prefixes

NAME = "builtin:numbers:scorer"
POLICY = Path(__file__).resolve().parent.parent / "agents" / "builtin" / "numbers" / "policy"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What determines a training run, beside the labels."""

    policy: Path = POLICY
    """Folder of the model to start from."""
    epochs: int = 8
    batch: int = 64
    """Traces a step."""
    rate: float = 1e-4
    """Peak learning rate (AdamW); the new output layer and the norms take `head_factor` times it."""
    head_factor: float = 10.0
    warmup: float = 0.05
    """Share of the steps over which the rate rises; it then falls linearly to 0."""
    weight_decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A trace as the model reads it, with a target at some of its tags."""

    ids: tuple[int, ...]
    tags: tuple[int, ...]
    """Positions of the labelled tags in `ids`."""
    targets: tuple[float, ...]
    """In [0, 1], one for each of `tags`."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labelled traces of one source."""

    source: str
    train: list[LabelledTrace]
    """Distinct, none of which touches a held-out puzzle."""
    validation: list[LabelledTrace]
    samples: int
    """Traces searched for each validation problem."""
    left_out: int
    """Traces of training runs that the data rule kept out."""


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
    if not kept or not found["val"]:
        missing = "validation" if kept else "training"
        raise UserError(f"{source} labelled no {missing} traces; run thoughtgraph.training.numbers_rollouts")
    return Labels(source, distinct(kept), found["val"], samples, len(found["train"]) - len(kept))


def encode(tokenizer: PreTrainedTokenizerFast, trace: LabelledTrace) -> Example:
    """Return a labelled trace as the scorer will be served it, targets at the tags of the labelled steps."""
    prompt = NumbersTask.domain.prompt(trace.leaf.question, ())
    encoded = encode_trace(tokenizer, prompt, trace.leaf.steps)
    labelled = [(tag, c.rate) for tag, c in zip(encoded.tags, trace.counts, strict=True) if c is not None]
    return Example(encoded.ids, tuple(tag for tag, _ in labelled), tuple(rate for _, rate in labelled))


def load_model(policy: Path) -> LlamaForTokenClassification:
    """Return the policy's decoder under a new, bias-free output layer with one label, without dropout."""
    # transformers annotates neither loader in full
    config = cast(Any, AutoConfig.from_pretrained(policy))  # pyright: ignore[reportUnknownMemberType]
    config.num_labels, config.id2label, config.label2id = 1, {0: "success"}, {"success": 0}
    config.classifier_dropout, config.token_classification_bias = 0.0, False
    model = LlamaForTokenClassification.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
        policy, config=config, dtype=torch.float32
    )
    # measured faster than sdpa on rows this short
    model.set_attn_implementation("eager")  # pyright: ignore[reportUnknownMemberType]
    return model


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> list[list[Example]]:
    """Return all examples in batches of like length, both the batches and the equals within a length shuffled."""
    order = sorted(examples, key=lambda example: (len(example.ids), rng.random()))
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(groups)
    return groups


def logits_of(model: LlamaForTokenClassification, examples: Sequence[Example]) -> Tensor:
    """Return the logits at all tags of the examples, one example after the other: [T], float32.

    Rows are padded on the right, where a causal model's earlier positions never look.
    """
    width = max(len(example.ids) for example in examples)
    ids = torch.tensor([[*e.ids, *[0] * (width - len(e.ids))] for e in examples])
    rows = [i for i, example in enumerate(examples) for _ in example.tags]
    tags = [tag for example in examples for tag in example.tags]
    untyped = cast(Any, model)  # as transformers' heads are
    hidden = untyped.model(input_ids=ids, use_cache=False).last_hidden_state
    return untyped.score(hidden[rows, tags]).squeeze(-1).float()


def loss_of(model: LlamaForTokenClassification, examples: Sequence[Example]) -> Tensor:
    """Return the mean binary cross-entropy (nats a tag) with the soft targets."""
    targets = torch.tensor([target for example in examples for target in example.targets])
    return torch.nn.functional.binary_cross_entropy_with_logits(logits_of(model, examples), targets)


class Trainer:
    """One training run, which keeps the weights of its best epoch on validation."""

    def __init__(self, recipe: Recipe, train: Sequence[Example], validation: Sequence[Example]) -> None:
        torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        self.recipe = recipe
        self.train, self.validation = train, validation
        self.model = load_model(recipe.policy)
        self.step = 0
        self.steps = recipe.epochs * -(-len(train) // recipe.batch)
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self._best: dict[str, Tensor] = {}
        head = [p for n, p in self.model.named_parameters() if p.ndim == 1 or n.startswith("score")]
        chosen = {id(p) for p in head}
        body = [p for p in self.model.parameters() if id(p) not in chosen]
        self.rates = (recipe.rate, recipe.rate * recipe.head_factor)
        self.optimizer = torch.optim.AdamW(
            [{"params": body, "weight_decay": recipe.weight_decay}, {"params": head, "weight_decay": 0.0}],
            lr=recipe.rate,
            betas=(0.9, 0.98),
        )

    def run(self) -> None:
        """Train to the end and load the weights of the best epoch, by cross-entropy on validation."""
        started = time.monotonic()
        for epoch in range(1, self.recipe.epochs + 1):
            losses = [self.update(batch) for batch in self.epoch(epoch)]
            figures = {
                "train_bce": round(sum(losses) / len(losses), 4),
                "val_bce": round(self.evaluate(), 4),
            }
            print(f"epoch {epoch} {time.monotonic() - started:.0f} s {figures}", flush=True)
            if figures["val_bce"] < min((f["val_bce"] for f in self.history), default=float("inf")):
                self.best_epoch = epoch
                self._best = {n: t.clone() for n, t in self.model.state_dict().items()}
            self.history.append(figures)
        self.model.load_state_dict(self._best)

    def epoch(self, number: int) -> Iterator[list[Example]]:
        """Yield the batches of an epoch."""
        yield from batches(self.train, self.recipe.batch, random.Random(f"{self.recipe.seed} {number}"))

    def update(self, batch: Sequence[Example]) -> float:
        """Take one optimizer step on a batch and return its loss."""
        progress = self.step / self.steps
        scale = min(1.0, (self.step + 1) / (self.recipe.warmup * self.steps + 1)) * (1.0 - progress)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * scale
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(self.model, batch)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        self.optimizer.zero_grad()
        self.step += 1
        return loss.item()

    def evaluate(self) -> float:
        """Return the mean cross-entropy a tag on validation."""
        self.model.eval()
        total = tags = 0.0
        with torch.inference_mode():
            for batch in batches(self.validation, 256, random.Random(0)):
                count = sum(len(example.tags) for example in batch)
                total += loss_of(self.model, batch).item() * count
                tags += count
        return total / tags

    def save(self, out: Path) -> None:
        """Write model and tokenizer: weights in half precision, to be loaded in single precision."""
        out.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.half() for name, tensor in self.model.state_dict().items()}
        self.model.save_pretrained(out, state_dict=state)  # pyright: ignore[reportUnknownMemberType]
        load_tokenizer(str(self.recipe.policy)).save_pretrained(out)


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
    trainer = Trainer(recipe, examples, [encode(tokenizer, trace) for trace in labels.validation])
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
            "left_out_by_the_data_rule": labels.left_out,
        },
        "steps": trainer.step,
        "seconds": round(time.monotonic() - started),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "rate": recipe.rate,
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
    default = Recipe()
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
