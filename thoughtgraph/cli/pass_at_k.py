"""`thoughtgraph pass-at-k`: how likely one of k solutions is right, from all that a run drew."""

from __future__ import annotations

from typing import Annotated

import typer

from ..graph.errors import UserError
from .codes import ExitCode
from .options import AsJson, Db, option
from .output import only_data
from .stores import opened


def pass_at_k(
    run: Annotated[str, typer.Argument(help="Id of the run, or the beginning of it.", show_default=False)],
    k: Annotated[str, option("--k", metavar="K,…", help="Numbers of solutions.")] = "1",
    db: Db = None,
    as_json: AsJson = False,
) -> int:
    """Grade every finished solution of a run and estimate pass@k, without bias.

    For runs that draw solutions independently, such as `--scheme self_consistency --param n=20`.
    """
    from ..storage.read import resolve_run
    from ..tasks.pass_at_k import graded_solutions, pass_rates

    ks = _numbers(k)
    with only_data(as_json) as emit, opened(db, existing=True) as store:
        solutions = graded_solutions(store, resolve_run(store.database, run))
        rates = pass_rates(solutions, ks)
        if as_json:
            emit({"problems": len(solutions), "pass_at_k": {str(k): rate for k, rate in rates.items()}})
            return ExitCode.OK
    for number, rate in rates.items():
        print(f"pass@{number}: {rate:.1%} of {len(solutions)} problems")
    return ExitCode.OK


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise UserError(f"--k {text} is not a list of whole numbers of 1 or more; write --k 1,5,10")
    return list(dict.fromkeys(int(part) for part in parts))
