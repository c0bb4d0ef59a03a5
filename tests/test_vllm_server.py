"""Real vLLM servers of the shipped models."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from vllm_server import vllm_python
from vllm_serving import BUILTIN, running

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def test_the_policy_is_served(vllm_policy_url: str) -> None:
    body = {
        "model": "numbers",
        "prompt": "1 2 3 4 -> 24\n",
        "max_tokens": 20,
        "stop": ["\n"],
        "temperature": 0,
    }
    assert "(left: " in post(f"{vllm_policy_url}/completions", body)["choices"][0]["text"]


def test_the_scorer_is_served(vllm_scorer_url: str) -> None:
    body = {
        "model": "scorer",
        "input": "1 2 3 4 -> 24\n1 * 2 = 2 (left: 2 3 4)\n<|step|>",
        "task": "token_classify",
    }
    [row] = post(f"{vllm_scorer_url}/pooling", body)["data"]
    [[score]] = row["data"]
    assert 0 < score < 1


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(
            RuntimeError, match=r"(?s)did not start .exit status 2.*unrecognized arguments: --no-such"
        ),
        running(vllm_python(), BUILTIN / "policy", "--no-such-flag", log=tmp_path / "log"),
    ):
        pass


def test_without_an_interpreter_the_tests_are_skipped_or_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THOUGHTGRAPH_VLLM_PYTHON")
    monkeypatch.delenv("THOUGHTGRAPH_REQUIRE_VLLM", raising=False)
    with pytest.raises(pytest.skip.Exception, match="scripts/vllm"):
        vllm_python()
    monkeypatch.setenv("THOUGHTGRAPH_REQUIRE_VLLM", "1")
    with pytest.raises(pytest.fail.Exception, match="scripts/vllm"):
        vllm_python()
    monkeypatch.setenv("THOUGHTGRAPH_VLLM_PYTHON", sys.executable)
    assert vllm_python() == sys.executable
