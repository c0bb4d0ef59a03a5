"""A scoring model in this process: reward, value and outcome models of all formats, over transformers.

    scorer = HFStepScorer("path/to/model")                       # the format is found by the model's architecture
    scorer = HFStepScorer("OWNER/NAME", format="plus_minus")

Our own head format: a causal model with one linear, bias-free output `score` (`AutoModelForTokenClassification`, one label), whose sigmoid is read
at the step tag that `encode_trace` puts after each step. The model is causal, so a step's score never depends on later steps, and one forward pass
scores them all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....graph.errors import ModelError
from ..base import Limits, ScoreKind, Trace
from ..inprocess.loading import (
    Worker,
    check_source,
    choose_device,
    choose_dtype,
    identity,
    load_tokenizer,
    require_torch,
)
from ..options import check_least
from .formats import make_format
from .heads import detect_format, load_network, read_config
from .reading import Batch


class HFStepScorer:
    """A transformers model as a `ScoringModel`.

    Args:
        source: a folder that `save_pretrained` wrote, tokenizer included, or OWNER/NAME on the hub.
        format: how it reads traces, one of `formats.FORMATS`; `auto` goes by its architecture.
        step_tag: mark after a step, of the format plus_minus.
        good: answer for a right step, of the formats plus_minus and rlhflow.
        bad: answer for a wrong one.
        device: `auto` (CUDA, MPS, CPU in this order) or a torch device.
        dtype: a torch dtype's name; by default float32 on a CPU and the checkpoint's own elsewhere.
        batch: traces scored in one forward pass at most (≥ 1).
        name: identity without the version.

    Raises:
        UnknownNameError: if there is no such format.
        UserError: if torch is not installed, there is no model at the path, no such device, `batch` is out of its range, the format cannot be told, or the tokenizer lacks a token of it.
        ModelUnavailableError: if the weights cannot be loaded, or lack the head.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        format: str = "auto",
        step_tag: str | None = None,
        good: str | None = None,
        bad: str | None = None,
        device: str = "auto",
        dtype: str | None = None,
        batch: int = 64,
        name: str | None = None,
    ) -> None:
        check_least(1, batch=batch)
        source = str(source)
        require_torch(name or f"hf:{source}")
        folder = check_source(source, "scoring model")
        location = source if folder is None else str(folder)
        device = choose_device(device)
        config = read_config(location)
        self._tokenizer = load_tokenizer(location)
        wanted = detect_format(location, config) if format == "auto" else format
        self._format = make_format(wanted, self._tokenizer, step_tag=step_tag, good=good, bad=bad)
        self._network = load_network(
            location, config, self._format, device=device, dtype=choose_dtype(dtype, device)
        )
        base = self._network.base
        form = "" if self._format.name == "step" else f"/{self._format.name}"
        self._name = identity("hf", source, folder, config, base.dtype, name=name, form=form)
        self._batch = batch
        self._context: int | None = getattr(base.config.get_text_config(), "max_position_embeddings", None)
        self._vocabulary = int(base.get_input_embeddings().num_embeddings)
        self._worker = Worker("score")

    @property
    def name(self) -> str:
        return self._name

    @property
    def kind(self) -> ScoreKind:
        """What its numbers mean."""
        return self._format.kind

    @property
    def limits(self) -> Limits:
        return Limits(batch=self._batch)

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._tokenizer

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        """Score the traces, off the event loop; a trace that is a prefix of another costs nothing.

        A score that is not a number, or a trace longer than the context, is that trace's `ModelError`.
        """
        return await self._worker.run(lambda cancelled: self._score(traces, cancelled))

    def _score(self, traces: Sequence[Trace], cancelled: threading.Event) -> list[list[float] | ModelError]:
        batch = Batch(
            self._name,
            self._format,
            traces,
            context=self._context,
            vocabulary=self._vocabulary,
            causal=self._network.causal,
        )
        work = batch.longest
        for start in range(0, len(work), self._batch):
            if cancelled.is_set():
                return [ModelError(f"{self._name}: the call was cancelled")] * len(traces)
            chunk = work[start : start + self._batch]
            for trace, rows in zip(
                chunk, self._network.rows(chunk, self._tokenizer.pad_token_id or 0), strict=True
            ):
                batch.read(trace, rows)
        return batch.results()
