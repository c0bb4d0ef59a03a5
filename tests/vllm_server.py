"""Real vLLM servers for tests, started from an environment of their own.

    THOUGHTGRAPH_VLLM_PYTHON=.venv-vllm/bin/python python -m pytest -m vllm        # scripts/vllm makes that environment

Without that variable the tests are skipped; where THOUGHTGRAPH_REQUIRE_VLLM=1 they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from vllm_serving import BUILTIN, VLLMServer, running, step_pooling

Serve = Callable[..., VLLMServer]
"""`serve(folder, *flags, name=…, port=…)` starts a server, which lives until the end of the session."""


def vllm_python() -> str:
    """Return the interpreter that has vLLM; skip the test where none is named, or fail it where it must run."""
    python = os.environ.get("THOUGHTGRAPH_VLLM_PYTHON")
    if python:
        return python
    reason = "THOUGHTGRAPH_VLLM_PYTHON names no interpreter with vLLM; scripts/vllm makes one"
    if os.environ.get("THOUGHTGRAPH_REQUIRE_VLLM") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A function that starts a server of the model in a folder: `serve(folder, *flags, name=…)`."""
    python, logs = vllm_python(), tmp_path_factory.mktemp("vllm")
    with ExitStack() as servers:

        def start(folder: Path, *flags: str, name: str | None = None, port: int = 0) -> VLLMServer:
            log = logs / f"{len(list(logs.iterdir()))}.log"
            return servers.enter_context(running(python, folder, *flags, log=log, name=name, port=port))

        yield start


@pytest.fixture(scope="session")
def vllm_policy(serve: Serve) -> VLLMServer:
    """A server of the shipped policy, named `numbers`."""
    return serve(BUILTIN / "policy", name="numbers")


@pytest.fixture(scope="session")
def vllm_policy_url(vllm_policy: VLLMServer) -> str:
    """`http://127.0.0.1:PORT/v1` of a server that continues text with the shipped policy, named `numbers`."""
    return vllm_policy.base_url


@pytest.fixture(scope="session")
def vllm_scorer_url(serve: Serve) -> str:
    """`http://127.0.0.1:PORT` of a pooling server with the shipped scorer, named `scorer`: one row a step tag."""
    return serve(BUILTIN / "scorer", *step_pooling(BUILTIN / "scorer"), name="scorer").url
