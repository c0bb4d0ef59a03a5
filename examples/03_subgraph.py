"""The machine as one node of a LangGraph agent of your own, with a state of your own.

    START ─► triage ─┬─► puzzle (the machine) ─► report ─► END
                     └─► chat ───────────────────────────► END

The machine reads `question` and writes `answer`, `score`, `stopped`, `usage`, `run`: of these your state takes the keys that it declares. Its
thoughts stay in the database, so your checkpoints stay small however far it searched. The machine is asynchronous: use `ainvoke`.
"""

import asyncio
import re
from typing import Any, Literal, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from thoughtgraph import build_machine


class State(TypedDict, total=False):
    """The agent's own state."""

    message: str
    question: str
    answer: str | None
    run: str
    reply: str


def triage(state: State) -> State:
    return {"question": " ".join(re.findall(r"\d+", state.get("message", "")))}


def route(state: State) -> Literal["puzzle", "chat"]:
    return "puzzle" if len(state.get("question", "").split()) == 4 else "chat"


def chat(state: State) -> State:
    return {"reply": "Give me four numbers, and I make 24 of them."}


def report(state: State) -> State:
    answer = state.get("answer")
    return {
        "reply": f"24 = {answer}" if answer else f"I found nothing; see thoughtgraph show {state.get('run')}"
    }


def build_agent() -> Any:
    graph: Any = StateGraph(State)
    graph.add_node("triage", triage)
    graph.add_node("puzzle", build_machine(scheme="mcts", budget={"tokens": 3000}))
    graph.add_node("chat", chat)
    graph.add_node("report", report)
    graph.add_edge(START, "triage")
    graph.add_conditional_edges("triage", route)
    graph.add_edge("puzzle", "report")
    graph.add_edge("report", END)
    graph.add_edge("chat", END)
    return graph.compile(checkpointer=InMemorySaver())


async def main() -> None:
    agent = build_agent()
    for message in ("Hello!", "What about 4, 4, 10 and 10?", "And 2 3 7 9?"):
        state = await agent.ainvoke({"message": message}, {"configurable": {"thread_id": "ada"}})
        print(f"> {message}\n{state['reply']}")


asyncio.run(main())
