"""`thoughtgraph schemes`: which search schemes there are, and what their parameters mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .codes import ExitCode
from .options import AsJson
from .output import columns, only_data

if TYPE_CHECKING:
    from ..graph.schemes import Scheme


def schemes(
    name: Annotated[str | None, typer.Argument(help="One scheme, to explain it.", show_default=False)] = None,
    as_json: AsJson = False,
) -> int:
    """List the search schemes, or explain one."""
    from ..graph.schemes import get_scheme
    from ..graph.schemes import schemes as all_schemes

    with only_data(as_json) as emit:
        found = list(all_schemes().values()) if name is None else [get_scheme(name)]
        if as_json:
            rows = [_record(scheme) for scheme in found]
            emit(rows if name is None else rows[0])
        elif name is None:
            header = ("name", "structure", "what it does", "paper")
            print(columns([(s.name, s.structure, s.summary, s.paper) for s in found], header))
        else:
            _explain(found[0])
    return ExitCode.OK


def _explain(scheme: Scheme) -> None:
    print(f"{scheme.name}: {scheme.summary}")
    facts = (
        ("structure", scheme.structure),
        ("step", scheme.step),
        ("strategy", scheme.strategy),
        ("operators", ", ".join(scheme.operators)),
        ("models", ", ".join(scheme.models)),
        ("supervision", scheme.supervision),
        ("paper", scheme.paper),
    )
    for label, text in facts:
        print(f"  {label:<12} {text}")
    if not scheme.parameters:
        print("no parameters")
        return
    print("\nparameters, as in: --param NAME=VALUE")
    rows = [(p.name, _word(p.default), p.allowed, p.doc) for p in scheme.parameters]
    print(columns(rows, ("name", "default", "allowed", "meaning")))


def _word(value: object) -> str:
    """Return a value as the command line takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _record(scheme: Scheme) -> dict[str, Any]:
    return {
        "name": scheme.name,
        "summary": scheme.summary,
        "structure": scheme.structure,
        "step": scheme.step,
        "strategy": scheme.strategy,
        "operators": [str(operator) for operator in scheme.operators],
        "models": list(scheme.models),
        "supervision": scheme.supervision,
        "paper": scheme.paper,
        "parameters": [
            {"name": p.name, "type": p.type, "default": p.default, "allowed": p.allowed, "meaning": p.doc}
            for p in scheme.parameters
        ],
    }
