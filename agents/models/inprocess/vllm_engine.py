"""vLLM's asynchronous engine on a thread of its own, one for each base model of the process.

The engine computes in a process of its own; here is the part that hands it requests and reads its answers. That part belongs to one event loop, so it has one
that is ours: calls may come from any loop, and from one loop after another.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import importlib.util
import itertools
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import fields
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from ....graph.errors import ModelError, ModelUnavailableError, UserError
from ..text import shorten
from .loading import check_source, weights_version
from .vllm_options import check_names, default_arguments, model_config, refusal, room_for, sample_width

_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""Set unless the user did: nothing is sent home, standard output is left to the program, and no process with threads is forked."""
_CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
_CPU_BATCH = 8192
"""Tokens a step at least, where nothing else is said."""

_engines: dict[str, VLLMEngine] = {}
_lock = threading.Lock()


def require_vllm(wanted_by: str) -> None:
    """Check that vLLM is installed.

    Raises:
        UserError: if not, naming what needs it and how to get it.
    """
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            f"{wanted_by} needs vLLM in this environment; pip install 'thoughtgraph[vllm]', "
            "or start a server elsewhere and use openai:NAME?base_url=http://HOST:8000/v1"
        )


def shared_engine(source: str, options: Mapping[str, Any]) -> VLLMEngine:
    """Return the engine of a base model; all that name it share it.

    Args:
        source: a folder, or OWNER/NAME on the Hugging Face hub.
        options: fields of vLLM's `AsyncEngineArgs`.

    Raises:
        UserError: if vLLM is not installed, there is no model, vLLM refuses an option, or the engine is there with others.
    """
    require_vllm(f"vllm:{source}")
    folder = check_source(source, "language model")
    location = source if folder is None else str(folder.resolve())
    with _lock:
        if location not in _engines:
            _engines[location] = VLLMEngine(location, options)
        engine = _engines[location]
    if engine.options != options:
        raise UserError(
            f"{source!r} is named with engine options {engine.options} and with {dict(options)}; "
            "give the same ones wherever it is named, since one engine serves all"
        )
    return engine


class VLLMEngine:
    """One engine, started by `ready` or the first call, and again by the next one after it was shut down.

    Args:
        location: a folder, or a name on the hub.
        options: see `shared_engine`.

    Attributes:
        options: as given.
        config: vLLM's `ModelConfig`: data type, context, quantization.
        tokenizer: the model's own.
        width: samples that the engine computes at the same time (≥ 1).
    """

    def __init__(self, location: str, options: Mapping[str, Any]) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        arguments = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs
        known = {field.name for field in fields(arguments)} - {"model"}
        check_names(options, known)
        self.options = dict(options)
        self._location = location
        self._on_cpu: bool = importlib.import_module("vllm.platforms").current_platform.is_cpu()
        self._arguments = {**default_arguments(self._on_cpu), **options}
        self.width = sample_width(self._arguments)
        self.config: Any = model_config(arguments, location, self._arguments)
        self.tokenizer: Any = importlib.import_module("vllm.tokenizers").cached_tokenizer_from_config(
            self.config
        )
        self._adapters: dict[Path, Any] = {}
        self._users: set[object] = set()
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._engine: Any = None
        self._failure = ""

    def adapter(self, folder: Path) -> Any:
        """Return vLLM's request for a LoRA adapter, equal ones for equal folders.

        Raises:
            UserError: if there is none in the folder, or the engine was started without room for adapters.
        """
        folder = folder.expanduser().resolve()
        if not (folder / "adapter_config.json").is_file():
            raise UserError(
                f"{str(folder)!r} holds no LoRA adapter: no adapter_config.json; give the folder peft wrote"
            )
        if folder not in self._adapters:
            if self._engine is not None and (self._on_cpu or not self._engine.vllm_config.lora_config):
                raise UserError(
                    f"the engine of {self._location!r} runs already, with no room for {folder.name!r}; name every adapter before the first call"
                )
            request = importlib.import_module("vllm.lora.request").LoRARequest
            name = f"{folder.name}@{weights_version(folder)}"
            self._adapters[folder] = request(name, len(self._adapters) + 1, str(folder))
        return self._adapters[folder]

    async def ready(self, user: object) -> None:
        """Start the engine if it is not; for `user` see `generate`.

        Raises:
            ModelUnavailableError: if it cannot start, or has died.
        """
        if self._engine is None or self._failure or user not in self._users:

            async def start() -> None:
                self._started()

            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(start(), self._open(user)))

    async def generate(self, prompt: tuple[int, ...], parameters: Any, adapter: Any, user: object) -> Any:
        """Return vLLM's final `RequestOutput`; a caller that is cancelled aborts the request.

        Args:
            prompt: token ids.
            parameters: vLLM's `SamplingParams`.
            adapter: from `adapter`, or None.
            user: for whom the engine is kept until `release`.

        Raises:
            ModelError: if vLLM refuses or fails this request.
            ModelUnavailableError: if the engine cannot start, has died, or was shut down meanwhile.
        """
        answer = self._answer(prompt, parameters, adapter)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer, self._open(user)))

    async def release(self, user: object) -> None:
        """Shut the engine down if nobody else has used it since it was started."""
        self._users.discard(user)
        if not self._users:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Shut the engine down and wait for it; what is under way fails."""
        with _lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            self._users.clear()
        if loop is None or thread is None:
            return
        atexit.unregister(self.close)
        asyncio.run_coroutine_threadsafe(self._shut_down(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _open(self, user: object) -> asyncio.AbstractEventLoop:
        with _lock:
            self._users.add(user)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="thoughtgraph-vllm", daemon=True
                )
                self._thread.start()
                atexit.register(self.close)
            return self._loop

    async def _answer(self, prompt: tuple[int, ...], parameters: Any, adapter: Any) -> Any:
        exceptions = importlib.import_module("vllm.v1.engine.exceptions")
        engine, final = self._started(), None
        tokens = {"type": "token", "prompt_token_ids": list(prompt)}
        try:
            outputs = engine.generate(
                tokens, parameters, f"thoughtgraph-{next(self._numbers)}", lora_request=adapter
            )
            async for output in outputs:
                final = output
        except exceptions.EngineDeadError as error:
            self._failure = (
                f"the vLLM engine of {self._location!r} died; its log above says why; start again to resume"
            )
            raise ModelUnavailableError(self._failure) from error
        except asyncio.CancelledError:
            if self._engine is not None:
                raise
            raise ModelUnavailableError(f"the vLLM engine of {self._location!r} was shut down") from None
        except Exception as error:
            cause = error.__cause__ or error
            raise ModelError(
                f"vLLM failed a request: {shorten(str(cause) or type(cause).__name__)}"
            ) from error
        return final

    def _started(self) -> Any:
        """Return the engine, started if it is not. This blocks our loop, on which nothing else could go on anyway."""
        if self._failure:
            raise ModelUnavailableError(self._failure)
        if self._engine is None:
            try:
                self._engine = self._start()
            except Exception as error:
                self._failure = f"vLLM cannot start with {self._location!r}: {refusal(error, 300)}"
                raise ModelUnavailableError(self._failure) from error
        return self._engine

    def _start(self) -> Any:
        options = dict(self._arguments)
        if self._on_cpu:
            for name, value in _CPU_ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            options.setdefault("max_num_batched_tokens", max(_CPU_BATCH, self.config.max_model_len))
        if self._adapters:
            options = {**room_for(list(self._adapters), self._on_cpu), **options}
        arguments = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs
        throughput = importlib.import_module("vllm.usage.usage_lib").UsageContext.LLM_CLASS
        engine = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
        return engine.from_engine_args(arguments(model=self._location, **options), usage_context=throughput)

    async def _shut_down(self) -> None:
        engine, self._engine, self._failure = self._engine, None, ""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if engine is not None:
            engine.shutdown()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop in a thread whose child processes an interrupt at the terminal does not reach: when to stop is decided here."""
    resource_tracker.ensure_running()  # when it starts, it unblocks the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    loop.run_forever()
