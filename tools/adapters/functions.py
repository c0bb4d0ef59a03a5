"""Any function with a typed signature as a tool.

    def price(item: str, currency: Literal["EUR", "USD"] = "EUR") -> float:
        '''Looks up what an item costs, by its name in the catalogue.'''

    tool = function_tool(price, effect="idempotent")

The annotations become the JSON schema that a model is shown, and what it wrote becomes what they say.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

from ...graph.errors import ToolError, UnknownNameError, UserError
from ..base import Call, Effect, Tool, ToolReply
from .common import Overrides, as_text, complaint, plain_arguments, tool_name
from .threads import Threads


def function_tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "once",
    **overrides: Unpack[Overrides],
) -> Tool:
    """Return a function as a tool.

    The schema is made of its annotations by pydantic, which also makes what the function takes of what a model wrote: enums, dates, nested models.
    What it returns is shown as it is if it is text, else as JSON; it may return a `ToolReply`. What it raises is read by the agent.

    A coroutine function is stopped at its time limit. Any other runs in a thread, which cannot be: at the limit the agent is told so, and the call goes
    on unread (see `threads.py`), so set a time limit within the function too where it may hang.

    Args:
        function: sync or async; every parameter has a type and can be given by name.
        name: what a model calls it by; None is the function's own.
        description: what a model is told; None is its docstring up to the first section, whose `Args:` describe the parameters.
        effect: what a repeated call does; unless told otherwise, a second effect.
        overrides: further fields of `Tool`.

    Raises:
        UserError: on a signature that no tool can have, naming the parameter and the remedy.
    """
    # imported here: pydantic takes longer to import than all else
    from .signatures import Arguments, read_docstring

    own = getattr(function, "__name__", None) or getattr(_unwrapped(function), "__name__", "")
    whose = f"the function {own or function!r}"
    if not callable(function):
        raise UserError(f"{function!r} is not a function; give one with annotated parameters")
    if name is None and not own.isidentifier():
        raise UserError(f"{whose} has no name; give it one: function_tool(…, name='…')")
    summary, told = read_docstring(_docstring(function))
    said = description or summary
    if not said:
        raise UserError(
            f"{whose} has no docstring, so a model could not know what it does; write one, or give a description"
        )
    arguments = Arguments(function, whose, told)
    schema = arguments.schema()
    name = name or tool_name(own)
    overrides.setdefault("version", _version(function, schema))
    threads = Threads(name)

    async def run(call: Call) -> ToolReply:
        from pydantic import ValidationError

        try:
            values = arguments.read(plain_arguments(call.arguments))
        except ValidationError as error:
            raise ToolError(f"{name} cannot take its arguments: {complaint(error)}") from None
        return await _reply(function, values, name, threads)

    return Tool(name=name, description=said, parameters=schema, run=run, effect=effect, **overrides)


def imported_function(spec: str, *, effect: Effect = "once", **overrides: Unpack[Overrides]) -> Tool:
    """Return the tool that a text names: `package.module:name`, or `path/file.py:name`.

    What has this name is a function, a LangChain tool or retriever, or a `Tool`; see `adapted`. Its module is imported, so it is the operator's to name.

    Raises:
        UserError: if there is none such, the import fails, or it can be no tool.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name:
        raise UserError(f"no function is named {spec!r}; write module:function or path/file.py:function")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_path(where)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UnknownNameError(f"function in {where}", name, _offered(found) or ["(it has none)"])
        found = getattr(found, part)
    return adapted(found, effect=effect, **overrides)


def adapted(found: Any, *, effect: Effect = "once", **overrides: Unpack[Overrides]) -> Tool:
    """Return an object as a tool: a `Tool`, which stays as it is, a LangChain tool or retriever, which only reads, or a typed function.

    Raises:
        UserError: if it can be no tool.
    """
    if isinstance(found, Tool):
        return found
    if "langchain_core" in sys.modules:
        from langchain_core.retrievers import BaseRetriever
        from langchain_core.tools import BaseTool

        from .langchain import langchain_tool

        if isinstance(found, BaseTool):
            return langchain_tool(found, effect=effect, **overrides)
        if isinstance(found, BaseRetriever):
            from ..retrieval.retrievers import retriever_tool

            return retriever_tool(found, **overrides)
    return function_tool(found, effect=effect, **overrides)


def _offered(found: Any) -> list[str]:
    """Return the names of what could be a tool: of a module what it defines, not what it imports."""
    kinds: tuple[type, ...] = (Tool, functools.partial)
    if "langchain_core" in sys.modules:
        from langchain_core.retrievers import BaseRetriever
        from langchain_core.tools import BaseTool

        kinds = (*kinds, BaseTool, BaseRetriever)
    names: list[str] = []
    for name in dir(found):
        value = getattr(found, name, None)
        if not name.startswith("_") and (isinstance(value, kinds) or _is_own(value, found)):
            names.append(name)
    return names


def _is_own(value: Any, found: Any) -> bool:
    if not inspect.ismodule(found):
        return callable(value)
    of = str(getattr(value, "__module__", None))
    return inspect.isroutine(value) and f"{of}.".startswith(f"{found.__name__}.")


async def _reply(
    function: Callable[..., Any], values: dict[str, Any], name: str, threads: Threads
) -> ToolReply:
    if _is_async(function):
        try:
            return _shown(await function(**values))
        except SystemExit as error:
            raise ToolError(f"{name} failed: it raised SystemExit") from error

    def work() -> Any:
        result = function(**values)
        return result if inspect.isawaitable(result) else _shown(result)

    result = await threads.run(work)
    return result if isinstance(result, ToolReply) else _shown(await result)


def _shown(result: Any) -> ToolReply:
    return result if isinstance(result, ToolReply) else ToolReply(as_text(result))


def _unwrapped(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def _docstring(function: Callable[..., Any]) -> str:
    # a partial and an object with __call__ have the docstring of their class, which says nothing of what they do
    plain = inspect.isroutine(function) or inspect.isclass(function)
    found = inspect.getdoc(function) if plain else inspect.getdoc(_unwrapped(function))
    return found or ""


def _is_async(function: Callable[..., Any]) -> bool:
    plain = _unwrapped(function)
    return any(map(asyncio.iscoroutinefunction, (function, plain, getattr(plain, "__call__", None))))  # noqa: B004


def _version(function: Callable[..., Any], schema: dict[str, Any]) -> str:
    """Return a hash of what the function is, so that an answer is not taken for one of an earlier version."""
    try:
        source = inspect.getsource(_unwrapped(function))
    except (OSError, TypeError):
        source = repr(getattr(function, "__qualname__", ""))
    text = source + json.dumps(schema, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def _from_path(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"there is no module {module!r}; put its folder on PYTHONPATH, or name its file: path/file.py:function"
            ) from None
        raise _failed(module, error) from error
    except Exception as error:  # a module of the user's may raise anything
        raise _failed(module, error) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r}; name one as path/file.py:function")
    name = f"thoughtgraph_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(str(path), error) from error
    return module


def _failed(what: str, error: Exception) -> UserError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return UserError(f"importing {what} failed: {said[:300]}; mend it, then name it again")
