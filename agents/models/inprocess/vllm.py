"""A language model on vLLM in this process.

    model = VLLMModel("Qwen/Qwen3-8B", tensor_parallel_size=2)
    critic = VLLMModel("Qwen/Qwen3-8B", adapter="adapters/critic", tensor_parallel_size=2)     # the same engine

The engine batches by itself and keeps the keys and values of prefixes, so calls are handed to it one by one as they come.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....graph.errors import ModelError, ModelUnavailableError
from ....graph.ids import derive_seed
from ..base import Finish, Generation, GenerationCall, Limits, Price, Sample
from ..reasoning import without_thoughts
from ..text import clean, clean_logprobs
from .chat import ChatTemplate, Templated
from .detokenize import TextStream
from .loading import identity
from .vllm_engine import shared_engine

_SEEDS = 1 << 62
"""Seeds are below; vLLM adds a sample's index, and takes them below 2^63."""
_REMEMBERED = 1 << 16
"""Short runs of tokens whose text is remembered."""


class VLLMModel(Templated):
    """A model on vLLM as a `LanguageModel`.

    Models that name the same base share one engine, which is started before the first search or by the first call. The n samples of a call are one request. Sample i of a call draws with
    a seed of its own, whatever it is batched with and however the samples are divided into calls. Log-probabilities are those at temperature 1, before
    top-p and min-p. Temperatures above 2 are refused by vLLM, and min-p is taken after the temperature.

    On a machine without a GPU the engine gets what keeps it alive and steady there, unless you say otherwise: single precision, no compilation, whole
    prompts in a step, the worker in the engine's process, 1 GiB of key-value cache, and, through the environment (`OMP_NUM_THREADS`), one thread.

    The engine is a process that is spawned, so a script needs `if __name__ == "__main__":`. vLLM's usage statistics are off, and its log goes to standard
    error, errors only; `VLLM_NO_USAGE_STATS` and `VLLM_LOGGING_LEVEL` change that.

    Args:
        source: a folder that `save_pretrained` wrote, or OWNER/NAME on the hub (HF_HUB_OFFLINE is respected).
        adapter: folder of a LoRA adapter of it; adapters have to be named before the first call, unless `enable_lora` is given.
        chat: whether it takes chat turns; by default if its tokenizer has a chat template.
        reasons: whether it thinks before it answers, see `ChatTemplate`; by default as its template has it.
        engine: any field of vLLM's `AsyncEngineArgs` by its own name, such as `dtype`, `max_model_len`, `gpu_memory_utilization`, `max_num_seqs` (256
            here: samples at the same time), `tensor_parallel_size`, `quantization`. The same ones wherever the base is named.

    Raises:
        UserError: if vLLM is not installed, there is no model or adapter at the path, or an option does not fit.
        ModelUnavailableError: if its configuration or tokenizer cannot be loaded.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        adapter: str | Path | None = None,
        chat: bool | None = None,
        reasons: bool | None = None,
        **engine: Any,
    ) -> None:
        self._engine = shared_engine(str(source), engine)
        self._adapter = None if adapter is None else self._engine.adapter(Path(adapter))
        self._name = _identity(str(source), self._engine.config)
        if self._adapter is not None:
            self._name += f"+{self._adapter.lora_name}"
        self._tokenizer = self._engine.tokenizer
        chat = bool(self._tokenizer.chat_template) if chat is None else chat
        self._template = ChatTemplate(self._name, self._tokenizer, reasons) if chat else None
        self._context = int(self._engine.config.max_model_len)
        self._parameters: Any = importlib.import_module("vllm").SamplingParams
        self._final = importlib.import_module("vllm.sampling_params").RequestOutputKind.FINAL_ONLY
        self._decode = lru_cache(maxsize=_REMEMBERED)(self._decode_anew)

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> Limits:
        """A call at a time, as many at once as the engine computes samples: it is full even if each asks for one only."""
        return Limits(concurrency=self._engine.width)

    @property
    def price(self) -> Price:
        return Price()

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self._tokenizer

    async def context(self) -> int:
        """Return how many tokens prompt and answer may have together."""
        return self._context

    async def ready(self) -> None:
        """Start the engine, which takes tens of seconds or minutes; raises ModelUnavailableError if it cannot start."""
        await self._engine.ready(self)

    async def aclose(self) -> None:
        """Shut the engine down, unless other models use it; a later call starts it again."""
        await self._engine.release(self)

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer the calls at the same time.

        A prompt that is empty or longer than the context is that call's `ModelError`; `max_tokens` beyond the context ends a sample with `length`.
        """
        return await asyncio.gather(*(self._answer(call) for call in calls))

    async def _answer(self, call: GenerationCall) -> Generation | ModelError:
        try:
            prompt = self._encode(call)
            output = await self._engine.generate(prompt, self._sampling(call, prompt), self._adapter, self)
            samples = [self._sample(one, prompt) for one in output.outputs]
        except ModelUnavailableError:
            raise
        except ModelError as error:
            return ModelError(f"{self._name}: {error}")
        if len(samples) < call.n:  # greedy ones are all the same, and vLLM draws one
            samples *= call.n
        cached = min(output.num_cached_tokens or 0, len(prompt))
        generation = Generation(tuple(samples), len(prompt), prompt, cached_prompt_tokens=cached)
        return generation if self._template is None else without_thoughts(generation, opened=self.reasons)

    def _encode(self, call: GenerationCall) -> tuple[int, ...]:
        if call.unique:
            raise ModelError("it cannot draw without replacement; leave out unique")
        if isinstance(call.prompt, str):
            ids = tuple(self._tokenizer.encode(call.prompt))
        elif self._template is None:
            raise ModelError("it continues raw text and was given chat turns; load it with chat=True")
        else:
            ids = self._template.encode(call.prompt)
        if not ids:
            raise ModelError("it was given an empty prompt, and has no token to begin with")
        if len(ids) >= self._context:
            raise ModelError(
                f"the prompt has {len(ids)} tokens, and the context {self._context}; raise max_model_len"
            )
        return ids

    def _sampling(self, call: GenerationCall, prompt: tuple[int, ...]) -> Any:
        sampling = call.sampling
        greedy = sampling.temperature == 0
        try:
            return self._parameters(
                n=1 if greedy else call.n,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                seed=None if greedy else derive_seed(call.seed) % _SEEDS + call.first_sample,
                stop=list(sampling.stop),
                max_tokens=min(sampling.max_tokens, self._context - len(prompt)),
                logprobs=0,  # of the token drawn, and of no others
                flat_logprobs=True,
                output_kind=self._final,
            )
        except Exception as error:  # of a class of vLLM's own
            raise ModelError(f"vLLM refuses the sampling parameters: {error}") from error

    def _sample(self, output: Any, prompt: tuple[int, ...]) -> Sample:
        ids, text, finish = tuple(output.token_ids), clean(output.text), _finish(output)
        logprobs = output.logprobs
        pieces = self._pieces(prompt, ids, text, finish)
        return Sample(
            text,
            finish,
            len(ids),
            ids,
            clean_logprobs([logprobs.logprobs[at] for at in logprobs.start_indices[: len(ids)]]),
            pieces if "".join(pieces).startswith(text) else None,
        )

    def _pieces(
        self, prompt: tuple[int, ...], ids: tuple[int, ...], text: str, finish: Finish
    ) -> tuple[str, ...]:
        """Return the text of each token: each by itself where that gives the text, else each after those before it."""
        body, end = (ids[:-1], ids[-1:]) if finish == "end" else (ids, ())
        ends = tuple(self._tokenizer.decode([token]) for token in end)
        alone = tuple(self._decode((token,)) for token in body)
        if "".join(alone).startswith(text):
            return alone + ends
        stream = TextStream(self._decode, prompt, ())
        for token in body:
            stream.push(token)
        stream.finish()
        return (*stream.pieces, *ends)

    def _decode_anew(self, ids: tuple[int, ...]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _finish(output: Any) -> Finish:
    if output.finish_reason == "length":
        return "length"
    if output.finish_reason == "stop":
        return "stop" if isinstance(output.stop_reason, str) else "end"
    raise ModelError(f"vLLM ended a sample with {output.finish_reason!r}")


def _identity(source: str, config: Any) -> str:
    """Return name and version, with the data type and quantization that decide its distributions."""
    folder = Path(source).expanduser()
    named = identity("vllm", source, folder if folder.is_dir() else None, config.hf_config, config.dtype)
    return named + (f"/{config.quantization}" if config.quantization else "")
