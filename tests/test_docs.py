"""The README is true: its code runs, its figures are those stored, its links lead somewhere."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.graph.schemes import GROUP, Scheme, get_scheme

from .search_world import World, run

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"


def test_the_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THOUGHTGRAPH_DB", str(tmp_path / "docs.db"))
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the project's own text
        assert getattr(names["result"], "status", None) == "solved"


@pytest.mark.parametrize(
    "document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "examples/README.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (ROOT / document).parent.joinpath(target).exists(), target


def test_the_table_holds_the_stored_figures() -> None:
    stored = json.loads((RESULTS / "game24.json").read_text())
    for row in stored["rows"]:
        low, high = row["interval_95"]
        line = f"| {row['row']} | {row['solved']} of {row['of']} | {low:.0%}–{high:.0%} | {row['tokens_per_puzzle']:,} |"
        assert line in README


def test_the_costs_are_the_stored_figures() -> None:
    overhead = json.loads((RESULTS / "overhead.json").read_text())
    large = json.loads((RESULTS / "overhead_100k.json").read_text())
    assert f"{overhead['ms_per_thought']:.2f} ms a thought" in README
    assert f"{large['ms_per_thought']:.2f} ms a thought" in README
    for name in ("saturation", "saturation_2_workers"):
        busy = json.loads((RESULTS / f"{name}.json").read_text())["busy"]
        shares = (f"{busy[f'{scheme}, rolling']:.0%} ({scheme})" for scheme in ("best_of_n", "mcts", "beam"))
        assert f"| {', '.join(shares)} |" in README


def test_the_latencies_of_the_sandbox_are_the_stored_ones() -> None:
    calls = json.loads((RESULTS / "sandbox.json").read_text())["calls"]
    kinds = ("embedded", "process", "process, NumPy", "process, warm", "process, warm, numpy")
    medians = ", ".join(f"{calls[kind]['median_ms']:.1f}" for kind in kinds)
    assert f"| {medians} ms |" in README


def test_what_is_made_of_an_engine_is_what_was_stored() -> None:
    stored = json.loads((RESULTS / "engine.json").read_text())
    shares = (f"{row['share']:.2f} ({row['scheme']})" for row in stored["share_of_engine"])
    assert f"| {', '.join(shares)} |" in README
    for row in stored["beside_others"]:
        line = (
            f"| {row['what']} | {row['solved']} of {row['of']} | {row['tokens_per_puzzle']:,} "
            f"| {row['solved_per_second']:.2f} | {row['solved_per_1000_tokens']:.2f} |"
        )
        assert line in README


def test_the_orderings_are_those_of_the_stored_comparison() -> None:
    folder = RESULTS / "game24_comparison"
    program = runpy.run_path(str(ROOT / "benchmarks" / "orderings.py"))
    record = json.loads((folder / "comparison.json").read_text())
    assert program["table"](record) == (folder / "orderings.md").read_text(encoding="utf-8")
    solved = {(row["label"], row["budget"]): row["solved"] for row in record["rows"]}
    names = ("mcts", "mcts_openr", "beam", "weighted_vote", "best_of_n", "self_consistency")
    assert [solved[name, 1000] for name in names] == [99, 98, 97, 94, 92, 56]
    assert (
        "`mcts` solves 99, `mcts_openr` 98, `beam` 97, `weighted_vote` 94,\n`best_of_n` 92, majority vote 56"
        in README
    )


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)


def searched(scheme: Scheme) -> None:
    """Search with a scheme's default parameters, and see that it logs what its row says."""
    trace = run(scheme.build({p.name: p.default for p in scheme.parameters}, 0), World(seed=3, refuting=0.2))
    assert trace.answer is not None
    assert trace.answer.text is not None
    assert {operation.operator for operation in trace.state.operations} <= set(scheme.operators)


def test_the_schemes_in_contributing_are_schemes(tmp_path: Path) -> None:
    files = blocks("yaml")
    assert len(files) == 2
    for text in files:
        file = tmp_path / "mine.yaml"
        file.write_text(text)
        searched(get_scheme(str(file)))
    [code], [entry_point] = blocks("python"), blocks("toml")
    names: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)  # noqa: S102 - the project's own text
    [(name, value)] = tomllib.loads(entry_point)["project"]["entry-points"][GROUP].items()
    scheme = names[value.partition(":")[2]]
    assert isinstance(scheme, Scheme)
    assert scheme.name == name
    searched(scheme)


def test_architecture_names_what_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:agents|graph|storage|tasks|tools|training)/[\w/.]+)`", text):
        path = ROOT / name
        assert (
            path.exists() or path.with_suffix(".py").exists() or (path.parent.with_suffix(".py")).exists()
        ), name
