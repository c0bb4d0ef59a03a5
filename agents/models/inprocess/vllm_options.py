"""What vLLM's engine is told: the user's options, what holds where they say nothing, and what vLLM refuses, in a line."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from ....graph.errors import ModelUnavailableError, UserError
from ..text import shorten

OWN = ("adapter", "chat", "reasons")
"""Options of ours beside vLLM's."""

_CPU_CACHE = 1 << 30
"""Bytes of key-value cache, where nothing else is said."""
_NEAREST = 3
"""Names suggested in place of one that is not known."""


def check_names(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse an option that vLLM does not have; there are some two hundred, so only the nearest are named.

    Args:
        names: of the options given.
        known: fields of `AsyncEngineArgs`.

    Raises:
        UserError: on the first that is neither there nor ours.
    """
    every = sorted({*OWN, *known})
    for name in names:
        if name not in every:
            near = difflib.get_close_matches(name, every, n=_NEAREST)
            hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise UserError(
                f"unknown option {name!r} of vllm models; {hint}there are {', '.join(OWN)}, "
                "and what `vllm serve --help=all` lists, with _ in place of -"
            )


def default_arguments(on_cpu: bool) -> dict[str, Any]:
    """Return engine arguments that hold unless the user gives others."""
    common = {
        "enable_prefix_caching": True,
        "max_num_seqs": 256,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    on_cpu_alone = {
        "dtype": "float32",
        "enforce_eager": True,
        "distributed_executor_backend": "uni",  # workers in processes of their own starve each other on few cores
        "enable_chunked_prefill": False,  # with a seed it kills the CPU engine
        "kv_cache_memory_bytes": _CPU_CACHE,
    }
    return common | on_cpu_alone if on_cpu else common


def sample_width(options: Mapping[str, Any]) -> int:
    """Return how many samples the engine computes at the same time (≥ 1); raises UserError if that is no number."""
    width = options["max_num_seqs"]
    if not isinstance(width, int) or width < 1:
        raise UserError(f"vLLM refuses max_num_seqs={width}; give a whole number, 1 or more")
    return width


def model_config(arguments: Any, location: str, options: Mapping[str, Any]) -> Any:
    """Return vLLM's `ModelConfig` of a model that generates.

    Args:
        arguments: `AsyncEngineArgs`.
        location: a folder, or a name on the hub.
        options: its fields.

    Raises:
        UserError: if vLLM refuses the options or the model, or the model scores.
        ModelUnavailableError: if there is no model.
    """
    try:
        config = arguments(model=location, **options).create_model_config()
    except OSError as error:
        raise ModelUnavailableError(
            f"cannot load the model {location!r}: {shorten(str(error))}; check the name, and download it first when HF_HUB_OFFLINE is set"
        ) from error
    except Exception as error:  # of a class of vLLM's own, or of pydantic
        raise UserError(f"vLLM refuses {location!r}: {refusal(error)}") from error
    if config.runner_type != "generate":
        raise UserError(
            f"{location!r} scores and does not generate; serve it with `vllm serve --runner pooling` and name it as a scorer, pooling:NAME"
        )
    return config


def refusal(error: Exception, width: int = 400) -> str:
    """Return in a line of at most `width` characters why vLLM refuses; of pydantic's errors, what is wrong with which option."""
    tell: Any = getattr(error, "errors", None)
    if not callable(tell):
        return shorten(str(error) or type(error).__name__, width)
    found = cast("list[dict[str, Any]]", tell())
    return shorten("; ".join(map(_wrong, found)), width)


def _wrong(found: Mapping[str, Any]) -> str:
    message = str(found["msg"])
    if not found["loc"]:  # of all options together
        return message
    return f"{found['loc'][0]}={found['input']}: {message[:1].lower()}{message[1:]}"


def room_for(adapters: list[Path], on_cpu: bool) -> dict[str, Any]:
    """Return the engine arguments by which these adapters fit at the same time.

    On a CPU one slot more than that stays empty: the kernels there (0.32.0) read the last slot for requests of the base model that are batched with others.
    """
    configs = [
        json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")) for folder in adapters
    ]
    rank = max(int(config.get("r", 0)) for config in configs)
    ranks = cast("tuple[int, ...]", get_args(importlib.import_module("vllm.config.lora").MaxLoRARanks))
    return {
        "enable_lora": True,
        "max_loras": len(adapters) + on_cpu,
        "max_lora_rank": min((r for r in ranks if r >= rank), default=max(ranks)),
    }
