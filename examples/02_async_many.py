"""Search many problems at once, in two ways.

`asolve` is `solve` for programs that have an event loop; gathered, the searches run side by side. A *run* over many problems is recorded as one:
it counts accuracy, goes on after a crash with `thoughtgraph resume`, and its searches share the model's batches. The command line does the same:
`thoughtgraph run FILE`.
"""

import asyncio

from thoughtgraph import Budget, asolve
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

PUZZLES = ["2 3 7 9", "4 4 10 10", "1 2 4 6", "1 1 1 1"]


async def main() -> None:
    results = await asyncio.gather(*(asolve(puzzle, budget={"tokens": 1500}) for puzzle in PUZZLES))
    for result in results:
        print(f"{result.question:18} {result.answer or '-':22} {result.status:10} {result.stopped}")

    task = load_task("numbers")
    settings = Settings(scheme="beam", params={"beams": 8}, budget=Budget(tokens=1500))
    store = SqlStore.open()
    try:
        items = [Item(task.problem(puzzle)) for puzzle in PUZZLES]
        summary = await start(store, settings, items, parallel=4)
    finally:
        store.close()
    print(f"run {summary.run}: {summary.solved} of {summary.problems} solved with beam search")


asyncio.run(main())
