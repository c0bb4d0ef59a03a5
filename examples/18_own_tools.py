"""Tools of your own: a typed function, a LangChain tool, and one that does something in the world.

What a tool does to the world is declared as its effect, and decides what may be repeated:

    pure          equal calls in a run are answered from the record
    idempotent    called each time, and again after a crash
    once          the default: on record before it is made; after a crash in between, a person says whether it happened

On the command line: `--tool function:FILE.py:NAME`. The row of every call has its arguments, result or error, time and size.
"""

from typing import Literal

from langchain_core.tools import tool

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.tools.adapters.functions import function_tool
from thoughtgraph.tools.adapters.langchain import langchain_tool

ORDERS: list[str] = []


def price(item: Literal["bolt", "nut"], count: int = 1) -> float:
    """Looks up what some of an item cost, in euros.

    Args:
        item: its name in the catalogue.
        count: how many.
    """
    return {"bolt": 0.25, "nut": 0.5}[item] * count


@tool
def in_stock(item: str) -> int:
    """Say how many of an item there are in the store."""
    return {"bolt": 1200}.get(item, 0)


def order(item: str, count: int) -> str:
    """Order items; each call is an order."""
    ORDERS.append(f"{count} {item}s")
    return f"order {len(ORDERS)} is placed"


# says one step after the other; any chat model in its place
model = ScriptedModel(
    [
        'What is one? <<price: {"item": "bolt", "count": 40}>>',
        'And a screw? <<price: {"item": "screw"}>>',
        "Are there enough? <<in_stock: bolt>>",
        'Was it that? <<price: {"count": 40, "item": "bolt"}>>',
        'I order them. <<order: {"item": "bolt", "count": 40}>>',
        "Answer: 10 euros",
    ],
    chat=True,
)
toolbox = [function_tool(price, effect="pure"), langchain_tool(in_stock, effect="idempotent"), order]
result = solve("Order 40 bolts. What do they cost?", task="text", scheme="cot", model=model, toolbox=toolbox)

for thought in result.graph.path():
    for call in result.graph.tool_calls.get(thought.id, ()):
        said = call.result if call.error is None else f"error: {call.error}"
        print(f"{call.tool:9} {dict(call.arguments)} -> {said} [{call.origin}, {call.bytes} bytes]")
print(f"answer: {result.answer}; ordered: {ORDERS}; {result.usage.tool_calls} tool calls")
