"""How good a policy of the numbers game is by itself, without search: greedy, per sample, and any of k samples.

`python -m thoughtgraph.training.numbers_eval FOLDER` prints the figures for the validation split. Choose between
policies by these; the test split is for reporting the one that was chosen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from ..tasks.numbers import NumbersTask

MAX_NEW_TOKENS = 96
ROWS = 800
"""Sequences generated at once."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a policy reaches alone on one split; every share is in [0, 1]."""

    task: str
    split: str
    problems: int
    samples: int
    """Samples drawn for each problem."""
    temperature: float
    seed: int
    greedy: float
    """Share of problems solved by the most likely continuation, token by token."""
    per_sample: float
    """Share of samples that solve their problem."""
    any_of_samples: float
    """Share of problems that at least one of their samples solves (pass@`samples`)."""


def load_policy(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Return a trained policy, in single precision, and its tokenizer."""
    # transformers annotates neither loader in full
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)  # pyright: ignore[reportUnknownMemberType]
    tokenizer = AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return model.eval(), cast(PreTrainedTokenizerFast, tokenizer)


def evaluate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    task: str = "game24",
    split: str = "val",
    samples: int = 32,
    temperature: float = 1.0,
    limit: int | None = None,
    seed: int = 0,
) -> Figures:
    """Solve every problem of a split greedily and `samples` times at random, and grade the answers exactly.

    Raises:
        UserError: if the task has no such split.
    """
    graded = NumbersTask(task)
    questions = [item.problem.question for item in graded.load(split, limit)]

    def shares(temperature: float, count: int) -> list[float]:
        solutions = complete(model, tokenizer, questions, count=count, temperature=temperature, seed=seed)
        return [
            sum(graded.grade(q, graded.domain.read(q, steps).answer, None).correct for steps in tried) / count
            for q, tried in zip(questions, solutions, strict=True)
        ]

    greedy, sampled = shares(0.0, 1), shares(temperature, samples)
    return Figures(
        task=task,
        split=split,
        problems=len(questions),
        samples=samples,
        temperature=temperature,
        seed=seed,
        greedy=round(sum(greedy) / len(greedy), 4),
        per_sample=round(sum(sampled) / len(sampled), 4),
        any_of_samples=round(sum(share > 0 for share in sampled) / len(sampled), 4),
    )


def complete(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[str],
    *,
    count: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[list[list[str]]]:
    """Return `count` solutions of each question, each a list of step lines.

    Args:
        model: the policy.
        tokenizer: its tokenizer.
        questions: canonical questions.
        count: solutions of each.
        temperature: 0 is greedy.
        seed: of the sampling.
    """
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
    domain = NumbersTask().domain
    prompts = [cast("list[int]", tokenizer(domain.prompt(q, ()))["input_ids"]) for q in questions]
    rows = [(i, prompt) for i, prompt in enumerate(prompts) for _ in range(count)]
    rows.sort(key=lambda row: len(row[1]))  # rows of one length need no padding
    solutions: list[list[list[str]]] = [[] for _ in questions]
    start = 0
    while start < len(rows):
        length = len(rows[start][1])
        batch = [row for row in rows[start : start + ROWS] if len(row[1]) == length]
        start += len(batch)
        generated = _generate(model, torch.tensor([prompt for _, prompt in batch]), temperature)
        texts = [_decode(tokenizer, row[length:]) for row in generated]
        for (i, _), text in zip(batch, texts, strict=True):
            solutions[i].append(text.splitlines())
    return solutions


def _decode(tokenizer: PreTrainedTokenizerFast, row: Tensor) -> str:
    ids = cast("list[int]", row.tolist())  # pyright: ignore[reportUnknownMemberType]  # untyped in torch
    return str(tokenizer.decode(ids, skip_special_tokens=True))  # pyright: ignore[reportUnknownMemberType]


def _generate(model: LlamaForCausalLM, prompts: Tensor, temperature: float) -> Tensor:
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    )
    with torch.inference_mode():
        found = model.generate(  # pyright: ignore  # untyped mixin in transformers
            prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=MAX_NEW_TOKENS, **sampling
        )
    return cast(Tensor, found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of a policy as JSON."""
    parser = argparse.ArgumentParser(prog="python -m thoughtgraph.training.numbers_eval", description=__doc__)
    parser.add_argument("folder", type=Path, help="the policy's folder")
    parser.add_argument("--task", default="game24", choices=("game24", "countdown"))
    parser.add_argument("--split", default="val", choices=("val", "test", "train"))
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--limit", type=int, help="only the first problems of the split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = vars(parser.parse_args(arguments))
    torch.set_num_threads(options.pop("threads"))
    model, tokenizer = load_policy(options.pop("folder"))
    print(json.dumps(asdict(evaluate(model, tokenizer, **options)), indent=2))


if __name__ == "__main__":
    main()
