"""text2sql end to end: a scripted model answers questions over the bundled database, and no reference reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.read import list_units
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import resume, start
from thoughtgraph.tasks.settings import Settings

SETTINGS = Settings(
    task="text2sql", scheme="self_consistency", params={"n": 3}, model="scripted", scorer="none", budget=Budget(model_calls=12)
)  # fmt: skip
CANARY = "references_only"
"""A name that stands in references and nowhere else."""


def marked(item: Item) -> Item:
    return replace(item, reference=f"WITH {CANARY} AS (SELECT 1) {item.reference}")


def asked_of(call: GenerationCall) -> str:
    prompt = call.prompt if isinstance(call.prompt, str) else "\n".join(m.content for m in call.prompt)
    return prompt.rpartition("Database: sales\n")[2].partition("\n")[0]


def answering(queries: dict[str, list[str]]) -> ScriptedModel:
    """A model that knows one query of its own or more for a question, and says one after the other."""

    def reply(call: GenerationCall) -> list[str]:
        choices = queries[asked_of(call)]
        said = [choices[(call.first_sample + i) % len(choices)] for i in range(call.n)]
        return [f"Look at the tables.\n@@\n```sql\n{query}\n```\n@@\n" for query in said]

    return ScriptedModel(reply)


async def test_questions_are_searched_and_graded_on_the_database(tmp_path: Path) -> None:
    task = load_task("text2sql")
    items = [marked(item) for item in task.load("test", 4)]
    texts = [item.problem.question.split("\n")[1] for item in items]
    never = (
        "SELECT name FROM customers c WHERE NOT EXISTS (SELECT * FROM orders o WHERE o.customer_id = c.id)"
    )
    queries = {
        texts[0]: [never, never.lower().replace("( select", "(select"), "SELECT 1"],
        texts[1]: ["SELECT nothing"],
        texts[2]: ["SELECT count(*) FROM orders WHERE shipped_on IS NULL", "DROP TABLE orders", "SELECT count(id) - count(shipped_on) FROM orders"],
        texts[3]: ["SELECT name, 0 FROM customers LIMIT 5"],
    }  # fmt: skip
    model, store = answering(queries), SqlStore.open(tmp_path / "store.db")
    summary = await start(store, SETTINGS, items, own=Replacements(model=model), run="r", parallel=4)
    assert (summary.finished, summary.graded, summary.failed) == (4, 4, 0)
    units = {unit.problem.question.split("\n")[1]: unit for unit in list_units(store.database, "r")}
    assert [units[text].correct for text in texts] == [True, False, True, False]
    result = units[texts[0]].result
    assert result is not None
    assert result.answer is not None
    assert result.answer.lower() == never.lower()  # two that are written alike outvote the third
    assert all(CANARY not in str(call) for call in model.asked)
    again = await resume(store, "r", own=Replacements(model=model))
    assert again.solved == summary.solved == 2
    store.close()


async def test_what_cannot_be_graded_is_no_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = load_task("text2sql")
    [item] = task.load("test", 1)
    broken = replace(item, reference="SELECT nothing FROM nowhere")
    model = answering({item.problem.question.split("\n")[1]: ["SELECT 1"]})
    store = SqlStore.open(tmp_path / "store.db")
    summary = await start(store, SETTINGS, [broken], own=Replacements(model=model), run="r", parallel=1)
    assert (summary.finished, summary.graded, summary.solved, summary.failed) == (1, 0, 0, 0)
    assert summary.accuracy is None
    [unit] = list_units(store.database, "r")
    assert unit.correct is None
    assert "reference query fails" in caplog.text
    store.close()
