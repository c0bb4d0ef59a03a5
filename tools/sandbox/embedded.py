"""Python for snippets: pydantic-monty's interpreter of a subset of Python, in worker processes that hold nothing else.

A snippet is answered in a millisecond or less. It sees no file, no network, no environment and no function of this program: the interpreter has no such
calls unless they are given to it, and none is. Its limits of time and memory hold inside single operations too, for the interpreter checks them in
its own; should one not hold, the pool kills the worker a moment later. What the subset lacks (`yield`, inheritance, most modules) is an error that the agent reads.
"""

from __future__ import annotations

import _ast
import asyncio
import contextlib
import glob
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...graph.errors import ToolError, UserError
from ..base import Call, Tool, ToolReply
from .limits import CODE_PARAMETERS, clean, message
from .replay import Spoilt

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, AsyncMontySession, CollectStreams

_GRACE = 0.25
"""Seconds past its time limit after which a worker is killed."""
_THREAD = "Name:\ttokio-rt-worke"
"""How the status of a native thread of the interpreter begins (the kernel cuts names)."""
_LOOK, _LOOKS = 0.005, 100
"""Seconds between looks at those threads, and most looks."""
_SHOW = "_v_"
"""Name, in the sandbox, of the function that turns the value of the last expression into text there: on this side its text could be endless."""
_MAX_SOURCE = 20_000
"""Longest program that is parsed here, to find its last expression, in characters; that of longer ones is not shown."""
_SHOWN_LINE = re.compile(rf"^(\s*)(.*){_SHOW}\(\((.*)\)\)(.*)$")
_MARKS = re.compile(r"^[\s~^]*$")


@dataclass(frozen=True, slots=True)
class EmbeddedLimits:
    """Limits of one snippet.

    Raises:
        UserError: on one that no snippet can have.
    """

    seconds: float = 2.0
    """Execution time (> 0)."""
    memory_mb: int = 64
    """The interpreter's heap (≥ 1)."""
    recursion: int = 500
    """Calls within calls (≥ 1)."""
    output_bytes: int = 100_000
    """What it may print (≥ 1)."""
    value_chars: int = 10_000
    """Longest value that is shown, in characters (≥ 1)."""

    def __post_init__(self) -> None:
        whole = (self.memory_mb, self.recursion, self.output_bytes, self.value_chars)
        if not (self.seconds > 0 and min(whole) >= 1):
            raise UserError(f"no snippet can run within {self}; seconds is above 0, and the others 1 or more")


def embedded_python(
    *,
    seconds: float = 2.0,
    memory_mb: int = 64,
    recursion: int = 500,
    output_bytes: int = 100_000,
    value_chars: int = 10_000,
    workers: int | None = None,
) -> Tool:
    """Return the tool `python` that runs snippets in the embedded interpreter.

    State: snippets before on the same path are run again first, as `process` does. Sleeping is allowed for a quarter of the time limit and `random` is seeded; the
    clock is the host's, which a pure tool does not count as an input.

    Args:
        seconds: see `EmbeddedLimits`, as the next four.
        memory_mb: bound of the heap.
        recursion: bound of the call stack.
        output_bytes: bound of what is printed.
        value_chars: bound of the value shown.
        workers: processes at most; by default one a processor, 4 or more.

    Raises:
        UserError: on an impossible limit, or if pydantic-monty is not installed.
    """
    limits = EmbeddedLimits(seconds, memory_mb, recursion, output_bytes, value_chars)
    interpreter = Embedded(limits, workers or max(4, os.cpu_count() or 4))

    async def run(call: Call) -> ToolReply:
        earlier = [str(arguments["code"]) for arguments in call.earlier]
        return ToolReply(await interpreter.run(call.arguments["code"], earlier) or "(no output)")

    return Tool(
        name="python",
        description=(
            "Runs a snippet in a small Python (no third-party packages, no classes that inherit, no generators; math, re, json, itertools, datetime "
            "and the like are there), and answers with what was printed and the value of the last expression. "
            f"Variables of earlier calls are there. Time limit {seconds:g} s."
        ),
        parameters=CODE_PARAMETERS,
        run=run,
        effect="pure",
        seconds=30 + 8 * seconds,
        parallel=64,
        stateful=True,
        language="python",
        version=f"monty-{_version()}",
        close=interpreter.aclose,
    )


class Embedded:
    """Runs snippets in pools of workers, one pool an event loop.

    Args:
        limits: of each snippet.
        workers: processes at most.
    """

    def __init__(self, limits: EmbeddedLimits, workers: int) -> None:
        self._limits = limits
        self._workers = workers
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[AsyncMonty]] = (
            WeakKeyDictionary()
        )
        self._spoilt = Spoilt()

    async def run(self, code: str, earlier: Sequence[str] = ()) -> str:
        """Run a snippet after others, and return what it printed and the value of its last expression, if it is not None.

        Raises:
            ToolError: if it raises or hits a limit: what it printed, and the traceback or the limit.
        """
        pool = await self._pool()
        kept = self._spoilt.worth(earlier)
        while True:
            found = await self._tried(pool, kept, code)
            if isinstance(found, str):
                return found
            self._spoilt.remember(kept[: found + 1])
            del kept[found]

    async def aclose(self) -> None:
        """End the workers of this event loop."""
        opened = self._pools.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await (await opened).__aexit__(None, None, None)
            await _idle()

    async def _pool(self) -> AsyncMonty:
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools[loop] = asyncio.create_task(self._opened())
        return await asyncio.shield(self._pools[loop])

    async def _opened(self) -> AsyncMonty:
        from pydantic_monty import AsyncMonty

        pool = AsyncMonty(
            max_processes=self._workers,
            request_timeout=2 * self._limits.seconds + _GRACE,
            feed_duration_limit_grace=_GRACE,
            max_checkouts_per_worker=1000,
        )
        return await pool.__aenter__()

    async def _tried(self, pool: AsyncMonty, kept: Sequence[str], code: str) -> str | int:
        """Return what the last snippet answers, or the place of the earlier one that spoils the session."""
        from pydantic_monty import CollectStreams, MontyError

        limits = self._limits
        checkout = pool.checkout(
            limits={
                "max_feed_duration_secs": limits.seconds,
                "max_memory": limits.memory_mb << 20,
                "max_recursion_depth": limits.recursion,
                "max_total_sleep_secs": limits.seconds / 4,
            },
            os_policy={"random_start": {"seed": 0}},
        )
        async with checkout as session:
            show = f"def {_SHOW}(v): return None if v is None else repr(v)[:{limits.value_chars}]"
            await session.feed_run(show)
            for place, snippet in enumerate(kept):
                if not await _replayed(session, snippet, CollectStreams(limits.output_bytes)):
                    return place
            printed = CollectStreams(limits.output_bytes)
            try:
                value = await session.feed_run(showing(code), print_callback=printed)
            except MontyError as error:
                raise ToolError(message(_text(printed), clean(_explained(error, limits)))) from None
            except UnicodeError:
                raise ToolError("SyntaxError: the program is no valid Unicode text") from None
            # another type than text comes of a program that replaced the function, and is not looked at
            parts = (_text(printed).rstrip("\n"), clean(value) if isinstance(value, str) else "")
            return "\n".join(part for part in parts if part)


async def _idle() -> None:
    """Wait until the interpreter's native threads, which are never joined, rest: one that still lets go of Python objects while Python ends aborts the process.

    A thread that waits for Python's lock while this sleeps is woken, which shows in its counts. Bounded, for other event loops may keep the threads at work.
    """
    before: list[str] = []
    for _ in range(_LOOKS):
        await asyncio.sleep(_LOOK)
        now = _native_threads()
        if now == before and not any("\nState:\tR" in text for text in now):
            return
        before = now


def _native_threads() -> list[str]:
    """Return what the kernel tells of them: state and context switches; nothing elsewhere than on Linux."""
    found: list[str] = []
    for path in sorted(glob.glob("/proc/self/task/*/status")):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            text = file.read()
            if text.startswith(_THREAD):
                found.append(text)
    return found


async def _replayed(session: AsyncMontySession, snippet: str, printed: CollectStreams) -> bool:
    """Run an earlier snippet; return whether the session is still sound."""
    from pydantic_monty import MontyCrashedError, MontyError

    try:
        await session.feed_run(showing(snippet), print_callback=printed)
    except MontyCrashedError:
        return False
    except MontyError as error:
        return not isinstance(error.exception(), (TimeoutError, MemoryError))
    except UnicodeError:
        return True
    return True


def showing(code: str) -> str:
    """Return the program with the value of its last expression made text; as it is where there is none or it cannot be parsed."""
    if len(code) > _MAX_SOURCE:
        return f"{code}\nNone"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the program's text; it is not ours
            tree: Any = compile(code, "<program>", "exec", _ast.PyCF_ONLY_AST | 0x2000, True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    if not tree.body or not isinstance(tree.body[-1], _ast.Expr):
        return code
    last = tree.body[-1]
    lines = code.encode().splitlines(keepends=True)  # positions count bytes
    before = sum(map(len, lines[: last.lineno - 1])) + last.col_offset
    after = sum(map(len, lines[: last.end_lineno - 1])) + last.end_col_offset
    text = b"".join(lines)
    return (text[:before] + f"{_SHOW}((".encode() + text[before:after] + b"))" + text[after:]).decode()


def _explained(error: Any, limits: EmbeddedLimits) -> str:
    """Return an error as the agent reads it: a traceback in terms of its own text, or which limit was hit."""
    from pydantic_monty import MontyCrashedError

    if isinstance(error, MontyCrashedError):
        if error.timed_out:
            return f"stopped: the time limit of {limits.seconds:g} s was reached"
        return f"stopped: the interpreter ended, most likely at its memory limit of {limits.memory_mb} MB"
    display = getattr(error, "display", None)
    text = str(display() if display is not None else error)
    lines: list[str] = []
    cut = False
    for line in text.splitlines():
        found = _SHOWN_LINE.match(line)
        shown = found.expand(r"\1\2\3\4") if found else line
        lines.append(shown[len(_SHOW) + 2 :] if cut and _MARKS.match(line) else shown)
        cut = found is not None
    return re.sub(r"<python-input-\d+>", "<program>", "\n".join(lines))[-limits.value_chars :]


def _text(printed: CollectStreams) -> str:
    return clean("".join(part for _, part in printed.output))


def _version() -> str:
    try:
        from pydantic_monty import __version__
    except ImportError as error:
        raise UserError(
            "the embedded interpreter needs pydantic-monty; pip install pydantic-monty"
        ) from error
    return __version__
