"""`thoughtgraph schemes`: the Blueprint's table of the search schemes, and what each of them needs and takes.

Nothing here is written down twice: the table, the parameters and the parts are read off the code.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .codes import ExitCode
from .options import AsJson, option
from .output import columns, line, only_data

if TYPE_CHECKING:
    from ..graph.schemes import Scheme
    from ..graph.schemes.catalogue import Part, Setting

OPERATORS = {
    "generate": "G",
    "refine": "R",
    "aggregate": "A",
    "prune": "P",
    "restructure": "T",
    "select": "S",
    "backtrack": "B",
    "backpropagate": "U",
    "evaluate": "E",
}
MODELS = {
    "policy": "p",
    "outcome verifier": "o",
    "step verifier": "s",
    "value model": "v",
    "preference model": "f",
    "discriminator": "d",
    "controller": "c",
}
GROWING = {
    "refine": "an attempt made anew, with what is wrong in it mended",
    "aggregate": "several attempts combined into one",
}
"""What is asked of a generator by an operator alone, without an action."""
HEADER = ("name", "structure", "step", "strategy", "operators", "models", "supervision", "paper")

_ASIDE = re.compile(r" \([^)]*\)")


def schemes(
    name: Annotated[
        str | None, typer.Argument(help="One scheme, or a YAML file, to explain it.", show_default=False)
    ] = None,
    parts: Annotated[
        bool, option("--parts", help="List the parts that a YAML file can compose, with their fields.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """List the search schemes, or explain one."""
    from ..graph.schemes import get_scheme
    from ..graph.schemes import schemes as all_schemes

    with only_data(as_json) as emit:
        if parts:
            emit(_parts_record()) if as_json else _list_parts()
            return ExitCode.OK
        found = list(all_schemes().values()) if name is None else [get_scheme(name)]
        if as_json:
            rows = [_record(scheme) for scheme in found]
            emit(rows if name is None else rows[0])
        elif name is None:
            print(table(found, _width()))
        else:
            print(explanation(found[0], name, _width()))
    return ExitCode.OK


def table(found: Sequence[Scheme], width: int) -> str:
    """Return the Blueprint's table of these schemes, by family; as paragraphs where a terminal of this width has no room for it."""
    families = dict.fromkeys(scheme.family for scheme in found)
    groups = {family: [scheme for scheme in found if scheme.family == family] for family in families}
    lines = _as_table(groups, width)
    if any(len(text) > width for row in lines for text in row.split("\n")):
        lines = _as_paragraphs(groups, width)
    legends = [
        "operators: " + ", ".join(f"{letter} {word}" for word, letter in OPERATORS.items()),
        "models: " + ", ".join(f"{letter} {word}" for word, letter in MODELS.items()),
        "papers: numbers are arXiv's. All about one scheme: thoughtgraph schemes NAME",
    ]
    folded = [text for legend in legends for text in _fold(legend, width, hanging="  ")]
    return "\n".join([*lines, "", *folded])


def explanation(scheme: Scheme, name: str, width: int) -> str:
    """Return all that there is to know of a scheme, which was asked for by this name."""
    values = {p.name: p.default for p in scheme.parameters}
    needs = sorted(scheme.needs(values))
    facts = [
        ("family", scheme.family),
        ("structure", scheme.structure),
        ("step", scheme.step),
        ("strategy", scheme.strategy),
        ("operators", ", ".join(scheme.operators)),
        ("models", ", ".join(scheme.models)),
        ("supervision", scheme.supervision),
        ("paper", scheme.paper),
        ("needs", _supply(needs[0]) if needs else "nothing but a model"),
        *(("", _supply(need)) for need in needs[1:]),
        ("serial", scheme.serial or "no: its model calls overlap within one search"),
        ("source", _source(scheme, name)),
    ]
    lines = [line(f"{scheme.name}: {scheme.summary}"), ""]
    for label, text in facts:
        lines += _fold(f"{label:<12} {line(text)}", width, indent="  ", hanging=" " * 15)
    if not scheme.parameters:
        return "\n".join([*lines, "", "no parameters"])
    rows = [(p.name, _word(p.default), p.allowed, p.doc) for p in scheme.parameters]
    header = ("name", "default", "allowed", "meaning")
    lines += ["", "parameters, as in: --param NAME=VALUE", *_fitted(rows, header, width, (2, 3))]
    for words, set_to in (
        ("with a model that only continues text, unless you set them", scheme.raw),
        ("in comparisons at equal budgets", scheme.fill),
    ):
        if set_to:
            given = ", ".join(f"{key}={_word(value)}" for key, value in set_to.items())
            lines += ["", *_fold(f"{words}: {given}", width, hanging="  ")]
    return "\n".join(lines)


def _as_table(groups: Mapping[str, Sequence[Scheme]], width: int) -> list[str]:
    rows = [
        [
            (
                scheme.name,
                scheme.structure,
                scheme.step,
                scheme.strategy,
                _ticks(OPERATORS, scheme.operators),
                _ticks(MODELS, scheme.models),
                _ASIDE.sub("", scheme.supervision),
                scheme.paper.removeprefix("arXiv ").partition(",")[0],
            )
            for scheme in found
        ]
        for found in groups.values()
    ]
    header, *body = _fitted(
        [row for group in rows for row in group], HEADER, width, (2, 3, 6, 7), joined=False
    )
    lines, at = [header], 0
    for family, group in zip(groups, rows, strict=True):
        lines += ["", family, *body[at : at + len(group)]]
        at += len(group)
    return lines


def _as_paragraphs(groups: Mapping[str, Sequence[Scheme]], width: int) -> list[str]:
    lines: list[str] = []
    for family, found in groups.items():
        lines += ["", family] if lines else [family]
        for scheme in found:
            facts = (
                scheme.summary,
                f"{scheme.structure}, a step is: {scheme.step}",
                f"strategy: {scheme.strategy}",
                f"operators: {_ticks(OPERATORS, scheme.operators)}",
                f"models: {_ticks(MODELS, scheme.models)}",
                f"supervision: {scheme.supervision}",
                f"paper: {scheme.paper.removeprefix('arXiv ')}",
            )
            lines += _fold(f"{scheme.name}: {line('; '.join(facts))}", width, indent="  ", hanging="    ")
    return lines


def _ticks(letters: Mapping[str, str], used: Iterable[str]) -> str:
    """Return a letter for each that is used and a dot for each that is not, always in the same places."""
    words = set(used)
    return "".join(letter if word in words else "." for word, letter in letters.items())


def _fitted(
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    width: int,
    soft: Sequence[int],
    *,
    joined: bool = True,
) -> list[str]:
    """Return the header and the rows as aligned columns, of which the soft ones are folded to fit; a row may take several lines.

    Args:
        rows: cells.
        header: names of the columns.
        width: of the terminal.
        soft: columns that may be folded.
        joined: whether every line is returned by itself, and not every row.
    """
    cells = [[line(cell) for cell in row] for row in [header, *rows]]
    widths = _shrunk(cells, width, soft)
    folded = [
        [textwrap.wrap(cell, widths[i], break_on_hyphens=False) or [""] for i, cell in enumerate(row)]
        for row in cells
    ]
    heights = [max(len(cell) for cell in row) for row in folded]
    physical = [
        [cell[at] if at < len(cell) else "" for cell in row]
        for row, height in zip(folded, heights, strict=True)
        for at in range(height)
    ]
    lines = columns(physical[1:], physical[0]).split("\n")
    if joined:
        return lines
    ends = [sum(heights[: i + 1]) for i in range(len(heights))]
    return ["\n".join(lines[end - height : end]) for end, height in zip(ends, heights, strict=True)]


def _shrunk(cells: Sequence[Sequence[str]], width: int, soft: Sequence[int]) -> list[int]:
    """Return how wide columns are, the soft ones shrunk where it costs the fewest lines, but not below their longest word."""
    lengths = [[len(row[i]) for row in cells] for i in range(len(cells[0]))]
    widths = [max(column) for column in lengths]
    least = {i: max(len(word) for row in cells for word in (row[i].split() or [""])) for i in soft}

    def height(row: int) -> int:
        return max(-(-lengths[i][row] // widths[i]) for i in soft if lengths[i][row])

    def cost(column: int) -> tuple[int, int]:
        widths[column] -= 1
        total = sum(map(height, range(1, len(cells))))
        widths[column] += 1
        return (total, -widths[column])

    while sum(widths) + 2 * (len(widths) - 1) > width:
        candidates = [i for i in soft if widths[i] > least[i]]
        if not candidates:
            break
        widths[min(candidates, key=cost)] -= 1
    return widths


def _fold(text: str, width: int, *, indent: str = "", hanging: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _supply(need: str) -> str:
    """Return what a need is and how to meet it."""
    from ..agents.actions import BY_RAW, BY_SCORER, EVALUATE, GENERATE

    role, _, agent = need.partition(":")
    if need == "scores":
        return "scores of steps or solutions (--scorer MODEL, or --scorer judge; a task that checks answers has them)"
    if need == "step_scores":
        return "scores of steps (a --scorer MODEL that scores them, or --scorer judge; a task that checks answers checks them)"
    if role == "agent":
        return f"the model {agent!r} (--agent {agent}=MODEL)"
    if need == "discriminate":
        return f"{need}: {EVALUATE[need]} (--agent discriminator=MODEL)"
    if need in EVALUATE:
        scorer = ", or a --scorer" if need in BY_SCORER else ""
        return f"{need}: {EVALUATE[need]} (a chat model: --model, or --agent judge=MODEL{scorer})"
    how = "any model" if need in BY_RAW else "a chat model: --model"
    return f"{need}: {(GENERATE | GROWING).get(need, 'an action of its own')} ({how})"


def _source(scheme: Scheme, name: str) -> str:
    """Return where a scheme comes from, with the first paragraph of what is written there."""
    from ..graph.schemes.composition import is_file

    if is_file(name):
        return name
    module = getattr(scheme.build, "__module__", None) or type(scheme.build).__module__
    doc = (getattr(sys.modules.get(module), "__doc__", None) or "").strip()
    note = " ".join(doc.partition("\n\n")[0].split())
    return f"{module}. {note}" if note else module


def _list_parts() -> None:
    from ..graph.schemes.catalogue import PARTS, SEARCH, kind_word

    width = _width()
    lines = ["a composition has", *_settings(SEARCH, width)]
    for kind, found in PARTS.items():
        for name, part in found.items():
            lines += ["", *_fold(f"{kind_word(kind)} {name}: {line(part.summary)}", width, hanging="  ")]
            lines += _settings(part, width)
    print("\n".join(lines))


def _settings(part: Part, width: int) -> list[str]:
    from ..graph.schemes.fields import allowed

    rows = [
        (name, "-" if s.default is MISSING else _shown(s.default), allowed(s.type, s.limit))
        for name, s in part.settings.items()
        if name != "seed"
    ]
    header = ("field", "default", "allowed")
    return [f"  {text}" for text in _fitted(rows, header, width - 2, (2,))] if rows else []


def _parts_record() -> dict[str, Any]:
    from ..graph.schemes.catalogue import PARTS, kind_word
    from ..graph.schemes.fields import allowed

    def field(s: Setting) -> dict[str, Any]:
        default = None if s.default is MISSING else _plain(s.default)
        return {"required": s.default is MISSING, "default": default, "allowed": allowed(s.type, s.limit)}

    return {
        kind_word(kind): {
            name: {
                "summary": line(part.summary),
                "fields": {name: field(s) for name, s in part.settings.items() if name != "seed"},
            }
            for name, part in found.items()
        }
        for kind, found in PARTS.items()
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _shown(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, dict):
        pairs = cast("dict[str, Any]", plain).items()
        return "{" + ", ".join(f"{key}: {_shown(below)}" for key, below in pairs) + "}"
    if isinstance(plain, tuple):
        return "[" + ", ".join(map(_shown, cast("tuple[Any, ...]", plain))) + "]"
    return _word(plain) or '""'


def _word(value: object) -> str:
    """Return a value as the command line takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _width() -> int:
    return max(40, shutil.get_terminal_size((110, 24)).columns)


def _record(scheme: Scheme) -> dict[str, Any]:
    values = {p.name: p.default for p in scheme.parameters}
    return {
        "name": scheme.name,
        "family": scheme.family,
        "summary": scheme.summary,
        "structure": scheme.structure,
        "step": scheme.step,
        "strategy": scheme.strategy,
        "operators": [str(operator) for operator in scheme.operators],
        "models": list(scheme.models),
        "supervision": scheme.supervision,
        "paper": scheme.paper,
        "needs": sorted(scheme.needs(values)),
        "serial": scheme.serial,
        "raw": dict(scheme.raw),
        "fill": dict(scheme.fill),
        "parameters": [
            {
                "name": p.name,
                "type": p.type,
                "default": p.default,
                "minimum": p.minimum,
                "maximum": p.maximum,
                "above": p.above,
                "choices": list(p.choices),
                "optional": p.optional,
                "allowed": p.allowed,
                "meaning": p.doc,
            }
            for p in scheme.parameters
        ],
    }
