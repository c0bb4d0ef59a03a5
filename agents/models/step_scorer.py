"""A reward or value model in this process: one number in [0, 1] at the end of every step of a trace.

Head format: a causal model with one linear, bias-free output `score` (`AutoModelForTokenClassification`, one label),
whose sigmoid is read at the step tag that `encode_trace` puts after each step. Process reward, Q and value models all
have it. The model is causal, so a step's score never depends on later steps, and one forward pass scores them all.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...graph.errors import ModelError, ModelUnavailableError
from .base import Limits, Trace
from .local import (
    Worker,
    check_source,
    choose_device,
    choose_dtype,
    load_pretrained,
    load_tokenizer,
    require_torch,
    weights_version,
)
from .trace_encoding import EncodedTrace, encode_trace, step_tag_id


class HFStepScorer:
    """A transformers token classifier with one label as a `ScoringModel`.

    Args:
        source: a folder that `save_pretrained` wrote, tokenizer with `<|step|>` included, or OWNER/NAME on the hub.
        device: `auto` (CUDA, MPS, CPU in this order) or a torch device.
        dtype: a torch dtype's name; by default float32 on a CPU and the checkpoint's own elsewhere.
        batch: traces scored in one forward pass at most (≥ 1).
        name: identity without the version.

    Raises:
        UserError: if torch is not installed, there is no model at the path, or the tokenizer has no step tag.
        ModelUnavailableError: if the weights cannot be loaded, lack the head, or have more than one label.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        device: str = "auto",
        dtype: str | None = None,
        batch: int = 64,
        name: str | None = None,
    ) -> None:
        source = str(source)
        require_torch(name or f"hf:{source}")
        folder = check_source(source, "step scorer")
        from transformers import AutoModelForTokenClassification
        from transformers.modeling_layers import GenericForTokenClassification

        device = choose_device(device)
        location = source if folder is None else str(folder)
        self._tokenizer = load_tokenizer(location)
        step_tag_id(self._tokenizer)
        self._model = load_pretrained(
            AutoModelForTokenClassification, location, device=device, dtype=choose_dtype(dtype, device)
        )
        if self._model.config.num_labels != 1:
            labels = self._model.config.num_labels
            raise ModelUnavailableError(
                f"the scorer at {source!r} has {labels} labels; a step scorer has one"
            )
        # transformers' generic head sits on causal decoders only; of other models no step's score is taken from a longer trace
        self._causal = isinstance(self._model, GenericForTokenClassification)
        version = (getattr(self._model.config, "_commit_hash", None) or "unknown")[:12]
        base = name or f"hf:{source if folder is None else folder.resolve().name}"
        self._name = f"{base}@{version if folder is None else weights_version(folder)}"
        self._batch = max(1, batch)
        self._context: int | None = getattr(
            self._model.config.get_text_config(), "max_position_embeddings", None
        )
        self._worker = Worker("score")

    @property
    def name(self) -> str:
        return self._name

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
        encoded = {trace: self._encode(trace) for trace in dict.fromkeys(traces)}
        work = {trace: e for trace, e in encoded.items() if isinstance(e, EncodedTrace)}
        scored: dict[Trace, list[float]] = {}
        longest = _maximal(work) if self._causal else list(work)
        for start in range(0, len(longest), self._batch):
            if cancelled.is_set():
                return [ModelError(f"{self._name}: the call was cancelled")] * len(traces)
            chunk = longest[start : start + self._batch]
            for trace, scores in zip(chunk, self._forward([work[t] for t in chunk]), strict=True):
                scored.update(_prefixes(trace, scores))
        failed = {trace: e for trace, e in encoded.items() if isinstance(e, ModelError)}
        return [failed.get(trace) or self._checked(scored[trace]) for trace in traces]

    def _checked(self, scores: list[float]) -> list[float] | ModelError:
        bad = [k for k, score in enumerate(scores, 1) if not math.isfinite(score)]
        return ModelError(f"{self._name} gave step {bad[0]} a score that is not a number") if bad else scores

    def _encode(self, trace: Trace) -> EncodedTrace | ModelError:
        try:
            encoded = encode_trace(self._tokenizer, trace.prompt, trace.steps)
        except ModelError as error:
            return error
        if self._context is not None and len(encoded.ids) > self._context:
            return ModelError(
                f"a trace has {len(encoded.ids)} tokens, and the context of {self._name} {self._context}"
            )
        return encoded

    def _forward(self, traces: Sequence[EncodedTrace]) -> list[list[float]]:
        """Return the scores of each trace from one forward pass over all, padded on the right."""
        import torch

        device = self._model.device
        width = max(len(trace.ids) for trace in traces)
        pad = self._tokenizer.pad_token_id or 0
        ids = torch.tensor(
            [[*trace.ids, *[pad] * (width - len(trace.ids))] for trace in traces], device=device
        )
        lengths = torch.tensor([[len(trace.ids)] for trace in traces], device=device)
        mask = (torch.arange(width, device=device)[None, :] < lengths).long()
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask).logits[:, :, 0]
            scores = logits.float().sigmoid()
            return [scores[i, list(trace.tags)].tolist() for i, trace in enumerate(traces)]


def _maximal(traces: Iterable[Trace]) -> list[Trace]:
    """Return the traces that are not a prefix of another."""
    covered: set[Trace] = set()
    kept: list[Trace] = []
    for trace in sorted(traces, key=lambda t: -len(t.steps)):
        if trace not in covered:
            kept.append(trace)
            covered.update(Trace(trace.prompt, trace.steps[:k]) for k in range(len(trace.steps) + 1))
    return kept


def _prefixes(trace: Trace, scores: list[float]) -> dict[Trace, list[float]]:
    """Return the scores of a trace and of all its prefixes."""
    return {Trace(trace.prompt, trace.steps[:k]): scores[:k] for k in range(len(trace.steps) + 1)}
