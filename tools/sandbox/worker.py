"""One sandboxed interpreter in use: its programs' time limits, and how they ended in words."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...graph.errors import ToolError
from .channel import Channel, FilesExceeded, OutputExceeded, ProcessEnded
from .limits import MAX_FILES, Finished, Limits, Status, clean

START = 30.0
"""Seconds in which a sandbox must be ready, on however busy a machine."""


class Stopped(Exception):
    """A snippet did not come to its end: the process that ran it is gone, or about to be."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one snippet ended."""

    status: Status
    value: str | None
    error: str


class Worker:
    """A process that runs snippets one after another in one namespace. Used by one task; `end` must be called."""

    def __init__(self, channel: Channel, limits: Limits, folder: str | None) -> None:
        self._channel = channel
        self._limits = limits
        self._folder = folder
        """Its own folder on the host, where it has no file system of its own."""

    async def ready(self) -> None:
        """Wait until it can take programs. Raises ToolError if it never can."""
        try:
            async with asyncio.timeout(START):
                if await self._channel.ready():
                    return
        except (ProcessEnded, OutputExceeded, TimeoutError):
            pass
        await self._channel.end()
        said = clean(bytes(self._channel.stderr.data)).strip().splitlines()
        raise ToolError(f"the sandbox did not start: {said[-1] if said else 'no reason given'}")

    async def prepare(self, sources: Sequence[str], files: Mapping[str, str]) -> None:
        """Write files, and seed the generators that the sources mention."""
        try:
            if any("random" in source for source in sources):
                modules = ["random"]
                if any("numpy" in source for source in sources):
                    modules.append("numpy.random")
                await self._channel.send(b"seed", " ".join(modules).encode())
            for name, text in files.items():
                await self._channel.send(b"file", _bytes(name), _bytes(text))
        except ProcessEnded as error:
            raise ToolError("the sandbox ended before its program began") from error

    async def quiet(self, code: str) -> None:
        """Run a snippet for what it leaves in the namespace. Raises Stopped if it does not end by itself."""
        await self._ask(b"quiet", b"quiet", _bytes(code))

    async def run(self, code: str, stdin: str = "") -> Finished:
        """Run the program itself; nothing can be run after it."""
        began = time.monotonic()
        verdict: Verdict | None = None
        status: Status
        try:
            if stdin:
                await self._channel.send(b"stdin", _bytes(stdin))
            verdict = _verdict(await self._ask(b"run", b"run", _bytes(code)))
            status = verdict.status
        except (ProcessEnded, Stopped) as error:
            status = error.status if isinstance(error, Stopped) else "killed"
        ended = await self._channel.end()
        seconds = time.monotonic() - began
        if self._channel.stdout.exceeded or self._channel.stderr.exceeded:
            status = "output"
        return Finished(
            status,
            self._text(self._channel.stdout.data),
            self._text(self._channel.stderr.data),
            verdict.value if verdict else None,
            verdict.error if verdict and verdict.error else self.reason(status, ended),
            seconds,
        )

    async def test(self, code: str, kind: Literal["test", "value", "equal"] = "test") -> Verdict:
        """Run a test after the program. Raises Stopped if it does not end by itself.

        Args:
            code: the test.
            kind: `test`: a snippet; `value`: an expression, whose value is wanted as a literal; `equal`: a literal, to compare the last value with.
        """
        nonce = secrets.token_bytes(16)
        fields = await self._ask(kind.encode(), b"test", nonce, _bytes(code))
        if not fields or not secrets.compare_digest(fields[0], nonce):
            raise Stopped("killed")
        return _verdict(fields[1:])

    async def end(self) -> None:
        """Kill the process if it is still there, and remove what it left. May be called again."""
        try:
            await self._channel.end()
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def reason(self, status: Status, ended: int = 0) -> str:
        """Return in words what stopped a program; "" if nothing did."""
        limits = self._limits
        match status:
            case "timeout":
                return f"stopped: the time limit of {limits.seconds:g} s was reached"
            case "output":
                return f"stopped: more than {limits.output_bytes} bytes were written to a stream"
            case "memory":
                return f"MemoryError: the limit is {limits.memory_mb} MB"
            case "files":
                return f"stopped: there were more than {MAX_FILES:,} files"
            case "killed":
                return f"the process ended before its program did ({_exit(ended)})"
            case _:
                return ""

    async def _ask(self, kind: bytes, reply: bytes, *fields: bytes) -> list[bytes]:
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._channel.send(kind, *fields)
                got = await self._channel.receive()
        except TimeoutError:
            raise Stopped("timeout") from None
        except OutputExceeded:
            raise Stopped("output") from None
        except FilesExceeded:
            raise Stopped("files") from None
        except ProcessEnded:
            raise Stopped("killed") from None
        if got[:1] != [reply]:
            raise Stopped("killed")
        return got[1:]

    def _text(self, data: bytearray) -> str:
        limit = self._limits.output_bytes
        return clean(bytes(data[:limit]))


def _verdict(fields: list[bytes]) -> Verdict:
    """Return what a message says. The program could have written it, so nothing in it is believed to be well formed."""
    if len(fields) != 3:
        raise Stopped("killed")
    status = fields[0].decode("ascii", "replace")
    if status not in ("ok", "error", "memory"):
        raise Stopped("killed")
    return Verdict(status, clean(fields[1]) if fields[1] else None, clean(fields[2]))


def _exit(ended: int) -> str:
    # a signal that ended a child of bubblewrap is told by it as 128 and its number, as a shell does
    number = -ended if ended < 0 else ended - 128
    if number in (int(signal.SIGKILL), 0) or number not in set(signal.Signals):
        return f"exit status {ended}"
    return signal.Signals(number).name


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
