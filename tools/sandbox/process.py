r"""Python in a process of its own behind bubblewrap: programs that are run once, in an interpreter that is thrown away.

    sandbox = Sandbox()
    finished = await sandbox.run("import numpy\nnumpy.arange(4).sum()")
    finished.status, finished.value     # "ok", "np.int64(6)"

State: the snippets before on the same path are run again first, in order, their output dropped and their errors swallowed. A child of a thought thus
sees what its parent did and nothing of its sibling, and there is nothing to keep or to lose between calls. It costs their time again at each call, so a path
of k snippets costs k times k/2 of them; hashes and generators are seeded, so they do the same again. A snippet that hits a limit, or ends its
process, is left out: it is as if it had never been run.
"""

from __future__ import annotations

import asyncio
import platform
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Self

from ...graph.errors import ToolError, UserError
from ..base import Call, Tool, ToolReply
from . import jail
from .boundary import Acceptance, require
from .channel import Channel
from .limits import CODE_PARAMETERS, Finished, Limits
from .replay import Spoilt
from .seccomp import seccomp_filter
from .worker import START, Stopped, Worker


class Sandbox:
    """Runs programs, each in a process of its own. Safe to share within one event loop.

    Args:
        limits: of each program, unless a call says otherwise.
        packages: what can be imported besides the standard library, where this interpreter has it.
        preload: modules that are imported before the program starts, out of its time.
        warm: how many processes wait, started and preloaded; each is used once and replaced.
        accept: `rlimits` accepts a plain process where the host gives no boundary, see `boundary`.

    Raises:
        UserError: if the host gives no such boundary; the message says how to get it.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        packages: Sequence[str] = jail.PACKAGES,
        preload: Sequence[str] = (),
        warm: int = 0,
        accept: Acceptance | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.tier = require(accept)
        self._interpreter, mounts = jail.interpreter_mounts()
        self._mounts = [*mounts, *jail.package_mounts(packages)]
        self._preload = " ".join(preload)
        self._warm_size = warm
        self._warm: deque[asyncio.Task[Worker]] = deque()
        self._spoilt = Spoilt()
        self._closed = False

    async def run(
        self,
        code: str,
        *,
        earlier: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Finished:
        """Run one program to its end or its limit.

        Args:
            code: the program.
            earlier: snippets that are run before it, for what they leave in its namespace; each has the time limit for itself.
            files: text files that it finds in its folder, by relative path.
            stdin: what it reads from standard input.
            limits: instead of the sandbox's.

        Raises:
            UserError: on a path that leaves the folder.
            ToolError: if the sandbox could not be started.
        """
        limits = limits or self.limits
        kept = self._spoilt.worth(earlier)
        while True:
            async with self.process(limits, [*kept, code], files) as worker:
                done = 0
                try:
                    for snippet in kept:
                        await worker.quiet(snippet)
                        done += 1
                except Stopped:
                    self._spoilt.remember(kept[: done + 1])
                    del kept[done]
                    continue
                return await worker.run(code, stdin)

    @asynccontextmanager
    async def process(
        self,
        limits: Limits | None = None,
        sources: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Worker]:
        """Give a process that is ready, and end it for certain.

        Args:
            limits: as for `run`.
            sources: what it is going to run, as far as that is known: decides which generators are seeded.
            files: as for `run`.

        Raises:
            UserError: on a path that leaves the folder.
            ToolError: if it could not be started.
        """
        checked = _checked(files or {})
        worker = await self._take(limits or self.limits)
        try:
            await worker.prepare(sources, checked)
            yield worker
        finally:
            await worker.end()

    async def warm_up(self) -> None:
        """Wait until the processes that are to wait do so. Raises ToolError if they cannot be started."""
        self._refill()
        await asyncio.gather(*self._warm)

    async def aclose(self) -> None:
        """End the processes that wait."""
        self._closed = True
        while self._warm:
            task = self._warm.popleft()
            if not task.done():  # of a loop that is closed, all are
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                await task.result().end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _take(self, limits: Limits) -> Worker:
        if self._warm_size and limits == self.limits and not self._closed:
            self._refill()
            task = self._warm.popleft()
            self._refill()
            try:
                return await task
            except asyncio.CancelledError:
                if task.done() and not task.cancelled() and task.exception() is None:
                    await task.result().end()
                raise
        return await self._started(limits)

    def _refill(self) -> None:
        while len(self._warm) < self._warm_size and not self._closed:
            self._warm.append(asyncio.create_task(self._started(self.limits)))

    async def _started(self, limits: Limits) -> Worker:
        worker = self._start(limits)
        try:
            await worker.ready()
        except BaseException:
            await worker.end()
            raise
        return worker

    def _start(self, limits: Limits) -> Worker:
        jailed = self.tier == "bubblewrap"
        refused = seccomp_filter(threads=limits.threads, execute=jailed) if self.tier != "rlimits" else b""
        arguments = jail.arguments(limits, self._preload, None if jailed else refused)
        longest = 64 * limits.value_chars + 4096
        try:
            if not jailed:
                folder = tempfile.mkdtemp(prefix="box-")
                environment = jail.plain_environment(self._mounts, folder)
                interpreter = str(next(m.source for m in self._mounts if m.target == self._interpreter))
                command = jail.interpreter_command(interpreter, arguments)
                channel = Channel.start(
                    command,
                    first=jail.inside(),
                    limit=limits.output_bytes,
                    longest=longest,
                    counted=False,
                    environment=environment,
                    folder=folder,
                )
                return Worker(channel, limits, folder)
            program = jail.interpreter_command(self._interpreter, arguments)
            with jail.jail_command(self._mounts, limits, refused, program) as (command, given):
                channel = Channel.start(
                    command,
                    first=jail.inside(),
                    limit=limits.output_bytes,
                    longest=longest,
                    counted=True,
                    given=given,
                )
        except OSError as error:
            raise ToolError(f"the sandbox could not be started: {error}") from error
        return Worker(channel, limits, None)


def _checked(files: Mapping[str, str]) -> Mapping[str, str]:
    for name in files:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise UserError(f"a program cannot have a file {name!r}; give paths below its folder")
    return files


def sandboxed_python(
    sandbox: Sandbox | None = None,
    *,
    limits: Limits | None = None,
    packages: Sequence[str] = jail.PACKAGES,
    preload: Sequence[str] = (),
    warm: int = 0,
    accept: Acceptance | None = None,
) -> Tool:
    """Return the tool `python` that runs snippets in a sandboxed process.

    It counts as pure: a call leaves nothing behind, hashes and generators are seeded, and an equal call on an equal path may as well be answered from
    the store. What can still differ is what a step of reasoning does not ask for: the clock, addresses, entropy of the system, and whether something slow
    just meets its time limit. Where that matters, `dataclasses.replace(tool, effect="idempotent")`.

    Args:
        sandbox: where snippets run; by default one is made of the other arguments, see `Sandbox`.
        limits: see `Sandbox`.
        packages: see `Sandbox`.
        preload: see `Sandbox`.
        warm: see `Sandbox`.
        accept: see `Sandbox`.

    Raises:
        UserError: if the host gives no such boundary; the message says how to get it.
    """
    box = sandbox or Sandbox(limits, packages=packages, preload=preload, warm=warm, accept=accept)

    async def run(call: Call) -> ToolReply:
        earlier = [str(arguments["code"]) for arguments in call.earlier]
        finished = await box.run(call.arguments["code"], earlier=earlier)
        if finished.status != "ok":
            raise ToolError(finished.message())
        return ToolReply(finished.text() or "(no output)")

    names = ", ".join(packages)
    return Tool(
        name="python",
        description=(
            "Runs Python in a sandbox without network and files, and answers with what was printed and the value of the last expression. "
            f"Variables of earlier calls are there.{f' Available packages: {names}.' if names else ''} Time limit {box.limits.seconds:g} s."
        ),
        parameters=CODE_PARAMETERS,
        run=run,
        effect="pure",
        seconds=START + 8 * box.limits.seconds,
        stateful=True,
        language="python",
        version=f"process-{box.tier}-{platform.python_version()}",
        close=box.aclose,
    )
