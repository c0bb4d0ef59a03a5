"""The package as it is laid out: folders, links, exports, directions of imports, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import thoughtgraph

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("agents", "graph", "storage", "tasks", "tools", "training")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = (
    "torch",
    "transformers",
    "langgraph",
    "langchain_core",
    "sqlalchemy",
    "openai",
    "aiohttp",
    "networkx",
)


def modules(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_package_is_listed_and_every_listed_package_is_there() -> None:
    found = {"thoughtgraph", "thoughtgraph.cli"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("__init__.py"):
            found.add(".".join(("thoughtgraph", *path.parent.relative_to(ROOT).parts)))
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_the_links_to_the_rooms_are_relative() -> None:
    for room in ROOMS:
        link = ROOT / "thoughtgraph" / room
        if link.is_symlink():  # a checkout without links works through the mapping
            assert link.readlink() == Path("..") / room


def imported(path: Path) -> set[str]:
    """Return the rooms that a module of a room imports, its own left out."""
    depth = len(path.relative_to(ROOT).parts)
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth and node.module:
            rooms.add(node.module.split(".")[0])
    return rooms - {path.relative_to(ROOT).parts[0]}


def test_imports_point_one_way() -> None:
    for path in modules("graph", "agents", "tools", "storage"):
        assert not imported(path) & {"tasks", "training"}, f"{path} reaches what may hold reference answers"
    for path in modules("tasks"):
        assert "training" not in imported(path)
    for path in modules("graph/strategies"):
        rest = path.read_text(encoding="utf-8")
        assert not any(f"import {name}" in rest or f"from {name}" in rest for name in HEAVY), path


def test_modules_of_the_rooms_import_each_other_relatively() -> None:
    for path in modules(*ROOMS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] not in ("thoughtgraph", *ROOMS), path


def test_all_is_exact() -> None:
    assert sorted(thoughtgraph.__all__) == thoughtgraph.__all__
    for name in thoughtgraph.__all__:
        assert getattr(thoughtgraph, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = thoughtgraph.nothing_like_it
    assert PROJECT["project"]["version"] == thoughtgraph.__version__


@pytest.mark.parametrize(
    "module",
    ["thoughtgraph", "thoughtgraph.graph.schemes", "thoughtgraph.api", "thoughtgraph.agents.models.registry"],
)
def test_imports_load_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_does_not_depend_on_torch() -> None:
    assert not [
        line
        for line in PROJECT["project"]["dependencies"]
        if line.startswith(("torch", "transformers", "vllm"))
    ]
    code = (
        "import sys; sys.modules['torch'] = None; import thoughtgraph.tasks.runs, thoughtgraph.graph.machine"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_shipped_weights_are_small() -> None:
    weights = list((ROOT / "agents" / "builtin").rglob("*.safetensors"))
    assert len(weights) == 2
    assert sum(path.stat().st_size for path in weights) <= 12_000_000
