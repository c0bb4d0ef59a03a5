"""A real vLLM server from an environment of its own, for tests and benchmarks on machines without a GPU (scripts/vllm makes the environment).

The worker runs inside the engine's process (the default layout collapses on few cores), and prompts are not split (with a seed that kills the CPU engine).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUILTIN = Path(__file__).resolve().parent.parent / "agents" / "builtin" / "numbers"
START_S = 600
"""Seconds after which a server that does not answer counts as failed; it takes about 20 on two idle cores."""

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, a whole number
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_SERVER_DEV_MODE": "1",  # for `forget_prefixes`
}
_FLAGS = (
    *("--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill"),
    *("--max-num-batched-tokens", "8192", "--max-num-seqs", "128", "--distributed-executor-backend", "uni"),
)


@dataclass(frozen=True, slots=True)
class VLLMServer:
    """A server that answers.

    Attributes:
        url: its root, such as `http://127.0.0.1:8101`; the OpenAI API is below `/v1`.
        name: the name of the model it serves.
        process: the process that leads its group.
        log: what it wrote so far.
    """

    url: str
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def base_url(self) -> str:
        """Where OpenAI's API is, as `base_url` of a model spec."""
        return f"{self.url}/v1"


@contextmanager
def running(
    python: str,
    folder: Path,
    *flags: str,
    log: Path,
    name: str | None = None,
    port: int = 0,
    core: int | None = None,
) -> Generator[VLLMServer]:
    """Serve the model of a folder until the block ends.

    Args:
        python: an interpreter with vLLM.
        folder: of the model.
        flags: of vLLM's server, after the usual ones, so that they win.
        log: file that gets the server's output.
        name: under which it is served; by default the folder's.
        port: on 127.0.0.1; 0 for any that is free.
        core: the processor core it is kept to; None for all.

    Raises:
        RuntimeError: if it ends or does not answer in time, with the last lines of its log.
    """
    name, port = name or folder.name, port or free_port()
    module = ("-m", "vllm.entrypoints.openai.api_server")
    model = ("--model", str(folder), "--served-model-name", name, "--port", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, *module, *model, *_FLAGS, *flags],
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that its children end with it
        )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})  # before it has threads, which inherit it
    server = VLLMServer(f"http://127.0.0.1:{port}", name, process, log)
    try:
        _wait_until_healthy(server)
        yield server
    finally:
        end(process)


def forget_prefixes(server: VLLMServer) -> None:
    """Empty the server's prefix cache.

    Raises:
        RuntimeError: if it does not, as while requests run.
    """
    request = urllib.request.Request(f"{server.url}/reset_prefix_cache", method="POST")
    with urllib.request.urlopen(request, timeout=30) as reply:
        if not json.load(reply)["success"]:
            raise RuntimeError("the server keeps its prefix cache: it still has requests")


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def step_pooling(folder: Path) -> tuple[str, ...]:
    """Return the flags by which a server scores the step tags of traces, for a scorer in our format."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    pooler = {"task": "token_classify", "tok_pooling_type": "STEP", "step_tag_id": vocabulary["<|step|>"]}
    return ("--runner", "pooling", "--pooler-config", json.dumps(pooler))


def _wait_until_healthy(server: VLLMServer) -> None:
    for _ in range(4 * START_S):
        try:
            server.process.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            if _healthy(server.url):
                return
        else:
            break
    tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-40:])
    raise RuntimeError(f"vLLM did not start (exit status {server.process.poll()}); its log ends:\n{tail}")


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
            return reply.status == 200
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 30)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait(30)
