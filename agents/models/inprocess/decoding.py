"""Batched autoregressive decoding in which every sample is its own: its randomness, limits, stop strings and record.

`transformers.generate` draws a batch from one generator, so a sample depends on what it happens to be batched with.
Here each row draws one uniform number a token from a generator of its own, and takes the token at that quantile of
its distribution (inverse transform sampling). A row's tokens then depend on its prompt, parameters and seed alone, up
to the rounding of the forward pass, which differs by about 1e-6 between batch shapes in float32: a token changes only
if its uniform number falls that close to a boundary.

Samples drawn without replacement share a row while they agree, see `Branch` and `distinct`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..base import Finish, Sampling
from .detokenize import TextStream
from .distinct import Exit, Node, Walker
from .distributions import clear, pick, probabilities, quantile, shares, total
from .logit_memory import LogitMemory

NOT_A_NUMBER = "the model's output is not a number (NaN); load it with dtype float32"


class Row:
    """One sample on its way.

    Args:
        prompt: the tokens that it continues, at least one.
        sampling: its decoding parameters; `max_tokens` already cut to what the model's context holds.
        seed: of its generator.
        stream: its text.

    Attributes:
        cached: tokens at its beginning that the model did not have to read (≥ 0).
        alternatives: the likeliest first tokens with their log-probabilities, if `sampling` wants some.
    """

    __slots__ = (
        *("alternatives", "cached", "error", "finish", "ids", "logprobs"),
        *("prompt", "sampling", "stream", "uniform"),
    )

    def __init__(self, prompt: tuple[int, ...], sampling: Sampling, seed: int, stream: TextStream) -> None:
        self.prompt = prompt
        self.cached = 0
        self.sampling = sampling
        self.stream = stream
        self.uniform = random.Random(seed).random
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.alternatives: list[tuple[int, float]] = []
        self.finish: Finish | None = None
        self.error: str | None = None

    @property
    def done(self) -> bool:
        return self.finish is not None or self.error is not None

    @property
    def tokens(self) -> tuple[int, ...]:
        """Its prompt and what it has so far."""
        return (*self.prompt, *self.ids)

    @property
    def width(self) -> int:
        """Rows of the batch that it may come to."""
        return 1

    def take(self, token: int, logprob: float, ends: frozenset[int]) -> None:
        """Record the chosen token, and whether the sample ends with it."""
        if math.isnan(logprob):
            self.error = NOT_A_NUMBER
            return
        self.ids.append(token)
        self.logprobs.append(min(0.0, logprob))
        if token in ends:
            self.finish = "stop" if self.stream.finish() else "end"
        elif self.stream.push(token):
            self.finish = "stop"
        elif len(self.ids) >= self.sampling.max_tokens:
            self.finish = "stop" if self.stream.finish() else "length"


class Branch(Row):
    """A prefix that one or more draws without replacement have in common; where their tokens differ it forks.

    What it finds out about the sampling distribution goes into the trie. With finish `filter` there was nothing to draw where it began.

    Args:
        prompt: see `Row`; the tokens of `start` follow it.
        sampling: see `Row`.
        stream: its text, still empty.
        start: where its walkers leave the trie.
        walkers: at least one.

    Attributes:
        node: the prefix in the trie.
        family: all branches that came of one, this one included.
    """

    __slots__ = ("family", "node", "walkers")

    def __init__(
        self,
        prompt: tuple[int, ...],
        sampling: Sampling,
        stream: TextStream,
        start: Exit,
        walkers: Sequence[Walker],
    ) -> None:
        super().__init__(prompt, sampling, 0, stream)  # its walkers bring generators of their own
        self.node = start.node
        self.walkers = tuple(walkers)
        self.family = [self]
        for token, logprob in zip(start.ids, start.logprobs, strict=True):
            self.take(token, logprob, frozenset())

    @property
    def width(self) -> int:
        return len(self.walkers)

    def split(self, tokens: Sequence[int]) -> list[Branch]:
        """Let every walker follow its token ([walkers]); return a branch for each token, itself the first."""
        groups: dict[int, list[Walker]] = {}
        for walker, token in zip(self.walkers, tokens, strict=True):
            groups.setdefault(token, []).append(walker)
        branches = [self, *(self._fork() for _ in range(len(groups) - 1))]
        node = self.node
        for branch, (token, walkers) in zip(branches, groups.items(), strict=True):
            branch.walkers = tuple(walkers)
            branch.node = node.child(token)
        return branches

    def _fork(self) -> Branch:
        fork = copy(self)
        fork.ids, fork.logprobs = list(self.ids), list(self.logprobs)
        fork.stream = copy(self.stream)
        fork.stream.pieces = list(self.stream.pieces)
        self.family.append(fork)
        return fork


class Step(NamedTuple):
    """What a row of the batch goes on with."""

    parent: int
    """The row's place so far."""
    row: Row
    token: int
    """Of a finished row, any."""


def advance(logits: Tensor, rows: Sequence[Row], ends: frozenset[int], memory: LogitMemory) -> list[Step]:
    """Have every row take its next token; return all, in order, then those that forked off."""
    steps = [Step(at, row, 0) for at, row in enumerate(rows)]
    single = [at for at, row in enumerate(rows) if not row.done and not isinstance(row, Branch)]
    if single:
        tokens, logprobs = choose(_those(logits, single), [rows[at] for at in single])
        for at, token, logprob in zip(single, _listed(tokens), _listed(logprobs), strict=True):
            rows[at].take(token, logprob, ends)
            steps[at] = Step(at, rows[at], token)
        for at in single:
            wanted = rows[at].sampling.alternatives
            if wanted and len(rows[at].ids) == 1:
                likely = logits[at].log_softmax(-1).topk(min(wanted, logits.shape[-1]))
                rows[at].alternatives = list(
                    zip(_listed(likely.indices), _listed(likely.values), strict=True)
                )
    shared = {at: row for at, row in enumerate(rows) if isinstance(row, Branch) and not row.done}
    if shared:
        for at, branch in shared.items():
            memory.keep(branch.tokens, logits[at])
        split = _branch(_those(logits, list(shared)), list(shared.values()))
        for at, branches in zip(shared, split, strict=True):
            for branch, token in branches:
                branch.take(token, branch.node.logprob, ends)
                if branch is rows[at]:
                    steps[at] = Step(at, branch, token)
                else:
                    steps.append(Step(at, branch, token))
    return steps


def _those(logits: Tensor, rows: Sequence[int]) -> Tensor:
    return logits if len(rows) == len(logits) else logits[torch.tensor(rows, device=logits.device)]


def choose(logits: Tensor, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Return each row's next token ([R]) and its log-probability at temperature 1 ([R]).

    Args:
        logits: [R, V], float32.
        rows: their sampling parameters; a row with temperature above 0 draws one uniform number.
    """
    tokens = logits.argmax(-1)
    drawn = [i for i, row in enumerate(rows) if row.sampling.temperature > 0]
    if drawn:
        chosen = _draw(_those(logits, drawn), [rows[i] for i in drawn])
        index = torch.tensor(drawn, device=logits.device)
        tokens = chosen if len(drawn) == len(rows) else tokens.index_copy(0, index, chosen)
    logprobs = logits.log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
    return tokens, logprobs


def _draw(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    drawn = probabilities(logits, [row.sampling for row in rows])
    return quantile(drawn, [row.uniform() for row in rows])


def _branch(logits: Tensor, branches: Sequence[Branch]) -> list[list[tuple[Branch, int]]]:
    """Draw for all walkers and note in the trie what they found; return what each branch becomes, with the tokens, none if it cannot go on.

    Args:
        logits: [B, V], float32.
        branches: B of them, not done.
    """
    samplings = [branch.sampling for branch in branches]
    nodes = [branch.node for branch in branches]
    open_to = shares(logits, samplings)
    clear(open_to, [tuple(node.children) for node in nodes])  # walkers are here to leave the trie
    possible = _listed(open_to.amax(-1) != 0.0)  # NaN, which is not 0, is for `take` to report
    owners = [i for i, branch in enumerate(branches) for _ in branch.walkers]
    uniforms = [walker.uniform() for branch in branches for walker in branch.walkers]
    drawn = iter(_listed(pick(open_to[owners], [samplings[i] for i in owners], uniforms)))
    split: list[list[tuple[Branch, int]]] = []
    for branch, able in zip(branches, possible, strict=True):
        tokens = [next(drawn) for _ in branch.walkers]
        if not able:  # rounding had left a token here that the sampling parameters now rule out
            branch.finish = "filter"
        split.append(list(zip(branch.split(tokens), dict.fromkeys(tokens), strict=True)) if able else [])
    note(logits, open_to, nodes, [[token for _, token in pairs] for pairs in split], samplings)
    return split


def note(
    logits: Tensor,
    open_to: Tensor,
    nodes: Sequence[Node],
    tokens: Sequence[Sequence[int]],
    samplings: Sequence[Sampling],
) -> None:
    """Note in the trie the shares of these children of the nodes, and of the rest; `open_to` is used up.

    Args:
        logits: [N, V], float32.
        open_to: [N, V], shares, those of further children zeroed.
        nodes: N of them.
        tokens: of each node's children in question.
        samplings: of each node.
    """
    rows = [i for i, children in enumerate(tokens) for _ in children]
    columns = [token for children in tokens for token in children]
    own = _listed(open_to[rows, columns])
    logprobs = _listed(logits.log_softmax(-1)[rows, columns])
    clear(open_to, tokens)
    for i, token, share, logprob in zip(rows, columns, own, logprobs, strict=True):
        child = nodes[i].child(token)
        child.share, child.logprob = share, logprob
    for node, rest in zip(nodes, _listed(total(open_to, samplings)), strict=True):
        node.rest = rest[0]


def _listed(values: Tensor) -> list[Any]:
    return values.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped in torch
