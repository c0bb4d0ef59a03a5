"""The models that ship with this package: small ones, trained on the numbers game, that need no download and no GPU."""

from __future__ import annotations

import os
from pathlib import Path

from ...graph.errors import UnknownNameError, UserError
from .inprocess.hf import HFModel
from .inprocess.loading import require_torch
from .scoring.step_scorer import HFStepScorer

BUILTIN = ("numbers",)
"""Names after `builtin:`."""
_FOLDER = Path(__file__).resolve().parent.parent / "builtin"


def load_builtin_model(name: str, *, device: str = "cpu", batch: int = 64) -> HFModel:
    """Return a shipped policy; it continues raw text in the step format of its task.

    Raises:
        UnknownNameError: if none is called this.
        UserError: if torch or transformers is not installed.
    """
    return HFModel(_folder(name, "policy"), device=device, chat=False, batch=batch, name=f"builtin:{name}")


def load_builtin_scorer(name: str, *, device: str = "cpu", batch: int = 64) -> HFStepScorer:
    """Return a shipped step scorer.

    Raises:
        UnknownNameError: if none is called this.
        UserError: if torch or transformers is not installed.
    """
    return HFStepScorer(_folder(name, "scorer"), device=device, batch=batch, name=f"builtin:{name}:scorer")


def _one_thread() -> None:
    """Have torch compute with one thread, unless THOUGHTGRAPH_THREADS says otherwise.

    More gain nothing with models this small, and cost most of the speed where other work wants the cores. It holds for the whole process.
    """
    if not os.environ.get("THOUGHTGRAPH_THREADS"):
        import torch

        torch.set_num_threads(1)


def _folder(name: str, kind: str) -> Path:
    if name not in BUILTIN:
        raise UnknownNameError("built-in model", name, BUILTIN)
    require_torch(f"builtin:{name}")
    folder = _FOLDER / name / kind
    _one_thread()
    if not (folder / "config.json").is_file():
        raise UserError(f"the {kind} of builtin:{name} is not in this installation; reinstall thoughtgraph")
    return folder
