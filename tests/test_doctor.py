"""The command `thoughtgraph doctor`; what its checks of a model find is tested in `test_doctor_checks`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from cli_world import Cli, Done
from doctor_world import Talker
from http_server import HttpServer

from thoughtgraph.cli.codes import ExitCode

Start = Callable[..., Awaitable[HttpServer]]

INSTALLATION = ["python", "packages", "postgres", "sandbox", "cpu", "database"]
LINE = "4 + 5 = 9 (left: 6 9 10)\n"


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def statuses(done: Done) -> dict[str, str]:
    """Return the status of each printed row, by name."""
    return {name: status for status, name, *_ in (line.split() for line in done.out.splitlines())}


def problems(done: Done) -> dict[str, str]:
    """Return the details of the problems in a JSON record, by name."""
    checks: list[dict[str, Any]] = done.record["checks"]
    assert all(set(check) == {"name", "status", "detail"} for check in checks)
    return {check["name"]: check["detail"] for check in checks if check["status"] == "problem"}


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A script of as many samples as are asked for."""
    path = tmp_path / "many.json"
    path.write_text(json.dumps({"4 5 6 10 -> 24\n": [LINE] * 4}))
    return f"scripted:{path}"


def test_a_scripted_model_has_notes_and_no_problem(cli: Cli, script: str) -> None:
    done = cli("doctor", script)
    assert done.code == ExitCode.OK, done.out
    found = statuses(done)
    assert list(found)[:7] == [*INSTALLATION, "reachable"]
    assert {found[name] for name in ("seeds", "logprobs", "token_ids", "cache")} == {"note"}
    assert "is not there yet" in done.out


def test_the_model_is_an_argument_or_an_option(
    cli: Cli, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "answers: '4 + 5 = 9" in cli("doctor", "-m", script).out
    monkeypatch.setenv("THOUGHTGRAPH_MODEL", "scripted:/nowhere.json")
    assert cli("doctor").code == ExitCode.FAILED
    assert "answers: '4 + 5 = 9" in cli("doctor", script).out


def test_what_cannot_be_used_is_exit_1(cli: Cli) -> None:
    Path(cli.db).write_bytes(b"x" * 2000)
    done = cli("doctor", "--model", "scripted:/nowhere.json", "--json")
    assert done.code == ExitCode.FAILED
    assert done.record["ok"] is False
    found = problems(done)
    assert set(found) == {"database", "model"}
    assert "cannot read the script" in found["model"]


def test_a_script_that_is_too_short_is_a_problem(cli: Cli) -> None:
    done = cli("doctor", f"scripted:{cli.script}", "--json")
    assert done.code == ExitCode.FAILED
    assert "add outputs to the script" in problems(done)["samples"]


async def test_replicas_are_asked_each(cli: Cli, http_server: Start) -> None:
    good, bad = await http_server(Talker()), await http_server(Talker("no_template"))
    urls = ("--base-url", good.url, "--base-url", bad.url)
    done = await asyncio.to_thread(cli, "doctor", "openai:m?tries=1", *urls, "--json")
    first, second, model = done.record["checks"][len(INSTALLATION) :][:3]
    assert (first["name"], first["status"]) == ("replica", "ok")
    assert first["detail"].startswith(f"{good.url}: openai:m answers")
    assert (second["name"], second["status"]) == ("replica", "problem")
    assert second["detail"].startswith(f"{bad.url}: ")
    assert model["name"] == "reachable"
    assert done.code == ExitCode.FAILED


async def test_a_good_server_is_in_order(cli: Cli, http_server: Start) -> None:
    server = await http_server(Talker())
    done = await asyncio.to_thread(cli, "doctor", f"openai:m?base_url={server.url}", "--json")
    assert done.code == ExitCode.OK
    assert done.record["ok"] is True
    [reachable] = [check for check in done.record["checks"] if check["name"] == "reachable"]
    assert "context is 4,096 tokens" in reachable["detail"]


async def test_a_wrong_name_lists_those_served(cli: Cli, http_server: Start) -> None:
    async def behave(exchange: Any) -> None:
        if exchange.method == "GET":
            await exchange.reply(json.dumps({"data": [{"id": "qwen"}]}).encode())
        else:
            await exchange.reply(b'{"error": {"message": "no such model"}}', 404)

    server = await http_server(behave)
    done = await asyncio.to_thread(cli, "doctor", "openai:quen", "--base-url", server.url, "--json")
    assert done.code == ExitCode.FAILED
    assert "has no model 'quen', but qwen" in problems(done)["reachable"]


def test_a_server_that_is_not_there_is_told_at_the_first_try(cli: Cli) -> None:
    with socket() as free:  # bound, and nobody listens
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        done = cli("doctor", "openai:m", "--base-url", url, "--json")
    assert done.code == ExitCode.FAILED
    told = problems(done)["reachable"]
    assert told.startswith(f"openai:m: {url} cannot be reached (")
    assert told.endswith("), tried once; start the server or check --base-url")


@pytest.mark.parametrize("scorer", ["none", "judge:votes"])
def test_scorers_without_a_model_of_their_own_are_not_loaded(cli: Cli, script: str, scorer: str) -> None:
    assert "scores" not in statuses(cli("doctor", script, "--scorer", scorer))


def test_a_scorer_is_tried(cli: Cli, script: str) -> None:
    done = cli("doctor", script, "--scorer", "builtin:numbers")
    assert done.code == ExitCode.OK, done.out
    assert {statuses(done)[name] for name in ("scores", "newest", "prefix")} == {"ok"}


def test_a_scorer_that_cannot_be_loaded_is_a_problem(cli: Cli, script: str, tmp_path: Path) -> None:
    done = cli("doctor", script, "--scorer", f"hf:{tmp_path}/nowhere", "--json")
    assert done.code == ExitCode.FAILED
    assert set(problems(done)) == {"scorer"}


def test_help_says_what_it_costs(cli: Cli) -> None:
    assert "paid endpoint" in cli("doctor", "--help").out
