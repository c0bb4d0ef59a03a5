"""Search in your own notes, and in problems that were solved before.

`documents:PATH` is full-text search in a folder or file, built in memory when the search begins. `similar_problems` shows solved problems of past
runs: only of runs that were told to be on the split `train`, only with right answers, and never the question that is being solved.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from thoughtgraph import Result, ScriptedModel, solve
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

NOTES = {
    "pumps.md": "# Pumps\n\nThe old pump moves 12 litres a minute.\n\nThe new pump moves 30 litres a minute.",
    "tanks.md": "# Tanks\n\nThe tank in the yard holds 600 litres. The tank on the roof holds 450 litres.",
}
QUESTION = "How many minutes takes the new pump to fill the tank on the roof?"


def show(result: Result) -> None:
    for thought in result.graph.path():
        for call in result.graph.tool_calls.get(thought.id, ()):
            if call.asked:  # by the step itself; the calculator's checks are rows too
                print(
                    f"{call.tool}: {call.arguments['query']}\n  " + (call.result or "-").replace("\n", "\n  ")
                )
    print(f"answer: {result.answer}\n")


def in_notes() -> None:
    steps = [
        "<<search_documents: new pump litres a minute>>",
        "<<search_documents: tank on the roof>>",
        "450 / 30 = 15",
        "Answer: 15",
    ]
    with TemporaryDirectory() as folder:
        for name, text in NOTES.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        model = ScriptedModel(steps, chat=True)  # says one step after the other; any chat model in its place
        tool = f"documents:{folder}?top=1"
        show(solve(QUESTION, task="text", scheme="cot", model=model, toolbox=[tool]))


async def practise() -> None:
    """Search a problem whose answer is known, on the split `train`: `thoughtgraph run FILE --split train` does the same."""
    model = ScriptedModel(["600 / 12 = 50\nAnswer: 50"], name="practice", chat=True)
    settings = Settings(task="text", scheme="cot", model="practice", scorer="none", split="train")
    known = load_task("text").problem(
        "How many minutes takes a pump of 12 litres a minute to fill 600 litres?"
    )
    store = SqlStore.open()
    try:
        await start(store, settings, [Item(known, reference="50")], own=Replacements(model=model))
    finally:
        store.close()


in_notes()
asyncio.run(practise())
steps = ["<<similar_problems: minutes pump litres fill>>", "Likewise 90 / 15 = 6", "Answer: 6"]
model = ScriptedModel(steps, chat=True)
question = "In how many minutes does a pump of 15 litres a minute empty 90 litres?"
show(solve(question, task="text", scheme="cot", model=model, toolbox=["similar_problems?top=1"]))
