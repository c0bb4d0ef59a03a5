"""Searching from the command line: solve, run, resume, and looking at what was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.graph.ledger import RunSpec, UnitResult
from thoughtgraph.graph.records import Usage
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.settings import Settings

from .cli_world import Cli, Done, environment, model_server, text_prompt

USAGE = {
    "prompt_tokens",
    "completion_tokens",
    "model_calls",
    "verifier_calls",
    "tool_calls",
    "seconds",
    "usd",
}


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def search(cli: Cli, command: str, target: str, *more: str) -> Done:
    scheme = () if "--scheme" in more else ("--scheme", "cot")
    return cli(command, target, *scheme, "--model", f"scripted:{cli.script}", *more)


def test_solve_prints_one_record(cli: Cli) -> None:
    done = search(cli, "solve", "4 5 6 10", "--json")
    assert done.code == 0
    assert done.err == ""
    record = done.record
    assert record["status"] == "solved"
    assert eval(record["answer"]) == 24
    assert record["steps"][0]["text"] == "10 - 4 = 6 (left: 5 6 6)"
    assert set(record["usage"]) == USAGE
    assert record["usage"]["completion_tokens"] > 0
    assert record["usage"]["model_calls"] == 1
    assert cli("show", record["run"]).code == 0


def test_solve_tells_a_person(cli: Cli) -> None:
    done = search(cli, "solve", "4 5 6 10")
    assert done.code == 0
    lines = done.out.splitlines()
    assert eval(lines[0]) == 24
    assert lines[1] == "solved"
    assert lines[2].startswith("  1. 10 - 4 = 6")
    assert "1 model call," in lines[-2]
    run = cli("runs", "--json").record[0]["run"]
    assert lines[-1] == f"see the tree: thoughtgraph show {run}"


@pytest.mark.parametrize("scheme", ["cot", "self_consistency"])
def test_a_puzzle_without_a_solution_says_so_and_keeps_everything(
    cli: Cli, scheme: str, tmp_path: Path
) -> None:
    wrong = json.loads(Path(cli.script).read_text())["1 1 1 1 -> 24\n"]
    script = tmp_path / "many.json"
    script.write_text(json.dumps({"1 1 1 1 -> 24\n": wrong * 40}))
    options = ["--scheme", scheme, "--model", f"scripted:{script}", "--budget", "tokens=1000"]
    done = cli("solve", "1 1 1 1", *options, "--json")
    assert done.code == ExitCode.UNSOLVED
    assert done.record["status"] in ("unsolved", "no_answer")
    assert done.record["usage"]["completion_tokens"] > 0
    spoken = cli("solve", "1 1 1 1", *options)
    assert spoken.code == ExitCode.UNSOLVED
    assert "no answer found" in spoken.out or "not solved" in spoken.out
    assert "1 + 1 = 2" in cli("show", done.record["run"]).out


@pytest.fixture
def samples(cli: Cli) -> Cli:
    """A command line whose model solves one puzzle and fails at another, as often as it is asked: 24 tokens a chain."""
    script = {prompt: outputs * 64 for prompt, outputs in json.loads(Path(cli.script).read_text()).items()}
    Path(cli.script).write_text(json.dumps(script))
    return cli


def test_what_to_try_next_may_change_something(samples: Cli) -> None:
    greedy = "at temperature 0; try another --scheme, or --param temperature=0.7"
    drawn = "searched all it wanted; try another --seed or --scheme"
    for more, advice in (
        ((), greedy),
        (("--param", "temperature=0.7"), drawn),
        (("--scheme", "self_consistency", "--param", "n=4"), drawn),
        (
            ("--param", "temperature=none", "--temperature", "0"),
            "at temperature 0; try another --scheme, or --temperature 0.7",
        ),
    ):
        done = search(samples, "solve", "1 1 1 1", *more)
        assert done.code == ExitCode.UNSOLVED
        assert done.out.splitlines()[0 if "no answer" in done.out else 1].endswith(advice), done.out


VOTE = ("--scheme", "self_consistency", "--param", "n=4")


def test_what_would_spend_the_rest_of_the_budget_is_said(samples: Cli) -> None:
    done = search(samples, "solve", "4 5 6 10", *VOTE, "--budget", "tokens=400")
    note = "used 96 of 400 tokens: self_consistency was done; it goes on with -p n=1000000"
    assert done.out.splitlines()[-2] == note
    file = samples.file({"question": "4 5 6 10"}, {"question": "1 2 3 4"})
    done = search(samples, "run", file, *VOTE, "--budget", "model_calls=9,tokens=4k")
    note = "2 of 2 searches used less than half of their budget: self_consistency was done; it goes on with -p n=1000000"
    assert done.out.splitlines()[-2] == note
    run = samples("runs", "--json").record[0]["run"]
    assert note in samples("resume", run).out


@pytest.mark.parametrize(
    "options",
    [
        (*VOTE, "--budget", "tokens=192"),  # half of it is paid
        (*VOTE, "--budget", "tokens=4k,model_calls=1"),
        (*VOTE, "--param", "stop_score=1"),  # found what it looks for: more samples would not be asked for
        ("--scheme", "self_consistency", "--param", "n=1000000", "--budget", "tokens=400"),
        ("--scheme", "cot"),
    ],
)
def test_nothing_is_said_where_nothing_would_go_on(samples: Cli, options: tuple[str, ...]) -> None:
    done = search(samples, "solve", "4 5 6 10", *options)
    assert done.code == 0
    assert "goes on" not in done.out


def test_a_budget_without_room_for_a_step_says_so(cli: Cli) -> None:
    file = cli.file({"question": "4 5 6 10"}, {"question": "1 2 3 4"})
    bound = "a step may take 96 tokens, a solution 576"  # the numbers task's, whose solutions have 6 steps at most
    note = f"--budget tokens=1 has no room for one model call: {bound}; give more"
    for command, target in (("solve", "4 5 6 10"), ("run", file)):
        assert search(cli, command, target, "--budget", "tokens=1").out.splitlines()[-2] == note
    assert "no room" not in search(cli, "run", file, "--budget", "tokens=1", "--json").out
    assert search(cli, "solve", "4 5 6 10", "--budget", "tokens=1").out.splitlines()[0] == "no answer found"


def test_a_model_that_stops_answering_leaves_a_run_to_resume(cli: Cli) -> None:
    done = search(cli, "solve", "5 5 5 1", "--json")
    assert done.code == ExitCode.MODEL
    assert done.out == ""
    error, note = done.err.splitlines()
    assert error.startswith("error: the script gave 0 of 1 outputs")
    assert note.startswith("resume with: thoughtgraph resume ")
    solution = "5 / 1 = 5 (left: 5 5 5)\n5 * 5 = 25 (left: 5 25)\n25 - 5 = 20 (left: 20)\n"
    Path(cli.script).write_text(json.dumps({"1 5 5 5 -> 24\n": [solution]}))
    # a process of its own, for this one keeps a model once it is loaded
    again = subprocess.run(
        [sys.executable, "-m", *note.removeprefix("resume with: ").split(), "--json"],
        env=environment(THOUGHTGRAPH_DB=cli.db),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert again.returncode == 0, again.stderr
    record = json.loads(again.stdout)
    assert (record["finished"], record["solved"], record["usage"]["model_calls"]) == (1, 0, 1)


def test_run_over_a_file(cli: Cli) -> None:
    path = cli.file({"question": "4 5 6 10"}, {"question": "1 1 1 1", "id": "hard"}, {"question": "1 2 3 4"})
    done = search(cli, "run", path, "--json")
    assert done.code == 0
    record = done.record
    assert {name: record[name] for name in ("problems", "finished", "solved", "failed")} == {
        "problems": 3, "finished": 3, "solved": 2, "failed": 0,
    }  # fmt: skip
    assert record["accuracy"] == pytest.approx(2 / 3)
    assert set(record["usage"]) == USAGE
    assert record["usage"]["model_calls"] == 3
    table = cli("show", record["run"])
    assert "4 5 6 10 -> 24" in table.out
    assert "hard:" in table.out
    assert "--problem" in table.err
    one = cli("show", record["run"], "--problem", "hard:")
    assert "1 + 1 = 2" in one.out
    units = json.loads(cli("show", record["run"], "--format", "json").out)
    assert [unit["correct"] for unit in units] == [True, False, True]
    assert units[0]["usage"]["model_calls"] == 1
    assert cli("show", record["run"], "--max", "1").out.count("\n") == 2


def test_run_tells_a_person(cli: Cli) -> None:
    done = search(cli, "run", cli.file({"question": "4 5 6 10"}, {"question": "1 2 3 4"}), "--limit", "1")
    assert done.code == 0
    assert "1 of 1 solved (100.0% of those graded)" in done.out
    assert "see the problems: thoughtgraph show " in done.out
    assert done.err == ""


def test_bad_lines_stop_a_run_before_it_starts(cli: Cli) -> None:
    done = search(cli, "run", cli.file({"question": "4 5 6 10"}, {"question": "x"}, "{"))
    assert done.code == ExitCode.USAGE
    assert "2 bad lines" in done.error
    assert "line 3: not JSON" in done.error
    assert not Path(cli.db).exists()


def failed_run(cli: Cli) -> None:
    """Record a run whose second problem failed."""
    store = SqlStore.open(cli.db)
    settings = Settings(scheme="cot", model=f"scripted:{cli.script}", scorer="none")
    spec = RunSpec("abc123", "numbers", "cot", settings.as_json())
    task = load_task("numbers")
    store.create_run(spec, [task.problem("4 5 6 10"), task.problem("1 2 3 4")])
    lease = store.claim("abc123", "w", 60, task.problem("1 2 3 4").id)
    assert lease is not None
    store.finish(lease, UnitResult("failed", None, None, None, "failed: the agent broke", Usage()))
    store.close()


def test_failed_problems_are_exit_1_and_can_be_tried_again(cli: Cli) -> None:
    failed_run(cli)
    done = cli("resume", "abc", "--json")
    assert done.code == ExitCode.FAILED
    assert (done.record["solved"], done.record["failed"]) == (1, 1)
    assert done.err.startswith("error: 1 of 2 problems failed; see why: thoughtgraph show abc123;")
    assert "failed: the agent broke" in cli("show", "abc").out
    done = cli("resume", "abc", "--retry-failed", "--json")
    assert done.code == 0
    assert (done.record["solved"], done.record["failed"]) == (2, 0)
    assert cli("resume", "abc", "--json").record == done.record  # nothing is left, nothing is paid again


def test_a_run_that_is_not_there(cli: Cli) -> None:
    failed_run(cli)
    for command in ("resume", "show"):
        done = cli(command, "zzz")
        assert done.code == ExitCode.USAGE
        assert "thoughtgraph runs" in done.error


def test_show_draws_plainly_into_a_pipe(cli: Cli) -> None:
    search(cli, "solve", "1 2 3 4")
    search(cli, "solve", "4 5 6 10")
    tree = cli("show").out
    assert "4 5 6 10 -> 24" in tree.splitlines()[1]
    assert "10 - 4 = 6" in tree
    assert "\x1b" not in tree
    assert cli("show", "--format", "mermaid").out.startswith("flowchart")
    graph = json.loads(cli("show", "--format", "json").out)
    assert len(graph["thoughts"]) == 4


def test_runs_are_listed_newest_first(cli: Cli) -> None:
    first = search(cli, "solve", "1 2 3 4", "--json").record["run"]
    second = search(cli, "solve", "4 5 6 10", "--json").record["run"]
    assert [row["run"] for row in cli("runs", "--json").record] == [second, first]
    assert [row["run"] for row in cli("runs", "--limit", "1", "--json").record] == [second]
    assert cli("runs").out.splitlines()[1].startswith(second)


def test_text_questions_are_answered_but_not_graded(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "text.json"
    answers = {"2 + 2?": ["Answer: 4"], "3 + 3?": ["Answer: 7"]}
    script.write_text(json.dumps({text_prompt(question): told for question, told in answers.items()}))
    options = ["--task", "text", "--scheme", "cot", "--model", f"scripted:{script}", "-b", "tokens=20k"]
    done = cli("solve", "2 + 2?", *options, "--json")
    assert done.code == 0
    assert (done.record["status"], done.record["answer"]) == ("answered", "4")
    path = cli.file({"question": "2 + 2?", "answer": 4}, {"question": "3 + 3?", "answer": 6})
    record = cli("run", path, *options, "--json").record
    assert (record["solved"], record["accuracy"]) == (1, 0.5)


def test_a_hosted_model_that_refuses_us_is_exit_5(cli: Cli) -> None:
    with model_server(0.0, status=401) as url:
        done = cli("solve", "4 5 6 10", "--model", "openai:m", "--base-url", url, "--scheme", "cot", "--json")
    assert done.code == ExitCode.MODEL
    assert done.out == ""
    assert done.err.splitlines()[0].startswith("error: ")
    assert done.err.splitlines()[1].startswith("resume with: ")
