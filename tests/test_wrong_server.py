"""A server that serves the model for something else, or is not there: what is said fits the kind of model, and the doctor speaks of no run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from socket import socket

import pytest
from cli_world import Cli
from http_server import Exchange, HttpServer, replies
from scoring_world import QUESTION, STEPS, make_tokenizer

from thoughtgraph.agents.models.base import GenerationCall, Message, Sampling, Trace
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.agents.models.scoring.pooling import PoolingScorer
from thoughtgraph.graph.errors import ModelUnavailableError

Start = Callable[..., Awaitable[HttpServer]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


async def pathless(exchange: Exchange) -> None:
    """Have the model `m`, and no path to ask it."""
    if exchange.method == "GET":
        await exchange.reply(json.dumps({"data": [{"id": "m"}]}).encode())
    else:
        await exchange.reply(b'{"detail": "Not Found"}', 404)


@pytest.mark.parametrize("completions", [False, True])
async def test_a_policy_on_a_server_that_scores(http_server: Start, completions: bool) -> None:
    server = await http_server(pathless)
    prompt = "p" if completions else (Message("user", "p"),)
    async with aclosing(OpenAIModel("m", base_url=server.url, completions=completions)) as model:
        with pytest.raises(ModelUnavailableError) as no:
            await model.generate([GenerationCall(prompt, Sampling(4))])
    path = "/completions" if completions else "/chat/completions"
    told = f"has the model, but not {path} (404: Not Found), which vLLM has when it serves without --runner pooling; start the server"
    assert told in str(no.value)


@pytest.mark.parametrize("format_", ["step", "orm"])
async def test_a_scorer_on_a_server_that_generates(http_server: Start, folder: Path, format_: str) -> None:
    server = await http_server(pathless)
    scorer = PoolingScorer("m", base_url=server.url, tokenizer=str(folder), format=format_)
    async with aclosing(scorer):
        with pytest.raises(ModelUnavailableError) as no:
            await scorer.score([Trace(QUESTION, STEPS, newest=True)])
    path = "/pooling" if format_ == "step" else "/classify"
    told = f"has the model, but not {path} (404: Not Found), which vLLM has when it serves with --runner pooling; start the server"
    assert told in str(no.value)


async def test_a_scorer_has_no_base_url_option(http_server: Start, folder: Path) -> None:
    with socket() as free:  # bound, and nobody listens
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        scorer = PoolingScorer("m", base_url=url, tokenizer=str(folder), format="step", tries=1)
        async with aclosing(scorer):
            for asking in (scorer.reach(), scorer.score([Trace(QUESTION, STEPS)])):
                with pytest.raises(
                    ModelUnavailableError, match=r"start the server or check base_url in its name$"
                ):
                    await asking
    server = await http_server(replies(b"", 404))
    scorer = PoolingScorer("m", base_url=server.url, tokenizer=str(folder), format="step")
    async with aclosing(scorer):
        with pytest.raises(
            ModelUnavailableError, match=r"or path \(404\); check the model's name and base_url in its name$"
        ):
            await scorer.score([Trace(QUESTION, STEPS)])


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_the_doctor_speaks_of_no_run(
    status: int, http_server: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await http_server(replies(b"no", status))
    spec = f"openai:m?base_url={server.url}&tries=1"
    done = await asyncio.to_thread(Cli(tmp_path, capsys), "doctor", spec, "--db", str(tmp_path / "d.db"))
    [found] = [line for line in done.out.splitlines() if line.startswith("problem")]
    assert str(status) in found
    assert "resum" not in found
