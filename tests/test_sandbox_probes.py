"""Nothing gets out of the Python sandbox, and everything is stopped within its limit and half a second (see `sandbox_probes`)."""

from __future__ import annotations

import os
import platform
import resource
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sandbox_host import needs_sandbox
from sandbox_probes import KERNEL, PRELUDE, PROBES, Probe

from thoughtgraph.tools.sandbox.limits import Finished, Limits
from thoughtgraph.tools.sandbox.process import Sandbox

pytestmark = needs_sandbox

LIMITS = Limits(seconds=1.0, memory_mb=512, disk_mb=16)
SLACK = 0.5
TYPOS = ("NameError", "AttributeError", "SyntaxError", "TypeError", "UnboundLocalError")
"""A probe that fails like this has tried nothing."""


@dataclass
class Host:
    """What lies about to be taken."""

    words: dict[str, str]
    secret: Path
    victim: subprocess.Popen[bytes]
    listeners: list[socket.socket] = field(default_factory=list[socket.socket])

    def filled(self, code: str) -> str:
        for word in sorted(self.words, key=len, reverse=True):
            code = code.replace(word, self.words[word])
        return code

    def touched(self) -> bool:
        """Whether anything was taken, written or reached."""
        reached = False
        for listener in self.listeners:
            try:
                listener.recv(1) if listener.type == socket.SOCK_DGRAM else listener.accept()
                reached = True
            except BlockingIOError:
                continue
        return reached or self.victim.poll() is not None or self.secret.read_text() != self.words["HOST_WORD"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    word = "bait" + secrets.token_hex(8)
    os.environ["THOUGHTGRAPH_PROBE"] = word
    (folder / "secret").write_text(word)
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port = tcp.getsockname()[1]
    udp.bind(("127.0.0.1", port))
    unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    unix.bind(str(folder / "unix"))
    abstract.bind(f"\0{word}")
    for listener in (unix, abstract):
        listener.listen()
    words = {
        "HOST_SECRET": str(folder / "secret"),
        "HOST_LIBRARY": str(Path(os.__file__).parent),
        "HOST_PROJECT": str(Path(__file__).parent.parent),
        "HOST_WORD": word,
        "HOST_PID": str(victim.pid),
        "HOST_PORT": str(port),
        "HOST_SOCKET": str(folder / "unix"),
        "HOST_ABSTRACT": word,
        "HOST_NAME": platform.node(),
    }
    listeners = [tcp, udp, unix, abstract]
    for listener in listeners:
        listener.setblocking(False)
    yield Host(words, folder / "secret", victim, listeners)
    victim.kill()
    victim.wait()
    del os.environ["THOUGHTGRAPH_PROBE"]
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
async def test_probe(probe: Probe, host: Host) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sandbox = Sandbox(LIMITS)
    finished = await sandbox.run(host.filled(PRELUDE + probe.code))
    _check(probe, finished)
    assert finished.seconds <= LIMITS.seconds + SLACK
    assert not host.touched()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@pytest.mark.parametrize("probe", KERNEL, ids=lambda probe: probe.name)
async def test_the_kernels_memory_is_bounded(probe: Probe) -> None:
    """Measured at the answer, before the kernel has taken anything away again."""
    before = _slab()
    began = time.monotonic()
    finished = await Sandbox(LIMITS).run(PRELUDE + probe.code)
    seconds, grown = time.monotonic() - began, _slab() - before
    assert seconds <= LIMITS.seconds + 4 * SLACK  # start and end included
    if finished.status == "files":
        assert "more than 10,000 files" in finished.error
    if os.getloadavg()[0] <= 2 * (os.cpu_count() or 1):  # else others' share is too large
        assert grown < 300


def _slab() -> int:
    """Return the kernel's own memory, in MiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Slab:")) >> 10


def _check(probe: Probe, finished: Finished) -> None:
    text = finished.text()
    assert "ESCAPED" not in finished.stdout, text
    assert finished.status in probe.ends, text
    assert "blocked" in finished.stdout or not probe.blocked, text
    if "error" not in probe.ends:
        assert not any(typo in text for typo in TYPOS), text


def test_there_are_enough() -> None:
    names = [probe.name for probe in PROBES]
    assert len(names) == len(set(names)) >= 60
