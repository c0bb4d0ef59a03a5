"""`thoughtgraph doctor`: does everything that a search needs work here."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..graph.errors import ModelError, ThoughtGraphError
from .codes import ExitCode
from .options import DEFAULTS, AsJson, Db, option
from .output import line, only_data
from .stores import database_place, opened

if TYPE_CHECKING:
    from ..agents.models.base import LanguageModel

NEEDED = ("langgraph", "langchain-core", "sqlalchemy", "alembic", "typer", "rich")
LOCAL = ("torch", "transformers", "safetensors")
"""What models in this process need: the extra `local`."""

PUZZLE = "4 5 6 10"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    ok: bool
    detail: str
    """What was found; if it is a problem, also what to do about it."""


def doctor(
    model: Annotated[str, option("--model", "-m", help="The model to try.")] = DEFAULTS.model,
    base_url: Annotated[str | None, option("--base-url", help="Where an openai: model is served.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> int:
    """Check the installation, the database and the model.

    Exit code 1 if something needs mending.
    """
    checks: list[Check] = []
    with only_data(as_json) as emit:
        for check in _checks(model, {"base_url": base_url} if base_url else {}, db):
            checks.append(check)
            if not as_json:
                print(
                    f"{'ok' if check.ok else 'problem':<8} {check.name:<9} {line(check.detail)}", flush=True
                )
        healthy = all(check.ok for check in checks)
        if as_json:
            emit({"ok": healthy, "checks": [asdict(check) for check in checks]})
    return ExitCode.OK if healthy else ExitCode.FAILED


def _checks(model: str, options: dict[str, Any], db: str | None) -> Iterator[Check]:
    local = model.startswith(("builtin:", "hf:"))
    yield _tried("python", _python)
    yield _tried("packages", lambda: _packages(NEEDED, "thoughtgraph"))
    if local:
        yield _tried("local", lambda: _packages(LOCAL, "thoughtgraph[local]"))
    yield _tried("postgres", _postgres)
    yield _tried("cpu", lambda: _cpu(local))
    yield _tried("database", lambda: _database(db))
    yield _tried("model", lambda: _model(model, options))
    if model.startswith("builtin:"):
        yield _tried("scorer", lambda: _scorer(model))


def _tried(name: str, work: Callable[[], str]) -> Check:
    """Run a check; what it raises is the problem."""
    try:
        return Check(name, True, work())
    except ThoughtGraphError as error:
        return Check(name, False, str(error))
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything, and the other checks still matter
        return Check(name, False, f"unexpected {type(error).__name__}: {error}")


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _packages(names: tuple[str, ...], extra: str) -> str:
    found: list[str] = []
    missing: list[str] = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise ThoughtGraphError(f"{', '.join(missing)} not installed; run: pip install '{extra}'")
    return ", ".join(found)


def _postgres() -> str:
    if find_spec("psycopg") is None:
        return "not installed, which is fine for SQLite; for PostgreSQL run: pip install 'thoughtgraph[postgres]'"
    return f"psycopg {version('psycopg')}"


def _cpu(local: bool) -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = f"{count} core{'' if count == 1 else 's'}"
    if not local or find_spec("torch") is None:
        return cores
    import torch

    device = f", GPU {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores}, {torch.get_num_threads()} torch threads{device}"


def _database(db: str | None) -> str:
    place, here = database_place(db)
    if not here:
        return _future_database(place)
    from sqlalchemy import text

    from ..storage.migrate import check

    with opened(db) as store:
        status = check(store.database.engine)
        with store.database.writing() as connection:
            connection.execute(text("update run set id = id where 1 = 0"))
    return f"{place}: opens, schema {status.revision} is current, can be written"


def _future_database(place: str) -> str:
    folder = Path(place).parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise ThoughtGraphError(
            f"{place} cannot be made, for {folder} cannot be written; name another one with --db"
        )
    return f"{place} is not there yet; the first run makes it"


def _model(spec: str, options: dict[str, Any]) -> str:
    from ..agents.models.registry import load_model
    from ..tasks.registry import load_task

    model = load_model(spec, **options)
    domain = load_task("numbers").domain
    prompt = domain.prompt(domain.parse(PUZZLE), ())
    text = asyncio.run(_generated(model, prompt, domain.stop, domain.step_tokens))
    return f"{model.name} loads and generates: {text!r}"


async def _generated(model: LanguageModel, prompt: str, stop: str, tokens: int) -> str:
    from ..agents.models.base import GenerationCall, Message, Sampling

    turns = (Message("user", f"Reach 24 with these numbers, one step: {prompt}"),)
    sampling = Sampling(max_tokens=tokens, temperature=0.0, stop=(stop,))
    reply = (await model.generate([GenerationCall(turns if model.chat else prompt, sampling)]))[0]
    if isinstance(reply, ModelError):
        raise reply
    return reply.samples[0].text


def _scorer(spec: str) -> str:
    from ..agents.models.base import Trace
    from ..agents.models.registry import load_scorer
    from ..tasks.registry import load_task

    scorer = load_scorer(spec)
    domain = load_task("numbers").domain
    trace = Trace(domain.prompt(domain.parse(PUZZLE), ()), ("10 - 4 = 6 (left: 5 6 6)",))
    reply = asyncio.run(scorer.score([trace]))[0]
    if isinstance(reply, ModelError):
        raise reply
    return f"{scorer.name} loads and scores: {reply[0]:.2f}"
