"""A person decides before an answer is final: accept it, reject it with a reason, or have the search continue.

The machine stops with LangGraph's `interrupt` and holds nothing while it waits: the reply may come days later, from another process, as long as it
names the same thread of the same checkpointer. A rejection is recorded as a verdict of the source `person`, and the search goes on without that
thought. In a terminal you are asked; elsewhere the script rejects the first answer and accepts the second.
"""

import asyncio
import sys
from typing import Any

from langgraph.types import Command

from thoughtgraph import build_machine
from thoughtgraph.storage.checkpoints import checkpoint_saver
from thoughtgraph.storage.engine import default_db_path

THREAD: Any = {"configurable": {"thread_id": "review-1"}}


def ask(shown: dict[str, Any], earlier: int) -> Any:
    print(f"{shown['question']}: {shown['answer']} (score {shown['score']:.2f})")
    for step in shown["steps"]:
        print(f"  {step}")
    if not sys.stdin.isatty():
        return "accept" if earlier else {"reject": "show me another one"}
    reply = input("accept, continue, or a reason to reject it: ").strip()
    return reply if reply in ("accept", "continue") else {"reject": reply}


async def main() -> None:
    put: Any = {"question": "1 2 4 6"}
    reviews = 0
    while True:
        # a new machine and a new connection each time, as after a restart
        async with checkpoint_saver(default_db_path()) as saver:
            machine: Any = build_machine(saver, review="answer")
            out = await machine.ainvoke(put, THREAD)
        if "__interrupt__" not in out:
            break
        put = Command(resume=ask(out["__interrupt__"][0].value, reviews))
        print(f"-> {put.resume}")
        reviews += 1
    print(f"final: {out['answer']} after {reviews} reviews, {out['usage']['model_calls']} model calls")


asyncio.run(main())
