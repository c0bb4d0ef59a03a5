"""Model specs: one string that names a model, on the command line, in settings and in a run's record.

    builtin:numbers            the shipped model                  hf:PATH_OR_NAME            transformers in this process
    openai:NAME                any OpenAI-compatible server       langchain:provider:NAME    any LangChain chat model
    scripted:FILE              outputs read from a file           replay:RUN                 answers of a recorded run
    vllm:PATH_OR_NAME          vLLM in this process

Options of a model's class may follow its name, as in a URL: `openai:Qwen/Qwen3-8B?base_url=http://localhost:8000/v1&completions=true`; one
that is given several times is a tuple of its values.

Nothing heavy is imported before a spec needs it. A model is loaded once a process: equal specs and options give the
same object, so that all searches share its batches.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from ...graph.errors import UnknownNameError, UserError
from .base import LanguageModel, ScoringModel

MODEL_PREFIXES = ("builtin", "hf", "langchain", "openai", "replay", "scripted", "vllm")
SCORER_PREFIXES = ("builtin", "hf", "pooling")

_loaded: dict[tuple[str, str, str], Any] = {}
_lock = threading.Lock()
_sharers = 1


def share_limits(processes: int) -> None:
    """Divide the `max_concurrency` that specs give by the number of processes (≥ 1) that ask the same models, this one among them."""
    global _sharers
    _sharers = processes


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
    prefix, name, options = _read(spec, MODEL_PREFIXES, options)
    if prefix == "replay":
        if replay is None:
            raise UserError(
                f"{spec!r} needs the store that recorded the run; use it where a search is started, with --db or db="
            )
        return replay(name)
    return _load("model", spec, lambda: _model_class(prefix), name, options)


def load_scorer(spec: str, **options: Any) -> ScoringModel:
    """Return the scoring model that a spec names.

    That is `builtin:numbers`, `hf:PATH_OR_NAME?format=…`, or one on a vLLM pooling server,
    `pooling:NAME?base_url=http://HOST:8000&tokenizer=PATH_OR_NAME&format=…`; see `scoring.formats`.

    Raises:
        UnknownNameError: if the prefix, or the name of a built-in model, is not known.
        UserError: if the spec has no prefix, an option does not fit, or something must be installed first.
        ModelUnavailableError: if the weights cannot be loaded.
    """
    prefix, name, options = _read(spec, SCORER_PREFIXES, options)
    return _load("scorer", spec, lambda: _scorer_class(prefix), name, options)


def _read(spec: str, prefixes: tuple[str, ...], given: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return prefix, name and all options: those of the spec and those given beside it."""
    prefix, colon, rest = spec.partition(":")
    name, _, query = rest.partition("?")
    if not colon or not name:
        raise UserError(f"{spec!r} is not a model; write {', '.join(f'{p}:NAME' for p in prefixes)}")
    if prefix not in prefixes:
        raise UnknownNameError("model kind", prefix, prefixes)
    options = _read_query(spec, query)
    for option in options.keys() & given.keys():
        raise UserError(f"{option} is given twice, in {spec!r} and beside it; give it once")
    return prefix, name, {**options, **given}


def _read_query(spec: str, query: str) -> dict[str, Any]:
    try:
        pairs = parse_qs(query, keep_blank_values=True, strict_parsing=True) if query else {}
    except ValueError:
        raise UserError(
            f"cannot read the options of {spec!r}; write them as ?NAME=VALUE&NAME=VALUE"
        ) from None
    return {
        option: _value(texts[0]) if len(texts) == 1 else tuple(map(_value, texts))
        for option, texts in pairs.items()
    }


def _value(text: str) -> Any:
    """Return what a text in a spec means: a truth value, a number, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _load(role: str, spec: str, find: Callable[[], Any], name: str, options: dict[str, Any]) -> Any:
    spec = spec.partition("?")[0]
    key = (role, spec, repr(sorted(options.items())))
    with _lock:
        if key not in _loaded:
            make = find()
            _check_options(spec, make, options)
            _loaded[key] = make(name, **_shared(spec, options))
        return _loaded[key]


def _shared(spec: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with this process's part of the requests at the same time."""
    whole = options.get("max_concurrency")
    if _sharers == 1 or not isinstance(whole, int):
        return options
    if whole < _sharers:
        raise UserError(
            f"max_concurrency={whole} of {spec} cannot be divided over {_sharers} workers; use fewer workers"
        )
    return {**options, "max_concurrency": whole // _sharers}


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
        from .inprocess.hf import HFModel

        return HFModel
    if prefix == "openai":
        from .remote.openai import OpenAIModel

        return OpenAIModel
    if prefix == "vllm":
        from .inprocess.vllm import VLLMModel

        return VLLMModel
    if prefix == "langchain":
        from .langchain import load_langchain

        return load_langchain
    from .scripted import ScriptedModel

    return ScriptedModel.from_file


def _scorer_class(prefix: str) -> Any:
    if prefix == "builtin":
        from .builtin import load_builtin_scorer

        return load_builtin_scorer
    if prefix == "pooling":
        from .scoring.pooling import PoolingScorer

        return PoolingScorer
    from .scoring.step_scorer import HFStepScorer

    return HFStepScorer
