"""Model specs: one string that names a model, on the command line, in settings and in a run's record.

    builtin:numbers            the shipped model                  hf:PATH_OR_NAME            transformers in this process
    openai:NAME                any OpenAI-compatible server       langchain:provider:NAME    any LangChain chat model
    scripted:FILE              outputs read from a file           replay:RUN                 answers of a recorded run

Nothing heavy is imported before a spec needs it. A model is loaded once a process: equal specs and options give the
same object, so that all searches share its batches.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

from ...graph.errors import UnknownNameError, UserError
from .base import LanguageModel, ScoringModel

MODEL_PREFIXES = ("builtin", "hf", "langchain", "openai", "replay", "scripted", "vllm")
SCORER_PREFIXES = ("builtin", "hf")

_VLLM = (
    "vLLM does not run inside this process in this release; start `vllm serve {name}` and use "
    "openai:{name} with --base-url http://HOST:8000/v1"
)

_loaded: dict[tuple[str, str, str], Any] = {}
_lock = threading.Lock()


def load_model(
    spec: str, *, replay: Callable[[str], LanguageModel] | None = None, **options: Any
) -> LanguageModel:
    """Return the language model that a spec names.

    Args:
        spec: such as `builtin:numbers` or `openai:gpt-5-mini`.
        replay: gives the model of a `replay:RUN` spec, whose record only a store can read; called with RUN each time.
        options: keyword arguments of the model's class, such as `base_url` or `device`.

    Raises:
        UnknownNameError: if the prefix, or the name of a built-in model, is not known.
        UserError: if the spec has no prefix, an option does not fit, or something must be installed first.
        ModelUnavailableError: if the weights cannot be loaded.
    """
    prefix, name = split_spec(spec, MODEL_PREFIXES)
    if prefix == "vllm":
        raise UserError(_VLLM.format(name=name))
    if prefix == "replay":
        if replay is None:
            raise UserError(
                f"{spec!r} needs the store that recorded the run; use it where a search is started, with --db or db="
            )
        return replay(name)
    return _load("model", spec, lambda: _model_class(prefix), name, options)


def load_scorer(spec: str, **options: Any) -> ScoringModel:
    """Return the scoring model that a spec names: `builtin:numbers` or `hf:PATH_OR_NAME`.

    Raises:
        UnknownNameError: if the prefix, or the name of a built-in model, is not known.
        UserError: if the spec has no prefix, an option does not fit, or something must be installed first.
        ModelUnavailableError: if the weights cannot be loaded.
    """
    prefix, name = split_spec(spec, SCORER_PREFIXES)
    return _load("scorer", spec, lambda: _scorer_class(prefix), name, options)


def split_spec(spec: str, prefixes: tuple[str, ...] = MODEL_PREFIXES) -> tuple[str, str]:
    """Return prefix and name of a spec.

    Raises:
        UnknownNameError: if the prefix is not one of `prefixes`.
        UserError: if there is no prefix, or nothing after it.
    """
    prefix, colon, name = spec.partition(":")
    if not colon or not name:
        raise UserError(f"{spec!r} is not a model; write {', '.join(f'{p}:NAME' for p in prefixes)}")
    if prefix not in prefixes:
        raise UnknownNameError("model kind", prefix, prefixes)
    return prefix, name


def _load(role: str, spec: str, find: Callable[[], Any], name: str, options: dict[str, Any]) -> Any:
    key = (role, spec, repr(sorted(options.items())))
    with _lock:
        if key not in _loaded:
            make = find()
            _check_options(spec, make, options)
            _loaded[key] = make(name, **options)
        return _loaded[key]


def _check_options(spec: str, make: Any, options: dict[str, Any]) -> None:
    parameters = inspect.signature(make).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {spec.partition(':')[0]} models", option, known)


def _model_class(prefix: str) -> Any:
    if prefix == "builtin":
        from .builtin import load_builtin_model

        return load_builtin_model
    if prefix == "hf":
        from .hf import HFModel

        return HFModel
    if prefix == "openai":
        from .openai import OpenAIModel

        return OpenAIModel
    if prefix == "langchain":
        from .langchain import load_langchain

        return load_langchain
    from .scripted import ScriptedModel

    return ScriptedModel.from_file


def _scorer_class(prefix: str) -> Any:
    if prefix == "builtin":
        from .builtin import load_builtin_scorer

        return load_builtin_scorer
    from .step_scorer import HFStepScorer

    return HFStepScorer
