"""One sandboxed process as the host sees it: what is sent to it, what it says, and its certain end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import Self

from .limits import MAX_FILES

_READ = 1 << 16
_GONE = 5.0
"""Seconds after which a killed sandbox is given up; the kernel needs milliseconds."""
_LOOK = 0.05
"""Seconds between looks at the number of files: about 5,000 can be made meanwhile."""
_SOON = 1000
"""Files and pages of a file system that is taken away in milliseconds."""
_READY = b"\0\0\0\x09\0\0\0\x05ready"


class ProcessEnded(Exception):
    """The process is gone, or said something that its protocol does not know."""


class OutputExceeded(Exception):
    """The program wrote more than it may."""


class FilesExceeded(Exception):
    """The program made more files than it may."""


class Outlet:
    """What a process writes to one of its streams, up to a limit."""

    def __init__(self, fd: int, limit: int, full: asyncio.Event) -> None:
        self.data = bytearray()
        self._fd = fd
        self._limit = limit
        self._full = full
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self.read)

    @property
    def exceeded(self) -> bool:
        return len(self.data) > self._limit

    def read(self) -> None:
        """Take what is there."""
        while self._fd >= 0 and not self.exceeded:
            try:
                part = os.read(self._fd, _READ)
            except BlockingIOError:
                return
            except OSError:
                part = b""
            self.data += part
            if not part:
                self.close()
        if self.exceeded:
            self._full.set()
            self.close()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


class Channel:
    """A process that was started, with its streams. Used by one task at a time; `end` must be called.

    Args:
        process: its standard input is the other end of `wire`.
        wire: messages go both ways; see `inside.py`.
        streams: where its standard output and standard error are read.
        limit: bytes it may write to each stream.
        longest: longest message that it may send, in bytes.
        counted: whether it has a file system of its own, whose files are counted.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        wire: socket.socket,
        streams: Sequence[int],
        limit: int,
        longest: int,
        counted: bool,
    ) -> None:
        self._process = process
        self._wire = wire
        self._longest = longest
        self._counted = counted
        self._box = -1
        self._full = asyncio.Event()
        self.stdout = Outlet(streams[0], limit, self._full)
        self.stderr = Outlet(streams[1], limit, self._full)
        self._ended = False

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        first: bytes,
        limit: int,
        longest: int,
        counted: bool,
        given: Sequence[int] = (),
        environment: dict[str, str] | None = None,
        folder: str | None = None,
    ) -> Self:
        """Start a process, and send it what it begins with. Raises OSError if it cannot be started."""
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            wire, end = socket.socketpair()
            ours.callback(wire.close)
            theirs.callback(end.close)
            pipes = [os.pipe() for _ in range(2)]
            for reading, writing in pipes:
                ours.callback(os.close, reading)
                theirs.callback(os.close, writing)
            process = subprocess.Popen(
                command,
                stdin=end.fileno(),
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                env=environment if environment is not None else {},
                cwd=folder or "/",
                pass_fds=given,
                start_new_session=True,
            )
            wire.setblocking(False)
            with contextlib.suppress(OSError):  # nobody is there any more, as will be found out
                wire.sendall(first)  # fits in what the kernel holds for it
            ours.pop_all()
            return cls(process, wire, [reading for reading, _ in pipes], limit, longest, counted)

    async def ready(self) -> bool:
        """Wait for its first message; return whether that says that it is ready. Raises ProcessEnded if there is none."""
        # it brings a handle of its file system: any user can count files by that, and their memory is given back when it is closed, not at the process's end
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self._wire, there.set)
        try:
            await there.wait()
            said, handles, _, _ = socket.recv_fds(self._wire, 64, 1)
        except OSError as error:
            raise ProcessEnded from error
        finally:
            loop.remove_reader(self._wire)
        for self._box in handles:
            os.set_inheritable(self._box, False)
        return said == _READY and (self._box >= 0 or not self._counted)

    async def send(self, *fields: bytes) -> None:
        """Send a message. Raises ProcessEnded if nobody is there to take it."""
        body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
        try:
            await asyncio.get_running_loop().sock_sendall(self._wire, len(body).to_bytes(4, "big") + body)
        except OSError as error:
            raise ProcessEnded from error

    async def receive(self) -> list[bytes]:
        """Return the next message.

        Raises:
            ProcessEnded: if there is none, or it is malformed.
            OutputExceeded: if the program writes too much meanwhile.
            FilesExceeded: if it has too many files.
        """
        message = asyncio.ensure_future(self._message())
        full = asyncio.ensure_future(self._full.wait())
        crowded = asyncio.ensure_future(self._crowded())
        try:
            await asyncio.wait((message, full, crowded), return_when=asyncio.FIRST_COMPLETED)
            if self._full.is_set():
                raise OutputExceeded
            if crowded.done():
                raise FilesExceeded
            return message.result()
        finally:
            for waiting in (message, full, crowded):
                waiting.cancel()
            await asyncio.gather(message, full, crowded, return_exceptions=True)

    async def _crowded(self) -> None:
        """Return when there are too many files."""
        while not self._counted or _used(self._box)[0] <= MAX_FILES:
            await asyncio.sleep(_LOOK)

    async def _message(self) -> list[bytes]:
        size = int.from_bytes(await self._exactly(4), "big")
        if size > self._longest:
            raise ProcessEnded
        body = await self._exactly(size)
        fields: list[bytes] = []
        while body:
            end = 4 + int.from_bytes(body[:4], "big")
            if end > len(body):
                raise ProcessEnded
            fields.append(body[4:end])
            body = body[end:]
        return fields

    async def _exactly(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            try:
                part = await asyncio.get_running_loop().sock_recv(self._wire, min(count, _READ))
            except OSError as error:
                raise ProcessEnded from error
            if not part:
                raise ProcessEnded
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    async def end(self) -> int:
        """Kill it with all that it started, read what it wrote last, and return its exit status (negative: the signal). Never fails.

        A cancellation meanwhile is heeded after that.
        """
        ending = asyncio.ensure_future(self._end())
        cancelled = False
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError
        return ending.result()

    async def _end(self) -> int:
        if not self._ended:
            self._ended = True
            self._kill()
            await self._exit()
            for outlet in (self.stdout, self.stderr):
                outlet.read()
                outlet.close()
            self._wire.close()
            if self._box >= 0:
                _close(self._box)
        return self._process.wait()

    async def _exit(self) -> None:
        """Wait for the process to end, off the event loop."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        handle = os.pidfd_open(self._process.pid)
        loop.add_reader(handle, gone.set)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GONE):
                    await gone.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        if not gone.is_set():
            self._process.kill()

    def _kill(self) -> None:
        pid = self._process.pid
        # bubblewrap waits for the first process of the sandbox: where that is killed, both are collected by their parents and leave no zombie
        for child in _children(pid):
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
                return
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def _used(box: int) -> tuple[int, int]:
    """Return how many files and pages a file system in memory holds."""
    system = os.fstatvfs(box)
    return system.f_files - system.f_ffree, system.f_blocks - system.f_bfree


def _close(box: int) -> None:
    """Close the handle of a file system in memory, with which it goes: in the background where the kernel may need a second to take it away."""
    thread = threading.Thread(target=os.close, args=(box,))
    thread.start() if max(_used(box)) > _SOON else os.close(box)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        return []
