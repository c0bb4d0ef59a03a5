"""What models held in this process share: finding the weights, naming their version, and a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from ....graph.errors import ModelUnavailableError, UserError
from ..text import shorten

T = TypeVar("T")

_HASH_WHOLE = 100_000_000
"""Bytes of weights up to which all are hashed; above, file sizes and both ends of every file."""
_END = 1 << 20
_HASHED = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model")
_HASHED_EXCEPT = ("training_args.json", "trainer_state.json")


def require_torch(wanted_by: str) -> None:
    """Check that torch and transformers are installed.

    Raises:
        UserError: if not, naming what needs them and how to get them.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
        raise UserError(f"{wanted_by} needs torch and transformers; pip install 'thoughtgraph[local]'")


def weights_version(folder: Path) -> str:
    """Return 10 hex digits that change whenever the weights, the configuration or the tokenizer of a folder do."""
    files = sorted({path for pattern in _HASHED for path in folder.glob(pattern)} - _excepted(folder))
    whole = sum(path.stat().st_size for path in files) <= _HASH_WHOLE
    digest = hashlib.blake2b(digest_size=5)
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if whole or size <= 2 * _END:
                digest.update(file.read())
            else:
                digest.update(file.read(_END))
                file.seek(-_END, os.SEEK_END)
                digest.update(file.read())
    return digest.hexdigest()


def identity(
    kind: str,
    source: str,
    folder: Path | None,
    config: Any,
    dtype: Any,
    *,
    name: str | None = None,
    form: str = "",
) -> str:
    """Return the identity of a model in this process: `KIND:NAME@VERSION`, and what else decides the numbers it gives.

    Args:
        kind: as its specs begin.
        source: what was asked for.
        folder: where it lies; None for a model of the hub, whose version is the commit.
        config: its configuration.
        dtype: its torch data type, named unless it is float32.
        name: in place of kind and the folder's or the hub's name.
        form: further on the form of what it reads or gives, with a slash before it.
    """
    commit = (getattr(config, "_commit_hash", None) or "unknown")[:12]
    base = name or f"{kind}:{source if folder is None else folder.resolve().name}"
    precision = str(dtype).removeprefix("torch.")
    version = commit if folder is None else weights_version(folder)
    return f"{base}@{version}{form}" + ("" if precision == "float32" else f"/{precision}")


def _excepted(folder: Path) -> set[Path]:
    return {folder / name for name in _HASHED_EXCEPT}


def choose_device(device: str) -> str:
    """Return a device, or the one that `auto` stands for: CUDA, then Apple's MPS, then the CPU.

    Raises:
        UserError: if torch has none of this name here.
    """
    import torch

    if device != "auto":
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, ImportError) as error:
            told = shorten(str(error).partition("\n")[0] or type(error).__name__)
            raise UserError(f"there is no device {device!r} here ({told}); use auto or cpu") from error
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(dtype: str | None, device: str) -> Any:
    """Return the torch dtype of this name; by default float32 on a CPU, and the checkpoint's own elsewhere.

    Raises:
        UserError: if torch has no floating-point dtype of this name.
    """
    import torch

    if dtype is None:
        return torch.float32 if device == "cpu" else "auto"
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UserError(f"unknown dtype {dtype!r}; choose float32, bfloat16, float16 or float64")
    return found


def check_source(source: str, kind: str) -> Path | None:
    """Return the local folder that `source` names, or None if it is a name on the Hugging Face hub.

    Raises:
        UserError: if it is a path and there is no model.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{source!r} holds no {kind}: no config.json; give the folder save_pretrained wrote"
            )
        return path
    if not may_be_on_hub(source):
        raise UserError(
            f"no {kind} at {source!r}; give a folder, or the name of one on the hub as OWNER/NAME"
        )
    return None


def may_be_on_hub(source: str) -> bool:
    """Return whether a source that is no folder can be the name of a model on the Hugging Face hub."""
    path = Path(source).expanduser()
    local = path.exists() or path.is_absolute() or source.startswith((".", "~"))
    return not local and source.count("/") == 1


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep transformers' progress bars off the terminal while weights load."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_pretrained(auto_class: Any, source: str, *, device: str, dtype: Any, **options: Any) -> Any:
    """Return a transformers model in evaluation mode on `device`.

    Raises:
        ModelUnavailableError: if there are no weights, some are missing, or they cannot be read.
    """
    threads = os.environ.get("THOUGHTGRAPH_THREADS")
    if threads:
        import torch

        torch.set_num_threads(_positive("THOUGHTGRAPH_THREADS", threads))
    try:
        with _quiet():
            model, report = auto_class.from_pretrained(
                source, dtype=dtype, output_loading_info=True, **options
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelUnavailableError(_cannot_load(source, error)) from error
    if report["missing_keys"] or report.get("mismatched_keys"):
        missing = sorted(map(str, report["missing_keys"] or report["mismatched_keys"]))
        raise ModelUnavailableError(
            f"the weights at {source!r} lack {missing[0]!r} ({len(missing)} in all), so they would be random; "
            "point to a checkpoint of this kind"
        )
    return model.to(device).eval()


def load_tokenizer(source: str) -> Any:
    """Return the tokenizer that lies with a model.

    Raises:
        ModelUnavailableError: if it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return cast("Any", AutoTokenizer).from_pretrained(source)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelUnavailableError(_cannot_load(source, error)) from error


def _cannot_load(source: str, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    remedy = "check the name, and download it first when HF_HUB_OFFLINE is set"
    return f"cannot load the model {source!r}: {lines[0].rstrip('.')}; {remedy}"


def _positive(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"{name} is {value!r}; set it to a number of threads, 1 or more")
    return int(value)


class Worker:
    """One thread in which a model computes, so that the event loop stays free and invocations never overlap."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"thoughtgraph-{name}")

    async def run(self, compute: Callable[[threading.Event], T]) -> T:
        """Return what `compute` returns; it is handed an event that is set once nobody waits for it any more."""
        cancelled = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(self._executor, compute, cancelled)
        try:
            return await future
        except asyncio.CancelledError:
            cancelled.set()
            raise
