"""Train a step scorer on soft labels: the policy's decoder under one linear score, read at the step tags.

trainer = Trainer(Recipe(policy), [encode(tokenizer, trace) for trace in traces], validation)
trainer.run()
trainer.save(out)
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import LlamaForTokenClassification, PreTrainedTokenizerFast

from ..agents.models.inprocess.loading import load_tokenizer
from ..agents.models.scoring.trace_encoding import encode_trace
from ..tasks.numbers import NumbersTask
from .numbers_eval import load_policy
from .traces import LabelledTrace


@dataclass(frozen=True, slots=True)
class Recipe:
    """What determines a training run, beside the labels."""

    policy: Path
    """Folder of the model to start from."""
    epochs: int = 8
    batch: int = 64
    """Traces a step."""
    rate: float = 1e-4
    """Peak learning rate (AdamW); the new output layer and the norms take `head_factor` times it."""
    head_factor: float = 5.0
    warmup: float = 0.05
    """Share of the steps over which the rate rises; it then falls linearly to 0."""
    weight_decay: float = 0.01
    positive_weight: float = 1.0
    """Weight of success against failure in the loss."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A trace as the model reads it, with a target at some of its tags."""

    ids: tuple[int, ...]
    tags: tuple[int, ...]
    """Positions of the labelled tags in `ids`."""
    targets: tuple[float, ...]
    """In [0, 1], one for each of `tags`."""


def encode(tokenizer: PreTrainedTokenizerFast, trace: LabelledTrace) -> Example:
    """Return a labelled trace as the scorer will be served it, targets at the tags of the labelled steps."""
    prompt = NumbersTask.domain.prompt(trace.leaf.question, ())
    encoded = encode_trace(tokenizer, prompt, trace.leaf.steps)
    labelled = [(tag, c.rate) for tag, c in zip(encoded.tags, trace.counts, strict=True) if c is not None]
    return Example(encoded.ids, tuple(tag for tag, _ in labelled), tuple(rate for _, rate in labelled))


def load_model(policy: Path) -> LlamaForTokenClassification:
    """Return the policy's decoder under a new, bias-free output layer with one label, without dropout."""
    decoder = cast(Any, load_policy(policy)[0])  # as transformers annotates it
    config = decoder.config
    config.num_labels, config.id2label, config.label2id = 1, {0: "success"}, {"success": 0}
    config.classifier_dropout, config.token_classification_bias = 0.0, False
    model = cast(Any, LlamaForTokenClassification(config))
    model.model.load_state_dict(decoder.model.state_dict())
    model.set_attn_implementation("eager")  # measured faster than sdpa on rows this short
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


def loss_of(
    model: LlamaForTokenClassification, examples: Sequence[Example], positive_weight: float = 1.0
) -> Tensor:
    """Return the mean binary cross-entropy (nats a tag) with the soft targets, their success part weighted."""
    targets = torch.tensor([target for example in examples for target in example.targets])
    return torch.nn.functional.binary_cross_entropy_with_logits(
        logits_of(model, examples), targets, pos_weight=torch.tensor(positive_weight)
    )


def odds_ratio(examples: Sequence[Example], others: Sequence[Example]) -> float:
    """Return the odds of success in `others` over those in `examples`; 1 if either has only one outcome.

    As the weight of success, it makes scores learned on `examples` right for the prior of `others`.
    """

    def rate(some: Sequence[Example]) -> float:
        targets = [target for example in some for target in example.targets]
        return sum(targets) / len(targets)

    here, there = rate(examples), rate(others)
    return there * (1 - here) / (here * (1 - there)) if 0 < here < 1 and 0 < there < 1 else 1.0


def fit_temperature(logits: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the temperature in [0.1, 10] by which to divide logits for the least cross-entropy, and that in nats.

    Temperature scaling, Guo et al., arXiv 1706.04599, §4.2; the loss is convex in 1 / temperature.

    Args:
        logits: [T].
        targets: [T], in [0, 1].
    """

    def loss(inverse: float) -> float:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits * inverse, targets).item()

    low, high = 0.1, 10.0
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return 1 / low, loss(low)


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
        """Train to the end, load the weights of the best epoch by cross-entropy on validation, and calibrate them."""
        started = time.monotonic()
        for epoch in range(1, self.recipe.epochs + 1):
            losses = [self.update(batch) for batch in self.epoch(epoch)]
            temperature, loss = self.evaluate()
            figures = {
                "train_bce": round(sum(losses) / len(losses), 4),
                "val_bce": round(loss, 4),
                "temperature": round(temperature, 3),
            }
            print(f"epoch {epoch} {time.monotonic() - started:.0f} s {figures}", flush=True)
            if loss < min((f["val_bce"] for f in self.history), default=math.inf):
                self.best_epoch = epoch
                self._best = {n: t.clone() for n, t in self.model.state_dict().items()}
                # the output layer is linear and has no bias, so scaling it scales every logit
                self._best["score.weight"] /= temperature
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
            loss = loss_of(self.model, batch, self.recipe.positive_weight)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
        self.optimizer.zero_grad()
        self.step += 1
        return loss.item()

    def evaluate(self) -> tuple[float, float]:
        """Return the temperature that calibrates validation best, and the mean cross-entropy a tag at it."""
        self.model.eval()
        groups = batches(self.validation, 256, random.Random(0))
        with torch.inference_mode():
            logits = torch.cat([logits_of(self.model, group) for group in groups])
        targets = torch.tensor(
            [target for group in groups for example in group for target in example.targets]
        )
        return fit_temperature(logits, targets)

    def save(self, out: Path) -> None:
        """Write model and tokenizer: weights in half precision, to be loaded in single precision."""
        out.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.half() for name, tensor in self.model.state_dict().items()}
        self.model.save_pretrained(out, state_dict=state)  # pyright: ignore[reportUnknownMemberType]
        load_tokenizer(str(self.recipe.policy)).save_pretrained(out)
