from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    ToolException,
    tool,
)
from pydantic import BaseModel, Field

from thoughtgraph.graph.errors import OutcomeUnknownError, ToolError, UserError
from thoughtgraph.tools.adapters.langchain import langchain_tool
from thoughtgraph.tools.base import Call, Tool
from thoughtgraph.tools.calling import call_tool, check_arguments


async def ask(adapted: Tool, **arguments: Any) -> str:
    check_arguments(adapted, arguments)
    return (await call_tool(adapted, Call(arguments))).text


@tool(parse_docstring=True)
def weigh(item: str, unit: str = "kg") -> str:
    """Weigh an item.

    Args:
        item: its name.
        unit: of weight.
    """
    return f"{item}: 3 {unit}"


@tool
async def later(item: str) -> dict[str, Any]:
    """Looks up later."""
    await asyncio.sleep(0)
    return {"item": item, "é": [1, None]}


class SearchInput(BaseModel):
    query: str = Field(description="what to look for", max_length=20)
    top: int = 3


class SearchTool(BaseTool):
    name: str = "Web-Search"
    description: str = "Searches."
    args_schema: type[BaseModel] = SearchInput  # pyright: ignore[reportIncompatibleVariableOverride]

    def _run(self, query: str, top: int = 3) -> str:
        return f"{top} of {query}"


async def test_tools_of_every_kind() -> None:
    weighing = langchain_tool(weigh, effect="pure", seconds=5)
    assert (weighing.name, weighing.effect, weighing.seconds) == ("weigh", "pure", 5)
    assert weighing.description == "Weigh an item."
    assert weighing.text_argument == "item"
    assert weighing.parameters["properties"]["item"] == {"type": "string", "description": "its name."}
    assert weighing.parameters["additionalProperties"] is False
    assert await ask(weighing, item="nut", unit="lb") == "nut: 3 lb"
    assert await ask(langchain_tool(later), item="nut") == '{"item": "nut", "é": [1, null]}'
    searching = langchain_tool(SearchTool())
    assert searching.name == "web_search"
    assert await ask(searching, query="x") == "3 of x"
    with pytest.raises(ToolError, match="its argument 'query'"):
        await ask(searching, query="x" * 21)


async def test_a_schema_of_json_and_a_function_of_its_own() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}

    async def double(x: int) -> str:
        return str(2 * x)

    made = StructuredTool(name="double", description="Doubles.", args_schema=schema, coroutine=double)
    adapted = langchain_tool(made)
    assert await ask(adapted, x=4) == "8"
    with pytest.raises(ToolError, match="double cannot take"):
        await ask(adapted, x="four")


async def test_injected_arguments_are_hidden_and_cannot_be_set_by_a_model() -> None:
    @tool
    def read(
        path: str,
        config: RunnableConfig,
        call_id: Annotated[str, InjectedToolCallId],
        root: Annotated[str, InjectedToolArg] = "/srv",
    ) -> str:
        """Reads."""
        return f"{root}/{path} {bool(call_id)} {'callbacks' in config}"

    adapted = langchain_tool(read)
    assert list(adapted.parameters["properties"]) == ["path"]
    assert await ask(adapted, path="a") == "/srv/a True True"
    for name in ("root", "config", "call_id"):
        with pytest.raises(ToolError, match=name):
            await ask(adapted, path="a", **{name: "/etc"})
        with pytest.raises(ToolError, match=f"no argument '{name}'"):
            await adapted.run(Call({"path": "a", name: "/etc"}))


def test_an_injected_argument_that_nobody_gives_is_refused() -> None:
    @tool
    def read(path: str, state: Annotated[dict[str, Any], InjectedToolArg]) -> str:
        """Reads."""
        return path

    with pytest.raises(UserError, match="needs 'state' from a LangGraph agent"):
        langchain_tool(read)


async def test_content_is_shown_and_artifacts_are_not() -> None:
    @tool(response_format="content_and_artifact")
    def fetch(item: str) -> tuple[str, list[int]]:
        """Fetches."""
        return f"a picture of {item}", [1, 2, 3]

    @tool
    def show() -> list[Any]:
        """Shows."""
        image = {"type": "image", "base64": "A" * 1000, "mime_type": "image/png"}
        return [{"type": "text", "text": "here"}, image, {"type": "text", "text": "so"}]

    assert await ask(langchain_tool(fetch), item="nut") == "a picture of nut"
    assert await ask(langchain_tool(show)) == "here\n[image image/png, not shown]\nso"


async def test_errors_are_read() -> None:
    @tool
    def broken(how: str) -> str:
        """Breaks."""
        if how == "tool":
            raise ToolException("no such item")
        raise RuntimeError("out of order")

    @tool
    def told() -> str:
        """Breaks."""
        raise ToolException("no such item")

    told.handle_tool_error = "try another"
    adapted = langchain_tool(broken)
    with pytest.raises(ToolError, match=r"^no such item$"):
        await ask(adapted, how="tool")
    with pytest.raises(ToolError, match="broken failed: RuntimeError: out of order"):
        await ask(adapted, how="else")
    with pytest.raises(ToolError, match=r"^try another$"):
        await ask(langchain_tool(told))


async def test_arguments_that_only_pydantic_refuses() -> None:
    class Input(BaseModel):
        when: Annotated[int, Field(multiple_of=5)]

    def at(when: int) -> str:
        return str(when)

    made = StructuredTool.from_function(at, name="at", description="At.", args_schema=Input)
    with pytest.raises(
        ToolError, match="at cannot take its arguments: when: Input should be a multiple of 5"
    ):
        await langchain_tool(made).run(Call({"when": 3}))


async def test_who_listens_around_the_search_does_not_hear_of_calls() -> None:
    heard: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            heard.append("tool")

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            heard.append("chain")

    adapted = langchain_tool(weigh)

    async def search(item: str) -> str:
        return await ask(adapted, item=item)

    assert await RunnableLambda(search).ainvoke("nut", {"callbacks": [Listener()]}) == "nut: 3 kg"
    assert heard == ["chain"]


async def test_time_limits_hold() -> None:
    @tool
    async def wait() -> str:
        """Waits."""
        await asyncio.sleep(600)
        return ""

    with pytest.raises(OutcomeUnknownError, match="wait did not answer within"):
        await ask(langchain_tool(wait, seconds=0.05))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array"}, "takes 'array', not an object"),
        ({"type": "object", "properties": {"x": {"type": "texty"}}}, "is not a JSON schema"),
        (
            {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/x.json"}}},
            "refers to 'http://127.0.0.1:1/x.json'",
        ),
    ],
)
def test_schemas_that_are_none_are_refused(schema: dict[str, Any], message: str) -> None:
    made = StructuredTool(name="odd", description="Odd.", args_schema=schema, func=print)
    with pytest.raises(UserError, match=message):
        langchain_tool(made)


def test_what_is_not_a_langchain_tool_is_refused() -> None:
    with pytest.raises(UserError, match="is not a LangChain tool"):
        langchain_tool(print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_calls_are_not_traced_to_a_service() -> None:
    code = """
import asyncio
from langchain_core.tools import tool
from langsmith.utils import tracing_is_enabled
from thoughtgraph.tools.adapters.langchain import langchain_tool
from thoughtgraph.tools.base import Call

@tool
def traced() -> str:
    "Says whether it is."
    return str(bool(tracing_is_enabled()))

print(bool(tracing_is_enabled()), asyncio.run(langchain_tool(traced).run(Call({}))).text)
"""
    environment = {**os.environ, "LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True False\n", "")
