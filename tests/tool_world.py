"""What tests of tools in searches share: scripted models that call tools, tools that count, and searches over a real store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import thoughtgraph
from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.tools.base import Call, Tool, ToolReply

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def counting(
    name: str = "look_up", reply: Callable[[str], str] = str.upper, **fields: Any
) -> tuple[Tool, list[str]]:
    """Return a tool that answers a text by a function, and the list of the texts it was called with."""
    called: list[str] = []

    async def run(call: Call) -> ToolReply:
        called.append(call.arguments["text"])
        return ToolReply(reply(call.arguments["text"]))

    return Tool(name, "Looks a word up.", TEXT, run, **fields), called


def prompt_of(call: GenerationCall) -> str:
    """Return what a model is asked, as one text."""
    if isinstance(call.prompt, str):
        return call.prompt
    return "\n".join(turn.content for turn in call.prompt)


def steps_so_far(call: GenerationCall) -> int:
    """Return how many tool calls the model's own steps hold already."""
    assert not isinstance(call.prompt, str)
    return sum(len(re.findall(r"<<\w+:", turn.content)) for turn in call.prompt[1:])


def scripted(*steps: str) -> ScriptedModel:
    """Return a chat model whose n-th step is the n-th of these, the last one again and again."""

    def answer(call: GenerationCall) -> Sequence[str]:
        return [steps[min(steps_so_far(call), len(steps) - 1)]] * call.n

    return ScriptedModel(answer, chat=True)


def solve(tmp_path: Path, model: ScriptedModel, *toolbox: Any, **options: Any) -> thoughtgraph.Result:
    """Solve a question of plain text with tools."""
    options = {"task": "text", "scheme": "cot", "scorer": "none", "db": tmp_path / "runs.db", **options}
    question = options.pop("question", "What is it?")
    return thoughtgraph.solve(question, model=model, toolbox=toolbox, **options)
