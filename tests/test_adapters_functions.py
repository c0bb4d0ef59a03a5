from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from thoughtgraph.graph.errors import OutcomeUnknownError, ToolError, UnknownNameError, UserError
from thoughtgraph.tools.adapters.functions import function_tool, imported_function
from thoughtgraph.tools.adapters.signatures import read_docstring
from thoughtgraph.tools.base import Call, Tool, ToolReply
from thoughtgraph.tools.calling import call_tool, check_arguments


async def ask(tool: Tool, **arguments: Any) -> str:
    check_arguments(tool, arguments)
    return (await call_tool(tool, Call(arguments))).text


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


def everything(
    item: str,
    colour: Colour,
    where: Point,
    when: date,
    tags: list[str],
    unit: Literal["kg", "lb"] = "kg",
    most: int | None = None,
    ratio: Annotated[float, Field(ge=0, le=1, description="its own words")] = 0.5,
    _json: dict[str, int] | None = None,
) -> str:
    """Look up an item.

    It may take a while.

    Args:
        item: name as in the
            catalogue.
        colour (Colour): which one.
        ratio: not these words.
        _json: more.

    Returns:
        What there is.
    """
    return f"{item} {colour} {where.x + where.y} {when.year} {tags} {unit} {most} {ratio} {_json}"


def test_the_schema_is_that_of_the_signature() -> None:
    tool = function_tool(everything)
    assert (tool.name, tool.effect) == ("everything", "once")
    assert tool.description == "Look up an item.\n\nIt may take a while."
    properties = tool.parameters["properties"]
    assert tool.parameters["required"] == ["item", "colour", "where", "when", "tags"]
    assert tool.parameters["additionalProperties"] is False
    assert properties["item"] == {"type": "string", "description": "name as in the catalogue."}
    assert properties["unit"] == {"type": "string", "enum": ["kg", "lb"], "default": "kg"}
    assert properties["ratio"]["description"] == "its own words"
    assert properties["_json"]["description"] == "more."
    assert tool.parameters["$defs"]["Colour"] == {"enum": ["red", "blue"], "type": "string"}
    assert tool.parameters["$defs"]["Point"]["required"] == ["x"]


async def test_arguments_become_what_the_function_takes() -> None:
    tool = function_tool(everything)
    said = await ask(tool, item="nut", colour="blue", where={"x": 3}, when="2024-02-29", tags=["a"])
    assert said == "nut Colour.BLUE 3 2024 ['a'] kg None 0.5 None"
    for wrong, message in [
        ({"colour": "green"}, "'green'"),
        ({"where": {"y": 1}}, "'x' is a required property"),
        ({"when": "yesterday"}, "when: Input should be a valid date"),
        ({"unit": "t"}, "its argument 'unit'"),
        ({"ratio": 2}, "its argument 'ratio'"),
        ({"else": 1}, "else"),
        ({"item": None}, "its argument 'item'"),
    ]:
        good: dict[str, Any] = {
            "item": "nut",
            "colour": "red",
            "where": {"x": 3},
            "when": "2024-02-29",
            "tags": [],
        }
        with pytest.raises(ToolError, match=message):
            await ask(tool, **{**good, **wrong})


def test_a_function_of_one_text_can_be_called_by_text() -> None:
    assert function_tool(shout).text_argument == "text"


def shout(text: str, times: int = 1) -> str:
    """Shouts."""
    return text.upper() * times


@dataclass
class Found:
    price: Decimal
    on: date


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        (2, "2"),
        ([1, "é"], '[1,"é"]'),
        ({"a": {1}}, '{"a":[1]}'),
        (Found(Decimal("1.50"), date(2024, 1, 2)), '{"price":"1.50","on":"2024-01-02"}'),
        (Point(x=1), '{"x":1,"y":0}'),
        (float("nan"), "NaN"),
        (b"\xff", '"_w=="'),
        (Ellipsis, '"Ellipsis"'),
        ("\ud800", "\ud800"),
        (["\ud800"], "['\\ud800']"),
    ],
)
async def test_results_as_text(value: Any, text: str) -> None:
    def give() -> Any:
        """Gives it."""
        return value

    assert await ask(function_tool(give)) == text


async def test_a_result_in_a_circle_is_text_too() -> None:
    def give() -> Any:
        """Gives it."""
        circle: list[Any] = []
        circle.append(circle)
        return circle

    assert await ask(function_tool(give)) == "[[...]]"


async def test_a_reply_passes_through() -> None:
    async def check(text: str) -> ToolReply:
        """Checks."""
        return ToolReply(text, ok=False)

    assert await call_tool(function_tool(check), Call({"text": "x"})) == ToolReply("x", ok=False)


async def test_all_kinds_of_callables() -> None:
    class Shop:
        def price(self, item: str) -> int:
            """Its price."""
            return len(item)

        async def __call__(self, item: str) -> str:
            """Calls."""
            await asyncio.sleep(0)
            return f"called {item}"

    def later(text: str) -> Any:
        """Gives a coroutine."""
        return asyncio.sleep(0, text)

    assert await ask(function_tool(Shop().price), item="nut") == "3"
    assert await ask(function_tool(Shop(), name="shop", description="It shops."), item="nut") == "called nut"
    twice = functools.partial(shout, times=2)
    assert await ask(function_tool(twice, name="twice"), text="a") == "AA"
    assert await ask(function_tool(later), text="a") == "a"
    assert await ask(function_tool(lambda: 3, name="three", description="Gives three.")) == "3"


class Odd:
    pass


def bare(a, b: int): ...  # type: ignore[no-untyped-def]  # pyright: ignore
def positional(a: int, /) -> None: ...
def many(*values: int) -> None: ...
def named(**values: int) -> None: ...
def odd(value: Odd) -> None: ...
def calls(back: Callable[[int], int]) -> None: ...
def unknown(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (cast("Any", bare), "the parameter 'a' of the function 'bare' has no type; write `a: str`"),
        (
            cast("Any", positional),
            "the parameter 'a' of the function 'positional' is positional-only; remove the '/'",
        ),
        (many, "the parameter 'values' of the function 'many' takes any number of values; make it one"),
        (named, "the parameter 'values' of the function 'named' takes any names; write out"),
        (
            odd,
            "the parameter 'value' of the function 'odd' is of the type .*Odd, which cannot be written as JSON",
        ),
        (
            calls,
            "the parameter 'back' of the function 'calls' is of the type .*Callable.*, which cannot be written as JSON",
        ),
        (cast("Any", unknown), "name 'Nowhere' is not defined.*import its name"),
        (3, "is not a function"),
        (lambda: 3, "has no name"),
    ],
)
def test_what_can_be_no_tool_is_refused(function: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        function_tool(function, description="It does.")


def test_a_function_without_a_docstring_is_refused() -> None:
    with pytest.raises(UserError, match="the function 'odd' has no docstring"):
        function_tool(odd)


async def test_what_a_function_raises_is_read() -> None:
    def broken(how: str) -> str:
        """Breaks."""
        if how == "exit":
            sys.exit(3)
        if how == "stop":
            raise StopIteration
        if how == "tool":
            raise ToolError("no such item; see the catalogue")
        raise KeyError(how)

    async def leaves() -> str:
        """Leaves."""
        sys.exit(3)

    tool = function_tool(broken)
    with pytest.raises(ToolError, match="broken failed: KeyError: 'x'"):
        await ask(tool, how="x")
    with pytest.raises(ToolError, match=r"^no such item; see the catalogue$"):
        await ask(tool, how="tool")
    with pytest.raises(ToolError, match="broken failed: it raised StopIteration"):
        await ask(tool, how="stop")
    with pytest.raises(ToolError, match="broken failed: it raised SystemExit"):
        await ask(tool, how="exit")
    with pytest.raises(ToolError, match="leaves failed: it raised SystemExit"):
        await ask(function_tool(leaves))


async def test_what_is_recorded_cannot_be_changed() -> None:
    def add(values: list[int], more: dict[str, Any]) -> int:
        """Adds."""
        values.append(99)
        more["x"] = 1
        return sum(values)

    given: dict[str, Any] = {"values": [1, 2], "more": {}}
    assert await ask(function_tool(add), **given) == "102"
    assert given == {"values": [1, 2], "more": {}}


async def test_a_function_that_hangs_is_given_up_and_not_called_forever() -> None:
    released = threading.Event()

    def wait() -> str:
        """Waits."""
        released.wait()
        return "at last"

    tool = replace(function_tool(wait), seconds=0.05)
    try:
        for _ in range(8):
            with pytest.raises(OutcomeUnknownError, match="did not answer within"):
                await ask(tool)
        with pytest.raises(ToolError, match="8 calls that were stopped by their time limit still run"):
            await ask(tool)
    finally:
        released.set()
    deadline = time.monotonic() + 5
    while any(t.name == "tool wait" for t in threading.enumerate()) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert await ask(replace(tool, seconds=5)) == "at last"


def test_a_function_that_hangs_does_not_keep_the_program() -> None:
    code = """
import asyncio, time
from thoughtgraph.tools.adapters.functions import function_tool
from thoughtgraph.tools.base import Call
from thoughtgraph.tools.calling import call_tool
def wait() -> None:
    "Waits."
    time.sleep(600)
tool = function_tool(wait, seconds=0.1)
try:
    asyncio.run(call_tool(tool, Call({})))
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "OutcomeUnknownError", "")


async def test_an_async_function_is_stopped() -> None:
    ended: list[str] = []

    async def wait() -> None:
        """Waits."""
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("stopped")

    with pytest.raises(OutcomeUnknownError, match="was stopped"):
        await ask(function_tool(wait, seconds=0.05))
    assert ended == ["stopped"]


async def test_sync_functions_run_beside_each_other() -> None:
    barrier = threading.Barrier(4, timeout=10)

    def meet() -> str:
        """Meets."""
        barrier.wait()
        return "met"

    tool = function_tool(meet)
    assert await asyncio.gather(*(ask(tool) for _ in range(4))) == ["met"] * 4


async def test_long_replies_are_cut() -> None:
    tool = function_tool(shout, max_reply=10)
    assert (await ask(tool, text="ab", times=100)).startswith("ABABABABAB\n[cut off here: 190 of 200")


def test_the_version_follows_the_code() -> None:
    def one() -> int:  # pyright: ignore[reportRedeclaration]
        """Gives."""
        return 1

    first = function_tool(one)

    def one() -> int:
        """Gives."""
        return 2

    assert first.version != function_tool(one).version
    assert function_tool(one).version == function_tool(one).version
    assert function_tool(one, version="7").version == "7"


def test_docstrings() -> None:
    assert read_docstring("One line.") == ("One line.", {})
    assert read_docstring("") == ("", {})
    summary, told = read_docstring(
        "Does.\n\nArgs:\n    a: one\n\n        more\n    *b (int, optional): two: three\nReturns:\n    c: no"
    )
    assert summary == "Does."
    assert told == {"a": "one  more", "b": "two: three"}


@given(st.text())
def test_any_docstring_can_be_read(text: str) -> None:
    read_docstring(f"Args:\n{text}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "shop.py").write_text(
        """
from __future__ import annotations
from dataclasses import dataclass
from langchain_core.tools import tool
from thoughtgraph.tools.calculator import calculator_tool

@dataclass
class Order:
    item: str
    count: int = 1

def total(orders: list[Order]) -> int:
    "Counts the items."
    return sum(order.count for order in orders)

@tool
def weigh(item: str) -> str:
    "Weighs an item."
    return f"{item}: 3 kg"

ready = calculator_tool()
number = 3
"""
    )
    (tmp_path / "broken.py").write_text("1 / 0")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("thoughtgraph_user_")]:
        del sys.modules[name]


async def test_tools_by_the_file_and_name_of_their_function(folder: Path) -> None:
    tool = imported_function(f"{folder}/shop.py:total", effect="pure", seconds=3)
    assert (tool.name, tool.effect, tool.seconds) == ("total", "pure", 3)
    assert await ask(tool, orders=[{"item": "nut", "count": 2}, {"item": "bolt"}]) == "3"
    assert await ask(imported_function(f"{folder}/shop.py:weigh"), item="nut") == "nut: 3 kg"
    assert imported_function(f"{folder}/shop.py:ready").name == "calculator"
    assert imported_function("thoughtgraph.tools.adapters.signatures:read_docstring").name == "read_docstring"


def test_what_is_offered_is_what_a_module_defines(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"choose one of: ready, total, weigh$"):
        imported_function(f"{folder}/shop.py:xyz")
    (folder / "more.py").write_text(
        "from functools import partial\n"
        "from shutil import copy\n"
        "from langchain_core.retrievers import BaseRetriever\n"
        "from langchain_core.tools import StructuredTool, tool\n"
        "class Found(BaseRetriever):\n"
        "    def _get_relevant_documents(self, query, *, run_manager): return []\n"
        "def one(a: int) -> int:\n"
        "    'Returns it.'\n"
        "    return a\n"
        "lc = StructuredTool.from_function(one)\n"
        "found = Found()\n"
        "two = partial(one)\n"
    )
    with pytest.raises(UnknownNameError, match=r"choose one of: found, lc, one, two$"):
        imported_function(f"{folder}/more.py:xyz")
    (folder / "none.py").write_text("from shutil import copy\n")
    with pytest.raises(UnknownNameError, match=r"choose one of: \(it has none\)$"):
        imported_function(f"{folder}/none.py:xyz")
    with pytest.raises(UnknownNameError, match="did you mean 'dumps'"):
        imported_function("json:dumpss")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("shop.py", UserError, "write module:function or path/file.py:function"),
        ("{}/missing.py:f", UserError, "there is no file"),
        ("{}/shop.py:totel", UnknownNameError, "unknown function 'totel' in .*did you mean 'total'"),
        ("{}/shop.py:number", UserError, "3 is not a function"),
        ("{}/broken.py:f", UserError, "failed: ZeroDivisionError: division by zero; mend it"),
        ("no_such_module_at_all:f", UserError, "put its folder on PYTHONPATH"),
        ("json.no_such:f", UserError, "there is no module"),
    ],
)
def test_names_that_are_none(folder: Path, spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        imported_function(spec.format(folder))
