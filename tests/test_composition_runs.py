"""A run with a scheme from a file: its record is whole, and a resume needs no file."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from thoughtgraph import solve
from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.schemes import pin
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain
from thoughtgraph.tasks.runs import Watch, start
from thoughtgraph.tasks.settings import Settings

from .cli_world import SCRIPT, environment

TEXT = """
name: drawn
selector: {part: blocks, n: 1}
expander: {part: sampler, n: 1, horizon: answer, distinct: false, temperature: "${heat}"}
finalizer: vote
parameters: {heat: {type: float, default: 0.5, minimum: 0}}
"""


def test_a_resume_needs_no_file(tmp_path: Path) -> None:
    """The run is interrupted after its first problem and resumed in another process, with the file gone, or there and another one."""
    file, script, db = tmp_path / "drawn.yaml", tmp_path / "script.json", str(tmp_path / "runs.db")
    script.write_text(json.dumps(SCRIPT))
    for replacement in (None, TEXT.replace("blocks", "nothing")):
        file.write_text(TEXT)
        name, _ = pin(str(file))
        settings = Settings(scheme=str(file), params={"heat": 0.7}, model=f"scripted:{script}")
        task = load_task("numbers")
        items = [Item(task.problem(question)) for question in ("4 5 6 10", "1 2 3 4", "1 1 1 1")]
        store = SqlStore.open(db)
        drain = Drain()

        def stop(end: object, drain: Drain = drain) -> None:
            drain.request()

        summary = asyncio.run(start(store, settings, items, parallel=1, watch=Watch(drain, on_end=stop)))
        assert 0 < summary.finished < 3
        spec = store.run(summary.run)
        assert (spec.scheme, spec.settings["scheme"], spec.settings["composition"]) == (name, name, TEXT)
        store.close()
        file.unlink() if replacement is None else file.write_text(replacement)
        done = subprocess.run(
            [sys.executable, "-m", "thoughtgraph", "resume", summary.run, "--db", db, "--json"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["finished"] == 3


def test_a_file_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    file, script, db = tmp_path / "drawn.yaml", tmp_path / "script.json", str(tmp_path / "runs.db")
    script.write_text(json.dumps(SCRIPT))
    names: list[str] = []
    for text in (TEXT, "# the same\n" + TEXT, TEXT.replace("default: 0.5", "default: 0.6")):
        file.write_text(text)
        result = solve("4 5 6 10", scheme=str(file), model=f"scripted:{script}", db=db)
        assert result.status == "solved"
        store = SqlStore.open(db)
        names.append(store.run(result.run).scheme)
        store.close()
    assert names[0] == names[1] != names[2]


def test_a_run_without_a_composition_records_none(tmp_path: Path) -> None:
    assert Settings().composition == ""
    old = {key: value for key, value in Settings().as_json().items() if key != "composition"}
    assert Settings.from_json(old) == Settings()
    with pytest.raises(UserError, match="composition=3 is not a name"):
        Settings(composition=3)  # pyright: ignore[reportArgumentType]
