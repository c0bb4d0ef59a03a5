"""`thoughtgraph compare`: schemes at equal budgets over the same problems."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .. import __version__
from ..graph.errors import UserError
from .codes import ExitCode
from .compare_progress import CellBar, CellBoard
from .driving import Place, drive
from .options import (
    DEFAULTS,
    Parallel,
    SearchOptions,
    option,
    read_budget,
    read_params,
    with_search_options,
)
from .output import columns, interactive, only_data, remedy, tell
from .run import problems
from .stores import opened

if TYPE_CHECKING:
    from ..storage.store import SqlStore
    from ..tasks.comparison.budgets import Budgets
    from ..tasks.comparison.cells import Plan
    from ..tasks.comparison.entries import Entry
    from ..tasks.comparison.report import Comparison
    from ..tasks.runs import Summary, Watch

PLOT, REPORT, RECORD = "plot.png", "report.md", "comparison.json"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, beside the options of every search."""

    target: str
    task: str
    split: str
    limit: int | None
    schemes: str
    budget: list[str] | None
    seeds: int
    params: Path | None
    param: list[str] | None
    out: Path | None
    plot: bool | None
    """None: where it can be drawn."""
    learn: Path | None
    probe: int
    bins: int
    retry_failed: bool
    reuse: bool
    parallel: int
    command: str


@dataclass(frozen=True, slots=True)
class ComparisonPlace(Place):
    """A comparison and where it is recorded; `run` is its first cell."""

    command: str

    @property
    def resume(self) -> str:
        """The command that goes on with it: the same one."""
        return self.command


# a comparison has several schemes, parameters of each, and several budgets
@partial(with_search_options, without=("scheme", "param", "budget"))
def compare(
    search: SearchOptions,
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="A task with problems of its own (game24, countdown), or a JSONL file.", show_default=False
        ),
    ],
    schemes: Annotated[
        str,
        option(
            "--schemes",
            metavar="NAME,…",
            help="What to compare: schemes, YAML files that compose one, or labels of the file of parameters.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        list[str] | None,
        option(
            "--budget",
            "-b",
            metavar="LIMIT=NUMBER,NUMBER,…",
            help="A problem's limits, as for `run`; one of them may have several values: tokens=500,1000,2000.",
            show_default=f"tokens={DEFAULTS.budget.tokens}",
        ),
    ] = None,
    split: Annotated[str, option("--split", help="Which problems of the task.")] = "test",
    limit: Annotated[
        int | None, option("--limit", help="The first so many only.", min=1, show_default="all")
    ] = None,
    task: Annotated[str, option("--task", "-t", help="Whose questions a file holds.")] = DEFAULTS.task,
    seeds: Annotated[int, option("--seeds", help="Searches of each problem, from --seed on.", min=1)] = 1,
    params: Annotated[
        Path | None,
        option(
            "--params",
            metavar="FILE",
            help="Parameters by scheme, YAML or JSON: {beam: {width: 8, budgets: {500: {width: 4}}}, "
            "label: {scheme: beam, params: {…}}}.",
            show_default="none",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        option("--param", "-p", metavar="SCHEME.NAME=VALUE", help="A parameter of one scheme; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out", metavar="FOLDER", help="Where the results are written.", show_default="comparison-ID"
        ),
    ] = None,
    plot: Annotated[
        bool | None,
        option(
            "--plot/--no-plot",
            help="Draw a picture too; needs matplotlib.",
            show_default="plot, where matplotlib is installed",
        ),
    ] = None,
    learn: Annotated[
        Path | None,
        option(
            "--learn",
            metavar="FILE",
            help="Learn which scheme to use for which difficulty, for compute_optimal.",
            show_default="none",
        ),
    ] = None,
    probe: Annotated[int, option("--probe", help="Samples that tell a problem's difficulty.", min=1)] = 4,
    bins: Annotated[int, option("--bins", help="Bins of difficulty.", min=1)] = 3,
    retry_failed: Annotated[
        bool, option("--retry-failed", help="Search those problems again that failed.")
    ] = False,
    reuse: Annotated[
        bool,
        option(
            "--reuse",
            help="Answer a model call that an earlier search of the comparison made from memory: less time at the same costs, "
            "and the same results if the model draws by the seed, as local ones do.",
        ),
    ] = False,
    parallel: Parallel = 8,
) -> int:
    """Compare schemes at equal budgets over the same problems.

    Majority vote and the verifier-weighted vote are always among them. The same command again goes on where it stopped.
    """
    asked = Asked(
        target, task, split, limit, schemes, budget, seeds, params, param, out, plot,
        learn, probe, bins, retry_failed, reuse, parallel, command_line(context),
    )  # fmt: skip
    with only_data(search.as_json) as emit:
        return _compare(search, asked, emit if search.as_json else None)


def _compare(search: SearchOptions, asked: Asked, emit: Callable[[Any], None] | None) -> int:
    from ..api import configure
    from ..tasks.comparison.cells import REUSED, check_gradable, plan
    from ..tasks.comparison.code import code_version
    from ..tasks.comparison.plot import INSTALL, can_draw, require_matplotlib
    from ..tasks.comparison.policy import check_learnable
    from ..tasks.registry import TASKS, task_of

    name = asked.target if asked.target in TASKS else asked.task
    settings, _ = configure(search.chosen(name))
    settings = replace(settings, split=asked.split)
    budgets = read_budgets(asked.budget or [f"tokens={DEFAULTS.budget.tokens}"])
    if asked.learn and budgets.limit != "tokens":
        raise UserError(
            f"compute_optimal goes by tokens, not {budgets.limit}; give --learn with a budget of tokens"
        )
    entries = _entries(asked, budgets)
    items = problems(asked.target, name, asked.split, asked.limit, settings.data)
    check_gradable(task_of(settings), items)
    if asked.plot:
        require_matplotlib()
    undrawn = asked.plot is None and not can_draw()
    asked = replace(asked, plot=asked.plot is not False and not undrawn)
    seeds = range(search.seed, search.seed + asked.seeds)
    code = code_version(__version__, Path(__file__).resolve().parent.parent)
    with opened(search.db) as store:
        planned = plan(store, settings, items, entries, budgets, seeds, code)
        if asked.reuse:
            planned = replace(planned, notes=(*planned.notes, REUSED))
        if asked.learn:
            check_learnable(planned)
        folder = _folder(asked.out or Path(f"comparison-{planned.id[:8]}"), "--out")
        if asked.learn:
            _check_file(asked.learn, "--learn")
        place = ComparisonPlace(store, planned.cells[0].run, search.db, asked.command)
        drawn = interactive() and not (search.quiet or search.as_json)
        board = CellBar(planned, _done(store, planned)) if drawn else CellBoard()
        _, interrupted = drive(place, partial(_searched, store, planned, asked, board), board)
        if interrupted:
            return ExitCode.INTERRUPTED
        found, unlearned = _found(store, planned, asked, name)
    written = write(found, folder, asked)
    if undrawn:
        tell(f"no picture was drawn: {INSTALL}")
    if emit is not None:
        emit(found.as_json())
    else:
        show(found, written)
    if unlearned is not None:
        raise unlearned
    return _ending(found, place)


def read_budgets(parts: Iterable[str]) -> Budgets:
    """Return the budgets of `tokens=500,1000,2000,seconds=60`; numbers may end in k or M.

    Raises:
        UserError: on a limit without a name or a number, one given twice, or several values of more than one limit.
    """
    from ..tasks.comparison.budgets import Budgets

    limits: dict[str, list[float]] = {}
    name = ""
    for piece in (piece.strip() for text in parts for piece in text.split(",")):
        before, equals, text = piece.partition("=")
        if equals:
            name = before.strip()
            if name in limits:
                raise UserError(f"the budget of {name} is given twice; give it once")
        elif not name:
            raise UserError(
                f"cannot read the budget {piece!r}; write LIMIT=NUMBER,NUMBER, such as tokens=200,400"
            )
        [(read_name, value)] = read_budget([f"{name}={text}" if equals else f"{name}={piece}"]).items()
        limits.setdefault(read_name, []).append(value)
    return Budgets.of(limits)


def command_line(context: typer.Context) -> str:
    """Return the command with all that was given, by options or by the environment, the database left out where the environment names it."""
    words = ["thoughtgraph", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name.startswith("DEFAULT") or parameter.expose_value is False:
            continue
        value = context.params[name]
        if name == "db" and value == os.environ.get("THOUGHTGRAPH_DB"):
            continue
        flag = next((o for o in parameter.opts if o.startswith("--")), None)
        if isinstance(value, bool):
            words.append(str(flag) if value else next(iter(parameter.secondary_opts), str(flag)))
            continue
        several = cast("Sequence[Any]", value if isinstance(value, list | tuple) else [value])
        for one in several:
            words += [str(one)] if flag is None else [flag, str(one)]
    return shlex.join(words)


def _entries(asked: Asked, budgets: Budgets) -> list[Entry]:
    from ..tasks.comparison.entries import read_entries, read_file

    labels = [label.strip() for label in asked.schemes.split(",")]
    if not all(labels):
        raise UserError(f"cannot read the schemes {asked.schemes!r}; write NAME,NAME")
    over: dict[str, dict[str, str]] = {}
    for place, value in read_params(asked.param or ()).items():
        label, dot, name = place.rpartition(".")
        if not (dot and label and name):
            raise UserError(
                f"cannot read the parameter {place!r}; write SCHEME.NAME=VALUE, such as beam.width=5"
            )
        over.setdefault(label, {})[name] = value
    return read_entries(labels, budgets, read_file(asked.params) if asked.params else None, over)


def _searched(
    store: SqlStore, planned: Plan, asked: Asked, board: CellBoard, watch: Watch
) -> Awaitable[Summary]:
    from ..tasks.comparison.cells import search

    return search(
        store,
        planned,
        watch,
        parallel=asked.parallel,
        retry_failed=asked.retry_failed,
        reuse=asked.reuse,
        on_cell=board.cell,
    )


def _done(store: SqlStore, planned: Plan) -> int:
    """Return how many searches of a comparison have ended."""
    from ..storage.read import list_units

    return sum(
        unit.result is not None for cell in planned.cells for unit in list_units(store.database, cell.run)
    )


def _found(store: SqlStore, planned: Plan, asked: Asked, name: str) -> tuple[Comparison, UserError | None]:
    """Sum up a comparison whose cells are all searched; return it with the reason why nothing could be learned from it, if there is one."""
    from ..tasks.comparison.policy import learn
    from ..tasks.comparison.report import Comparison
    from ..tasks.comparison.results import read_rows

    rows = read_rows(store.database, planned)
    lesson, unlearned = None, None
    if asked.learn:
        try:
            lesson = learn(store.database, planned, rows, asked.probe, asked.bins)
        except UserError as error:  # what was searched for is reported all the same
            unlearned = error
    split = asked.split if asked.target == name else None
    return Comparison(asked.target, split, asked.command, planned, rows, lesson), unlearned


def write(found: Comparison, folder: Path, asked: Asked) -> list[Path]:
    """Write the record, the report, the picture and the learned table, and return where.

    Raises:
        UserError: if the folder cannot be written to.
    """
    from ..tasks.comparison.plot import draw_png
    from ..tasks.comparison.report import markdown

    texts = {
        folder / RECORD: _spread(found.as_json()),
        folder / REPORT: markdown(found, PLOT if asked.plot else None),
    }
    if asked.learn and found.lesson:
        texts[asked.learn] = json.dumps(found.lesson.table(), indent=2) + "\n"
    try:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        if asked.plot:
            draw_png(found.rows, found.plan.budgets.limit, folder / PLOT)
    except OSError as error:
        raise UserError(
            f"cannot write the results ({error}); give another --out{' or --learn' if asked.learn else ''}"
        ) from None
    return [*texts, *([folder / PLOT] if asked.plot else [])]


def show(found: Comparison, written: Sequence[Path]) -> None:
    """Print the tables and the picture as text."""
    from ..tasks.comparison.plot import draw_text
    from ..tasks.comparison.report import difference_rows, result_rows

    for header, rows in (result_rows(found), difference_rows(found)):
        print(columns(rows, header), end="\n\n")
    print(draw_text(found.rows, found.plan.budgets.limit), end="\n\n")
    for note in found.plan.notes:
        print(f"note: {note}")
    print(f"written: {', '.join(map(str, written))}")


def _ending(found: Comparison, place: Place) -> ExitCode:
    """Return the exit code, and say so where searches failed."""
    failures = [
        (run, count) for row in found.rows for run, count in zip(row.runs, row.failures, strict=True) if count
    ]
    if not failures:
        return ExitCode.OK
    total = sum(count for _, count in failures)
    tell(
        f"error: {total} of {sum(row.searches for row in found.rows)} searches failed and count as not solved; "
        f"see why: {remedy('show', failures[0][0], db=place.db)}; try them again: {place.resume} --retry-failed"
    )
    return ExitCode.FAILED


def _folder(path: Path, flag: str) -> Path:
    """Return a folder that can be written to, made if need be.

    Raises:
        UserError: if there can be none; names the option that it came from.
    """
    doing = "make"
    try:
        path.mkdir(parents=True, exist_ok=True)
        doing = "write to"
        with TemporaryFile(dir=path):  # what may be written is known by trying only
            pass
    except OSError as error:
        raise UserError(
            f"cannot {doing} the folder {str(path)!r} ({error.strerror}); give another {flag}"
        ) from None
    return path


def _check_file(path: Path, flag: str) -> None:
    """Raise UserError if a file cannot be written; one that is there stays as it is."""
    if path.is_dir():
        raise UserError(f"{flag} {str(path)!r} is a folder; give a file")
    if not path.exists():
        _folder(path.parent, flag)
        return
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {str(path)!r} ({error.strerror}); give another {flag}") from None


def _spread(record: dict[str, Any]) -> str:
    """Return the record as JSON with a line for each field, and for each row: long, but its changes can be read."""
    lines: list[str] = []
    for name, value in record.items():
        text = json.dumps(value, allow_nan=False)
        if name == "rows":
            text = "[\n    " + ",\n    ".join(json.dumps(row, allow_nan=False) for row in value) + "\n  ]"
        lines.append(f"  {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
