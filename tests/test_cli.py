"""The command line's frame: help, options and their variables, exit codes, one-line errors."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import create_engine, text

from thoughtgraph import __version__
from thoughtgraph.agents.models.registry import MODEL_PREFIXES, SCORER_PREFIXES
from thoughtgraph.cli import app
from thoughtgraph.cli.codes import MEANINGS, ExitCode
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.needs import SCORERS

from .cli_world import Cli, environment


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from thoughtgraph.cli import main; code = main(['--help']);"
        "heavy = {'torch', 'langgraph', 'langchain_core', 'transformers', 'sqlalchemy', 'openai', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    assert "solve" in done.stdout


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"thoughtgraph {__version__}\n"


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    help_text = cli("--help").out
    for code, meaning in MEANINGS.items():
        assert f"{code.value:>4}  {meaning}" in help_text
    assert set(MEANINGS) == set(ExitCode)


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}".strip())


def test_every_option_has_its_environment_variable() -> None:
    seen = 0
    for path, command in commands(typer.main.get_command(app)):
        for parameter in command.params:
            flag = next((o for o in parameter.opts if o.startswith("--")), None)
            if flag is None or flag in ("--help", "--version", "--install-completion", "--show-completion"):
                continue
            seen += 1
            assert parameter.envvar == f"THOUGHTGRAPH_{flag[2:].upper().replace('-', '_')}", (path, flag)
            assert parameter.help, (path, flag)
    assert seen > 40


def test_help_names_every_kind_of_model_and_scorer(cli: Cli) -> None:
    parameters = typer.main.get_command(app).commands["run"].params  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
    helps: dict[str, str] = {parameter.name: parameter.help for parameter in parameters}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    assert all(f"{prefix}:" in helps["model"] for prefix in MODEL_PREFIXES)
    assert all(f"{prefix}:" in helps["scorer"] for prefix in SCORER_PREFIXES)
    assert all(word in re.split(r"[^\w:]+", helps["scorer"].replace(": ", " ")) for word in SCORERS)


def test_environment_variables_are_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THOUGHTGRAPH_SCHEME", "cot")
    monkeypatch.setenv("THOUGHTGRAPH_MODEL", f"scripted:{cli.script}")
    monkeypatch.setenv("THOUGHTGRAPH_JSON", "1")
    monkeypatch.setenv("THOUGHTGRAPH_BUDGET", "tokens=4k,seconds=60")
    assert cli("solve", "4 5 6 10").record["status"] == "solved"
    [run] = cli("runs").record
    assert run["scheme"] == "cot"
    assert run["settings"]["budget"] == {"tokens": 4000, "seconds": 60.0}
    monkeypatch.setenv("THOUGHTGRAPH_PARAM", "n=2 block=1")
    assert "no" in cli("solve", "4 5 6 10").error  # both parameters are read, and cot has neither


BAD = [
    (["solve", ""], 2, "not a numbers puzzle"),
    (["solve", "", "--task", "text"], 2, "the question is empty"),
    (["solve", "four five six ten"], 2, "not a numbers puzzle"),
    (["solve", "1 2"], 2, "3 to 6 integers"),
    (["solve", "4 5 6 10", "--scheme", "mtcs"], 2, "did you mean 'mcts'?"),
    (["solve", "4 5 6 10", "--task", "number"], 2, "did you mean 'numbers'?"),
    (["solve", "4 5 6 10", "--model", "gpt-5"], 2, "'gpt-5' is not a model"),
    (["solve", "4 5 6 10", "--model", "opnai:gpt-5"], 2, "did you mean 'openai'?"),
    (
        ["solve", "4 5 6 10", "--model", "scripted:/nowhere.json"],
        2,
        "directory); give a file of lines like {",
    ),
    (["solve", "4 5 6 10", "--temperature", "nan"], 2, "nan is no temperature; give a number of 0 or more"),
    (["solve", "4 5 6 10", "--temperature", "-1"], 2, "-1.0 is no temperature; give a number of 0 or more"),
    (["solve", "4 5 6 10", "--budget", "tokens=0"], 2, "impossible budget tokens=0"),
    (["solve", "4 5 6 10", "--budget", "seconds=-1"], 2, "impossible budget seconds=-1"),
    (["solve", "4 5 6 10", "--budget", "seconds=nan"], 2, "impossible budget seconds=nan"),
    (["solve", "4 5 6 10", "--budget", "tokens=inf"], 2, "impossible budget tokens=inf"),
    (["solve", "4 5 6 10", "--budget", "tokens=many"], 2, "tokens=many is not a number"),
    (["solve", "4 5 6 10", "--budget", "tokens=1.5"], 2, "not a whole number"),
    (["solve", "4 5 6 10", "--budget", "4000"], 2, "write LIMIT=NUMBER"),
    (["solve", "4 5 6 10", "--budget", "token=4000"], 2, "did you mean 'tokens'?"),
    (
        ["solve", "4 5 6 10", "--budget", "calls=5"],
        2,
        "did you mean 'model_calls'?); choose one of: tokens, model_",
    ),
    (
        ["solve", "4 5 6 10", "--budget", "time=5"],
        2,
        "unknown budget limit 'time'; choose one of: tokens, model_",
    ),
    (["solve", "4 5 6 10", "-b", "tokens=1,tokens=2"], 2, "given twice"),
    (["solve", "4 5 6 10", "--param", "c"], 2, "write NAME=VALUE"),
    (["solve", "4 5 6 10", "--param", "c=1", "--param", "c=2"], 2, "given twice"),
    (["solve", "4 5 6 10", "--param", "c="], 2, "'c' is given no value; write NAME=VALUE"),
    (["solve", "4 5 6 10", "--agent", "judge="], 2, "such as --agent judge=openai:NAME, or leave it out"),
    (["solve", "4 5 6 10", "--scheme", "nowhere.yaml"], 2, "cannot read the scheme 'nowhere.yaml'"),
    (["solve", "4 5 6 10", "--param", "c=-1"], 2, "c='-1' is not possible"),
    (["solve", "4 5 6 10", "--param", "d=1"], 2, "unknown parameter 'd' of mcts"),
    (["solve", "4 5 6 10", "--wave", "0"], 2, "see: thoughtgraph solve --help"),
    (["solve", "4 5 6 10", "--temperature", "inf"], 2, "see: thoughtgraph solve --help"),
    (
        ["solve", "4 5 6 10", "--scorer", "judge:foo"],
        2,
        "unknown scorer 'judge:foo'; choose one of: auto, none, judge, judge:votes, judge:logprob, builtin:NAME, hf:NAME, pooling:NAME",
    ),
    (["solve", "4 5 6 10", "--scorer", "models/prm"], 2, "choose one of: auto, none, judge, judge:votes"),
    (
        ["solve", "4 5 6 10", "--base-url", "http://x/v1"],
        2,
        "--base-url (base_url) says where an openai: model",
    ),
    (
        ["solve", "4 5 6 10", "--model", "openai:m?wait=x"],
        2,
        "option wait of openai models is a number, not 'x'",
    ),
    (
        ["solve", "4 5 6 10", "--model", "openai:m?base_url=http://x/v1", "--budget", "usd=1"],
        2,
        "openai:m has no price; say &price=IN,OUT in its name",
    ),
    (["solve", "4 5 6 10", "--critic", "harsh"], 2, "see: thoughtgraph solve --help"),
    (["solve", "4 5 6 10", "--wav", "1"], 2, "--wave"),
    (["solve", "4", "5"], 2, "see: thoughtgraph solve --help"),
    (["solve"], 2, "see: thoughtgraph solve --help"),
    (["sovle"], 2, "see: thoughtgraph --help"),
    (["run", "gmae24"], 2, "did you mean 'game24'?"),
    (["run", "nowhere.jsonl"], 2, "there is no file 'nowhere.jsonl'"),
    (["run", "numbers"], 2, "no split 'test'"),
    (["run", "countdown", "--split", "tset"], 2, "choose one of: train, val, test"),
    (["run", "countdown", "--limit", "0"], 2, "see: thoughtgraph run --help"),
    (["schemes", "mtcs"], 2, "did you mean 'mcts'?"),
    (["solve", "4 5 6 10", "--db", "mysql://host/db"], 2, "no support for 'mysql' databases"),
    (["show"], 4, "there is no database"),
    (["runs"], 4, "there is no database"),
    (["resume", "1a"], 4, "there is no database"),
    (["db", "check"], 4, "there is no database"),
    (["db", "upgrade"], 4, "there is no database"),
]


@pytest.mark.parametrize(("argv", "code", "message"), BAD, ids=[" ".join(argv) for argv, _, _ in BAD])
def test_bad_input_is_one_line_with_the_remedy(cli: Cli, argv: list[str], code: int, message: str) -> None:
    scripted = (
        ["--model", f"scripted:{cli.script}"] if argv[0] in ("solve", "run") and "--model" not in argv else []
    )
    done = cli(*argv, *scripted)
    assert done.code == code
    assert message in done.error
    assert cli(*argv, *scripted, "--json").out == "" if argv[0] == "solve" else True


def test_looking_makes_no_database(cli: Cli) -> None:
    cli("show")
    cli("db", "upgrade")
    cli("doctor", "--model", f"scripted:{cli.script}")
    assert not Path(cli.db).exists()


@pytest.mark.parametrize(
    "command", [["solve", "4 5 6 10"], ["show"], ["runs"], ["resume", "1a"], ["db", "check"]]
)
def test_an_unreadable_database_is_exit_4(cli: Cli, command: list[str]) -> None:
    Path(cli.db).write_bytes(b"not a database at all, but long enough to have a header" * 10)
    done = cli(*command, *([] if command[0] != "solve" else ["--model", f"scripted:{cli.script}"]))
    assert done.code == ExitCode.DATABASE
    assert "file is not a database" in done.error


def version_table(db: str, revision: str) -> None:
    SqlStore.open(db).close()
    engine = create_engine(f"sqlite:///{db}")
    with engine.begin() as connection:
        connection.execute(text("update thoughtgraph_version set version_num = :r"), {"r": revision})
    engine.dispose()


def test_a_database_of_a_newer_version_is_exit_4(cli: Cli) -> None:
    version_table(cli.db, "9999")
    for command in (["solve", "4 5 6 10", "--model", f"scripted:{cli.script}"], ["show"], ["db", "upgrade"]):
        done = cli(*command)
        assert done.code == ExitCode.DATABASE
        assert "pip install --upgrade thoughtgraph" in done.error
    done = cli("db", "check", "--json")
    assert done.code == ExitCode.DATABASE
    assert done.record["state"] == "newer"


def test_db_check_and_upgrade(cli: Cli) -> None:
    SqlStore.open(cli.db).close()
    done = cli("db", "check")
    assert done.code == 0
    assert done.out.endswith("is current\n")
    assert cli("db", "upgrade", "--json").record["state"] == "current"


def test_an_unexpected_error_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("thoughtgraph.storage.read.list_runs", broken)
    SqlStore.open(cli.db).close()
    done = cli("runs")
    assert done.code == ExitCode.FAILED
    assert (
        done.error
        == "unexpected ZeroDivisionError: division by zero; set THOUGHTGRAPH_DEBUG=1 and repeat it to see where"
    )
    monkeypatch.setenv("THOUGHTGRAPH_DEBUG", "1")
    assert "Traceback" in cli("runs").err


def test_output_that_nobody_reads_is_no_traceback() -> None:
    command = f"{sys.executable} -m thoughtgraph schemes mcts | head -n 0; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
