"""Model specs: one string that names a model, on the command line, in settings and in a run's record.

    builtin:numbers            the shipped model                  hf:PATH_OR_NAME            transformers in this process
    openai:NAME                any OpenAI-compatible server       langchain:provider:NAME    any LangChain chat model
    scripted:FILE              outputs read from a file           replay:RUN                 answers of a recorded run
    vllm:PATH_OR_NAME          vLLM in this process

Options of a model's class may follow its name, as in a URL: `openai:Qwen/Qwen3-8B?base_url=http://localhost:8000/v1&completions=true`. A text is read
as the parameter's type wants it, see `options`; several servers are `base_url` several times, a price is `price=3,15`.

Nothing heavy is imported before a spec needs it. A model is loaded once a process: equal specs and options give the
same object, so that all searches share its batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from ...graph.errors import UnknownNameError, UserError
from .base import LanguageModel, ScoringModel
from .options import Options

MODEL_PREFIXES = ("builtin", "hf", "langchain", "openai", "replay", "scripted", "vllm")
SCORER_PREFIXES = ("builtin", "hf", "pooling")
SERVED_PREFIXES = ("langchain", "openai", "pooling")
"""Models of these answer at a URL, and not in this process."""

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
    prefix, name, pairs = _read(spec, MODEL_PREFIXES, options)
    if prefix == "replay":
        if replay is None:
            raise UserError(
                f"{spec!r} needs the store that recorded the run; use it where a search is started, with --db or db="
            )
        if named := [*(option for option, _ in pairs), *options]:
            raise UserError(f"replay: models have no options; leave {named[0]} out of {spec!r}")
        return replay(name)
    return _load("model", spec, lambda: _model_class(prefix), name, pairs, options)


def load_scorer(spec: str, **options: Any) -> ScoringModel:
    """Return the scoring model that a spec names.

    That is `builtin:numbers`, `hf:PATH_OR_NAME?format=…`, or one on a vLLM pooling server,
    `pooling:NAME?base_url=http://HOST:8000&tokenizer=PATH_OR_NAME&format=…`; see `scoring.formats`.

    Raises:
        UnknownNameError: if the prefix, or the name of a built-in model, is not known.
        UserError: if the spec has no prefix, an option does not fit, or something must be installed first.
        ModelUnavailableError: if the weights cannot be loaded.
    """
    prefix, name, pairs = _read(spec, SCORER_PREFIXES, options)
    return _load("scorer", spec, lambda: _scorer_class(prefix), name, pairs, options)


def _read(
    spec: str, prefixes: tuple[str, ...], given: Mapping[str, Any]
) -> tuple[str, str, list[tuple[str, str]]]:
    """Return prefix, name, and the options written in a spec, none of which may be given beside it too."""
    prefix, colon, rest = spec.partition(":")
    name, _, query = rest.partition("?")
    if not colon or not name:
        raise UserError(f"{spec!r} is not a model; write {', '.join(f'{p}:NAME' for p in prefixes)}")
    if prefix not in prefixes:
        raise UnknownNameError("model kind", prefix, prefixes)
    if "base_url" in given and prefix not in SERVED_PREFIXES:
        raise UserError(
            f"--base-url (base_url) says where an openai: model is served, and {spec} is none; leave it out"
        )
    pairs = _read_query(spec, query)
    for option in given:
        if any(option == written for written, _ in pairs):
            raise UserError(f"{option} is given twice, in {spec!r} and beside it; give it once")
    return prefix, name, pairs


def _read_query(spec: str, query: str) -> list[tuple[str, str]]:
    """Return names and texts of the options in a spec. They are quoted as in a URL, but a plus sign is one: it is no rare part of a path."""
    pairs: list[tuple[str, str]] = []
    for pair in query.split("&") if query else ():
        option, equals, text = pair.partition("=")
        if not (option and equals):
            raise UserError(f"cannot read the options of {spec!r}; write them as ?NAME=VALUE&NAME=VALUE")
        pairs.append((unquote(option), unquote(text)))
    return pairs


def _load(
    role: str,
    spec: str,
    find: Callable[[], Any],
    name: str,
    pairs: Sequence[tuple[str, str]],
    given: Mapping[str, Any],
) -> Any:
    spec = spec.partition("?")[0]
    with _lock:
        make = find()
        known = Options.of(spec.partition(":")[0], make)
        known.check(given)
        options = {**known.read(pairs), **given}
        key = (role, spec, repr(sorted(options.items())))
        if key not in _loaded:
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
