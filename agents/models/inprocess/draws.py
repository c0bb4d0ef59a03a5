"""The samples of one call while they are drawn: what is to be decoded next, and what has come of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ....graph.errors import ModelError
from ....graph.ids import derive_seed
from ..base import Generation, GenerationCall, Sample, Sampling
from .decoding import NOT_A_NUMBER, Branch, Row
from .detokenize import TextStream
from .distinct import Exit, Trie, Walker
from .measuring import Path


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be drawn, in tokens."""

    model: str
    """Its name."""
    call: GenerationCall
    prompt: tuple[int, ...]
    sampling: Sampling
    """With `max_tokens` cut to what the context holds."""
    stream: Callable[[], TextStream]
    """Makes the text of a sample, empty."""
    read: Callable[[Row], Sample | ModelError]
    """Makes the sample of a row that has ended, or says why there is none."""

    def seed(self, place: int) -> int:
        """Return the seed of one of the samples."""
        return derive_seed(self.call.seed, self.call.first_sample + place)


class Draws(Protocol):
    """How a call is answered: rows are decoded as long as some are pending."""

    @property
    def prompt(self) -> tuple[int, ...]: ...

    def paths(self) -> list[Path]:
        """Return what must be measured before the first draw."""
        ...

    def measured(self) -> None:
        """Take note that the paths have been measured."""
        ...

    def pending(self, most: int) -> Sequence[Row]:
        """Collect what the rows of the last time have become, and return the next ones, none at the end.

        Args:
            most: what draws that depend on each other may fill of a batch (≥ 1).
        """
        ...

    def result(self) -> Generation | ModelError:
        """Return all samples, or the first failure."""
        ...


class IndependentDraws:
    """Samples that know nothing of each other."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._rows: list[Row] = []

    @property
    def prompt(self) -> tuple[int, ...]:
        return self._order.prompt

    def paths(self) -> list[Path]:
        """See `Draws.paths`."""
        return []

    def measured(self) -> None:
        """See `Draws.measured`."""

    def pending(self, most: int) -> Sequence[Row]:
        """Return all rows, once, however many."""
        if self._rows:
            return []
        order = self._order
        self._rows = [
            Row(order.prompt, order.sampling, order.seed(i), order.stream()) for i in range(order.call.n)
        ]
        return self._rows

    def result(self) -> Generation | ModelError:
        """See `Draws.result`."""
        samples = [self._order.read(row) for row in self._rows]
        failed = [sample for sample in samples if isinstance(sample, ModelError)]
        good = tuple(sample for sample in samples if isinstance(sample, Sample))
        cached = self._rows[0].cached if self._rows else 0  # the others read the same, and it counts once
        prompt = self._order.prompt
        return failed[0] if failed else Generation(good, len(prompt), prompt, cached_prompt_tokens=cached)


class DistinctDraws:
    """Samples no two of which have the same text, see `distinct`.

    What they cost: every sample counts all its tokens, though those it has in common with another are computed once; nothing else is generated,
    but for second spellings. Two sequences of tokens may be the same text: the later one is rejected when it is complete, which is exact too, and
    its tokens are counted as `extra_tokens`. There are at most as many as keep all tokens within `n` times `max_tokens`. Avoided texts, and
    prefixes at which draws leave the trie, are read and not generated: they count as tokens of the prompt, as often as they are read.

    Args:
        order: what is to be drawn.
        avoid: sequences of tokens for the texts to be avoided; those that do not end as a sample would are left out.
        ends: ids of end tokens.
    """

    def __init__(self, order: Order, avoid: Iterable[tuple[int, ...]], ends: frozenset[int]) -> None:
        self._order = order
        self._trie = Trie(greedy=order.sampling.temperature == 0)
        self._known = {(text.strip(), True) for text in order.call.avoid}
        self._avoid = [ids for ids in dict.fromkeys(avoid) if self._is_sample(ids, ends)]
        for ids in self._avoid:
            self._trie.add(ids)
        self._waiting = [_walker(place, order.seed(place)) for place in range(order.call.n)]
        self._decoding: list[Branch] = []
        self._samples: list[Sample] = []
        self._paid = 0
        self._read = self._cached = 0
        self._error: ModelError | None = None

    @property
    def prompt(self) -> tuple[int, ...]:
        return self._order.prompt

    def paths(self) -> list[Path]:
        """See `Draws.paths`."""
        # the last token itself is not read: nothing follows it
        paths = [
            Path(self._order.prompt, self._order.sampling, i, self._trie.root)
            for i in dict.fromkeys(s[:-1] for s in self._avoid)
        ]
        self._read = len(self._order.prompt) + sum(len(path.ids) for path in paths) if paths else 0
        return paths

    def measured(self) -> None:
        """See `Draws.measured`."""
        for ids in self._avoid:
            self._trie.settle(ids)

    def pending(self, most: int) -> Sequence[Row]:
        """See `Draws.pending`."""
        self._collect()
        if math.isnan(self._trie.left):
            self._error = self._error or ModelError(f"{self._order.model}: {NOT_A_NUMBER}")
        limit = self._order.sampling.max_tokens
        affordable = (self._order.call.n * limit - self._paid) // limit
        count = min(most, affordable)
        if self._error or self._trie.left <= 0.0 or count < 1:
            return []
        walkers, self._waiting = self._waiting[:count], self._waiting[count:]
        return [self._start(start, group) for start, group in _grouped(self._trie, walkers)]

    def result(self) -> Generation | ModelError:
        """Return the samples in order of their draws, then those that do not exist, or the first failure."""
        if self._error:
            return self._error
        missing = self._order.call.n - len(self._samples)
        none = Sample("", "filter", 0, (), (), ())
        extra = self._paid - sum(sample.tokens for sample in self._samples)
        samples = (*self._samples, *[none] * missing)
        return Generation(samples, self._read, self._order.prompt, extra, self._cached)

    def _start(self, start: Exit, walkers: Sequence[Walker]) -> Branch:
        branch = Branch(self._order.prompt, self._order.sampling, self._order.stream(), start, walkers)
        self._decoding.append(branch)
        self._read += len(branch.tokens)
        return branch

    def _collect(self) -> None:
        drawn: list[tuple[Walker, Sample]] = []
        self._cached += sum(branch.cached for branch in self._decoding)
        for row in (row for first in self._decoding for row in first.family):
            sample = self._order.read(row)
            if isinstance(sample, ModelError):
                self._error = self._error or sample
                continue
            if sample.finish != "filter":
                self._trie.add(row.ids)
                self._paid += sample.tokens
            self._trie.settle(row.ids)
            drawn += [(walker, sample) for walker in row.walkers]
        self._decoding = []
        for walker, sample in sorted(drawn, key=lambda one: one[0].place):
            key = _key(sample)
            if sample.finish == "filter" or key in self._known:
                self._waiting.append(walker)
            else:
                self._known.add(key)
                self._samples.append(sample)

    def _is_sample(self, ids: Sequence[int], ends: frozenset[int]) -> bool:
        row = Row(self._order.prompt, self._order.sampling, 0, self._order.stream())
        for token in ids:
            if row.done:
                return False
            row.take(token, 0.0, ends)
        return row.finish in ("stop", "end") and (row.stream.text.strip(), True) in self._known


def _walker(place: int, seed: int) -> Walker:
    return Walker(place, random.Random(seed).random)


def _key(sample: Sample) -> tuple[str, bool]:
    """Return what two samples must not have in common: a text, surrounding white space aside, complete or cut off."""
    return sample.text.strip(), sample.finish != "length"


def _grouped(trie: Trie, walkers: Iterable[Walker]) -> list[tuple[Exit, list[Walker]]]:
    """Return where the walkers leave the trie, those that do so at one place together."""
    groups: dict[int, tuple[Exit, list[Walker]]] = {}
    for walker in walkers:
        found = trie.walk(walker.uniform)
        groups.setdefault(id(found.node), (found, []))[1].append(walker)
    return list(groups.values())
