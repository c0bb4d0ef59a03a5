"""`thoughtgraph run` and `resume`: many problems at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..graph.errors import UnknownNameError, UserError
from .driving import Place, drive, report
from .options import (
    DEFAULTS,
    AsJson,
    Db,
    Parallel,
    Quiet,
    SearchOptions,
    Workers,
    option,
    read_params,
    with_search_options,
)
from .output import only_data
from .progress import Bar, choose
from .stores import opened

if TYPE_CHECKING:
    from ..storage.store import SqlStore
    from ..tasks.base import Item

FILE = "file:"
"""What may stand before a path, and must before `hf:`, which reads a Hugging Face dataset."""

Column = Annotated[
    list[str] | None,
    option(
        "--column",
        metavar="NAME=COLUMN",
        help="What a column of a file is called, such as question=problem; repeatable.",
    ),
]


@with_search_options
def run(
    search: SearchOptions,
    target: Annotated[
        str,
        typer.Argument(
            help="A task with problems of its own (game24, gsm8k, text2sql, …), a file, file:PATH or file:hf:DATASET.",
            show_default=False,
        ),
    ],
    split: Annotated[str, option("--split", help="Which problems of the task.")] = "test",
    limit: Annotated[
        int | None, option("--limit", help="The first so many only.", min=1, show_default="all")
    ] = None,
    task: Annotated[str, option("--task", "-t", help="Whose questions a file holds.")] = DEFAULTS.task,
    column: Column = None,
    parallel: Parallel = 8,
    workers: Workers = 1,
) -> int:
    """Search many problems at once: a task's, or a file's.

    The file is JSONL: an object a line, with `question`, and optionally `answer` (the reference) and `id`. A JSON array, CSV, Parquet and a Hugging Face
    dataset (file:hf:OWNER/NAME) are read alike; --column says what the columns are called there.

    Ctrl-C stops it: requests under way get up to 10 s, a second Ctrl-C ends them at once, here and on the server; `resume` goes on.
    """
    from ..api import configure
    from ..tasks.registry import TASKS
    from ..tasks.runs import new_run_id, start

    with only_data(search.as_json) as emit:
        name = target if target in TASKS else task
        settings, _ = configure(search.chosen(name))
        settings = replace(settings, split=split)
        items = problems(target, name, split, limit, settings.data, column)
        with opened(search.db) as store:
            place = Place(store, new_run_id(), search.db)
            bar = choose(lambda: Bar(len(items), 0, 0, 0), hidden=search.quiet or search.as_json)
            summary, interrupted = drive(
                place,
                lambda watch: start(
                    store, settings, items, run=place.run, parallel=parallel, watch=watch, workers=workers
                ),
                bar,
            )
            return report(place, summary, interrupted, emit if search.as_json else None)


def resume(
    run: Annotated[str, typer.Argument(help="Id of the run, or the beginning of it.", show_default=False)],
    retry_failed: Annotated[
        bool, option("--retry-failed", help="Search those problems again that failed.")
    ] = False,
    parallel: Parallel = 8,
    workers: Workers = 1,
    db: Db = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Go on with an interrupted run, with its own settings."""
    from ..storage.read import resolve_run
    from ..tasks.runs import resume as go_on

    with only_data(as_json) as emit, opened(db, existing=True) as store:
        place = Place(store, resolve_run(store.database, run), db)
        bar = choose(partial(_resumed_bar, store, place.run), hidden=quiet or as_json)
        summary, interrupted = drive(
            place,
            lambda watch: go_on(
                store,
                place.run,
                parallel=parallel,
                watch=watch,
                retry_failed=retry_failed,
                workers=workers,
            ),
            bar,
        )
        return report(place, summary, interrupted, emit if as_json else None)


def problems(
    target: str,
    task: str,
    split: str,
    limit: int | None,
    data: str = "",
    column: Sequence[str] | None = None,
) -> Sequence[Item]:
    """Return the problems of a task's split or of a file.

    Args:
        target: name of a task; a path; `file:PATH`; or `file:hf:DATASET`.
        task: whose questions a file holds.
        split: which problems of a task or a dataset.
        limit: the first so many only.
        data: where the task's own data are, see `tasks.sources.public`.
        column: pairs `question=problem`: what a column is called here, and in the file.

    Raises:
        UserError: if there is no such task, file or split, or the file has bad lines.
    """
    from ..tasks.jsonl import read_source
    from ..tasks.registry import TASKS, load_task

    columns = read_params(column or (), "--column question=problem")
    if target in TASKS:
        if columns:
            raise UserError(
                f"--column is for files; give {target}'s as one: thoughtgraph run file:PATH --task {target}"
            )
        return list(load_task(target, data).load(split, limit))
    source = target.removeprefix(FILE)
    if not source.startswith("hf:") and not Path(source).expanduser().exists():
        if target != source or "/" in target or target.endswith((".jsonl", ".json", ".csv", ".parquet")):
            raise UserError(f"there is no file {source!r}; give a JSONL file of problems, or a task's name")
        raise UnknownNameError("task or file", target, TASKS)
    return list(islice(read_source(source, load_task(task, data), split, columns), limit))


def _resumed_bar(store: SqlStore, run: str) -> Bar:
    from ..storage.read import list_units

    units = list_units(store.database, run)
    results = [unit.result for unit in units if unit.result is not None]
    return Bar(
        total=len(units),
        done=len(results),
        solved=sum(1 for unit in units if unit.correct),
        failed=sum(1 for result in results if result.status == "failed"),
    )
