"""A causal language model in this process, over transformers.

    model = HFModel("path/to/model")              # or a name on the Hugging Face hub
    [generation] = await model.generate([GenerationCall("2 + 2 =", Sampling(max_tokens=8))])

All samples of all calls of a batch are decoded together, and each is reproducible on its own (see `decoding`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ....graph.errors import ModelError
from ..base import Generation, GenerationCall, Limits, Price, Sample
from ..options import check_least
from .chat import ChatTemplate, Templated
from .detokenize import Decode, TextStream
from .loading import (
    check_source,
    choose_device,
    choose_dtype,
    identity,
    load_pretrained,
    load_tokenizer,
    require_torch,
)

if TYPE_CHECKING:
    from .decoding import Row
    from .draws import Draws

_log = logging.getLogger(__name__)

_REMEMBERED = 1 << 16
"""Short runs of tokens whose text is remembered."""


class HFModel(Templated):
    """A transformers causal language model as a `LanguageModel`.

    Args:
        source: a folder that `save_pretrained` wrote, or OWNER/NAME on the hub (HF_HUB_OFFLINE is respected).
        device: `auto` (CUDA, MPS, CPU in this order) or a torch device.
        dtype: a torch dtype's name; by default float32 on a CPU and the checkpoint's own elsewhere.
        chat: whether it takes chat turns; by default if its tokenizer has a chat template.
        reasons: whether it thinks before it answers, see `ChatTemplate`; by default as its template has it.
        batch: samples decoded together at most (≥ 1).
        name: identity without the version; by default `hf:` with the folder's or the hub's name.

    Raises:
        UserError: if torch is not installed, there is no model at the path, no such device, or `batch` is out of its range.
        ModelUnavailableError: if the weights cannot be loaded, or some are missing.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        device: str = "auto",
        dtype: str | None = None,
        chat: bool | None = None,
        reasons: bool | None = None,
        batch: int = 64,
        name: str | None = None,
    ) -> None:
        check_least(1, batch=batch)
        source = str(source)
        require_torch(name or f"hf:{source}")
        folder = check_source(source, "language model")
        from transformers import AutoModelForCausalLM

        from .engine import Engine
        from .kv_batch import Together
        from .prefix_memory import PrefixMemory
        from .slots import Slots, why_not

        device = choose_device(device)
        location = source if folder is None else str(folder)
        self._tokenizer = load_tokenizer(location)
        self._model = load_pretrained(
            AutoModelForCausalLM, location, device=device, dtype=choose_dtype(dtype, device)
        )
        self._name = identity("hf", source, folder, self._model.config, self._model.dtype, name=name)
        chat = bool(self._tokenizer.chat_template) if chat is None else chat
        self._template = ChatTemplate(self._name, self._tokenizer, reasons) if chat else None
        self._batch = batch
        self._ends = _end_tokens(self._model, self._tokenizer)
        self._pad = _first(self._tokenizer.pad_token_id, *self._ends, 0)
        self._context: int | None = getattr(
            self._model.config.get_text_config(), "max_position_embeddings", None
        )
        self._decode = _decoder(self._tokenizer)
        self._slotless = why_not(self._model, self._pad)
        if self._slotless is not None:
            _log.warning("%s: %s", self._name, self.decoding)
        rows = (
            Slots(self._model, self._pad, PrefixMemory())
            if self._slotless is None
            else Together(self._model, self._pad)
        )
        self._engine = Engine(
            self._model, rows, self._begin, ends=self._ends, pad=self._pad, most=self._batch
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def unique(self) -> bool:
        """It can draw without replacement."""
        return True

    @property
    def alternatives(self) -> bool:
        """It tells how likely other first tokens were."""
        return True

    @property
    def limits(self) -> Limits:
        """A call an invocation, so that each is answered once it has ended; batches are the engine's to make."""
        return Limits(batch=1, concurrency=self._batch)

    @property
    def decoding(self) -> str:
        """How it decodes, in words."""
        if self._slotless is None:
            return "calls join the running decode, over a static cache"
        return f"batch after batch, over a cache that grows, since {self._slotless}"

    @property
    def price(self) -> Price:
        return Price()

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._tokenizer

    @property
    def module(self) -> Any:
        """The transformers model itself."""
        return self._model

    async def context(self) -> int | None:
        """Return how many tokens prompt and answer may have together; None if its configuration does not tell."""
        return self._context

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer the calls, off the event loop, while others are in work.

        A prompt that is empty or longer than the context is that call's `ModelError`; `max_tokens` beyond the context
        ends a sample with `length`. Of calls with `unique`, `draws.DistinctDraws` says what they cost.
        """
        return await self._engine.answer(calls)

    def _begin(self, call: GenerationCall) -> Draws | ModelError:
        from .draws import DistinctDraws, IndependentDraws, Order

        ids = self._encode(call)
        if isinstance(ids, ModelError):
            return ids
        sampling = call.sampling
        if self._context is not None and len(ids) + sampling.max_tokens > self._context:
            sampling = replace(sampling, max_tokens=self._context - len(ids))
        order = Order(
            self._name,
            call,
            ids,
            sampling,
            lambda: TextStream(self._decode, ids, sampling.stop),
            self._sample,
        )
        if call.unique:
            return DistinctDraws(order, self._spellings(call), self._ends)
        return IndependentDraws(order)

    def _spellings(self, call: GenerationCall) -> Iterator[tuple[int, ...]]:
        """Yield the tokens in which a sample may give the texts to be avoided, as the tokenizer would write them."""
        for text in call.avoid:
            for stop in call.sampling.stop:
                yield tuple(self._tokenizer.encode(text + stop, add_special_tokens=False))
            plain = tuple(self._tokenizer.encode(text, add_special_tokens=False))
            yield from ((*plain, end) for end in self._ends)

    def _sample(self, row: Row) -> Sample | ModelError:
        if row.finish is None:
            return ModelError(f"{self._name}: {row.error or 'the call was cancelled'}")
        pieces = row.stream.pieces
        if len(pieces) < len(row.ids):  # an end token, which is not part of the text
            pieces = [*pieces, self._tokenizer.decode([row.ids[-1]])]
        told = tuple((self._tokenizer.decode([token]), logprob) for token, logprob in row.alternatives)
        return Sample(
            row.stream.text,
            row.finish,
            len(row.ids),
            tuple(row.ids),
            tuple(row.logprobs),
            tuple(pieces),
            alternatives=told or None,
        )

    def _encode(self, call: GenerationCall) -> tuple[int, ...] | ModelError:
        if isinstance(call.prompt, str):
            ids = tuple(self._tokenizer.encode(call.prompt))
        elif self._template is not None:
            try:
                ids = self._template.encode(call.prompt)
            except ModelError as error:
                return error
        else:
            return ModelError(
                f"{self._name} continues raw text and was given chat turns; load it with chat=True"
            )
        if not ids:
            return ModelError(f"{self._name} was given an empty prompt; it has no token to begin with")
        if self._context is not None and len(ids) >= self._context:
            return ModelError(
                f"the prompt has {len(ids)} tokens, and the context of {self._name} {self._context}"
            )
        return ids


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured: Any = getattr(model.generation_config, "eos_token_id", None)
    ids = cast("list[Any]", configured if isinstance(configured, list) else [configured])
    return frozenset(int(i) for i in (*ids, tokenizer.eos_token_id) if i is not None)


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _decoder(tokenizer: Any) -> Decode:
    """Return exact decoding without special tokens, through the Rust tokenizer itself where there is one.

    It is asked for one or two tokens at a time, so most answers are remembered.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)

    @lru_cache(maxsize=_REMEMBERED)
    def decode(ids: tuple[int, ...]) -> str:
        if backend is not None:
            return backend.decode(ids, skip_special_tokens=True)
        return tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    return decode
