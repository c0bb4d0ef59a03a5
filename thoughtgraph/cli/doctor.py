"""`thoughtgraph doctor MODEL`: does everything that a search needs work here, and what can this model not do."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..graph.errors import ThoughtGraphError
from .codes import ExitCode
from .options import DEFAULTS, AsJson, Db, option
from .output import line, only_data
from .stores import database_place, opened

if TYPE_CHECKING:
    from ..agents.models.probing import Finding

NEEDED = ("langgraph", "langchain-core", "sqlalchemy", "alembic", "typer", "rich")
LOCAL = ("torch", "transformers", "safetensors")
"""What models in this process need: the extra `local`."""


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="The model to try, such as openai:NAME?base_url=http://localhost:8000/v1; by default what --model says.",
        ),
    ] = None,
    named: Annotated[str, option("--model", "-m", help="The model to try.")] = DEFAULTS.model,
    base_url: Annotated[
        list[str] | None,
        option(
            "--base-url",
            help="Where an openai: model is served; repeatable, for replicas. In the environment, spaces between.",
        ),
    ] = None,
    scorer: Annotated[
        str,
        option(
            "--scorer",
            help="A scoring model to try too: hf:PATH?format=…, pooling:NAME?base_url=…; auto: the shipped one for the shipped model.",
        ),
    ] = DEFAULTS.scorer,
    db: Db = None,
    as_json: AsJson = False,
) -> int:
    """Check the installation, the database, and what a model can do.

    The model gets about 35 short calls. On a paid endpoint that is about a thousand generated tokens at most, usually a few hundred.

    A note says what will not work, or not as well, with this model; a problem, that it cannot be used.

    Exit code 1 if there is a problem.
    """
    spec = model or named
    with only_data(as_json) as emit:
        findings = _found(spec, base_url or [], _scoring(scorer, spec), db, shown=not as_json)
        healthy = all(finding.status != "problem" for finding in findings)
        if as_json:
            emit({"ok": healthy, "checks": [asdict(finding) for finding in findings]})
    return ExitCode.OK if healthy else ExitCode.FAILED


def _found(spec: str, urls: list[str], scorer: str | None, db: str | None, *, shown: bool) -> list[Finding]:
    """Return what all checks find; where it is to be shown, each as soon as it is found."""
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        if shown:
            print(f"{finding.status:<8} {finding.name:<13} {line(finding.detail)}", flush=True)

    for finding in _installation(spec.startswith(("builtin:", "hf:")), db):
        note(finding)
    asyncio.run(_examined(spec, urls, scorer, note))
    return findings


def _scoring(scorer: str, model: str) -> str | None:
    """Return the scoring model to be tried; None where a search with these options has none of its own."""
    from ..tasks.needs import JUDGES, check_scorer

    check_scorer(scorer)
    if scorer == "auto":
        return model if model.startswith("builtin:") else None
    return None if scorer in ("none", *JUDGES) else scorer


async def _examined(spec: str, urls: list[str], scorer: str | None, show: Callable[[Finding], None]) -> None:
    """Show what the checks of the models find; each is closed before the next one is loaded."""
    from ..agents.models.probing import probe, probe_scorer
    from ..agents.models.registry import load_model, load_scorer

    if len(urls) > 1:  # what one replica says is not what another one does
        for url in urls:
            await _checked("replica", partial(load_model, spec, base_url=url), partial(_replica, url), show)
    options: dict[str, Any] = {"base_url": urls[0] if len(urls) == 1 else tuple(urls)} if urls else {}
    await _checked("model", partial(load_model, spec, **options), probe, show)
    if scorer is not None:
        await _checked("scorer", partial(load_scorer, scorer), probe_scorer, show)


async def _checked(
    name: str,
    load: Callable[[], Any],
    checks: Callable[[Any], AsyncIterator[Finding]],
    show: Callable[[Finding], None],
) -> None:
    """Load a model and show what its checks find; what is raised on the way is a problem of this name."""
    model: Any = None
    try:
        model = load()
        async for finding in checks(model):
            show(finding)
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything, and the other checks still matter
        show(_problem(name, error))
    finally:
        if close := getattr(model, "aclose", None):
            await close()


async def _replica(url: str, model: Any) -> AsyncIterator[Finding]:
    from ..agents.models.probing import Finding, reach

    found = await reach(model)
    yield Finding("replica", found.status, f"{url}: {found.detail}")


def _installation(local: bool, db: str | None) -> Iterator[Finding]:
    yield _tried("python", _python)
    yield _tried("packages", lambda: _packages(NEEDED, "thoughtgraph"))
    if local:
        yield _tried("local", lambda: _packages(LOCAL, "thoughtgraph[local]"))
    yield _tried("postgres", _postgres)
    yield _sandbox()
    yield _tried("cpu", lambda: _cpu(local))
    yield _tried("database", lambda: _database(db))


def _sandbox() -> Finding:
    """Return what would hold a program that a model wrote; without it everything else works."""
    from ..agents.models.probing import Finding
    from ..tools.sandbox.boundary import probe

    found = probe()
    if found.works:
        return Finding("sandbox", "ok", found.describe())
    return Finding(
        "sandbox", "note", f"programs that models write cannot be run in a process here: {found.why}"
    )


def _tried(name: str, work: Callable[[], str]) -> Finding:
    """Run a check; what it raises is the problem."""
    from ..agents.models.probing import Finding

    try:
        return Finding(name, "ok", work())
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything, and the other checks still matter
        return _problem(name, error)


def _problem(name: str, error: Exception) -> Finding:
    from ..agents.models.probing import Finding

    expected = isinstance(error, ThoughtGraphError)
    return Finding(name, "problem", str(error) if expected else f"unexpected {type(error).__name__}: {error}")


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
