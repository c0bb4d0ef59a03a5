"""`thoughtgraph compare` from end to end: figures by hand, what is written, what is refused."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph import __version__
from thoughtgraph.cli import main
from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.tasks.comparison.code import CodeVersion, code_version

from .cli_world import Cli, text_prompt
from .compare_world import BUDGET, PARAMS, QUESTIONS, SCRIPT, compare, prepare, shares


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = prepare(Cli(tmp_path, capsys))
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


@dataclass(frozen=True)
class Whole:
    """A comparison carried out once, for many tests to look at."""

    folder: Path
    out: str
    err: str
    record: Any

    @property
    def rows(self) -> dict[tuple[str, int], Any]:
        return {(row["label"], row["budget"]): row for row in self.record["rows"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "script.json").write_text(json.dumps(SCRIPT))
    (folder / "params.json").write_text(json.dumps(PARAMS))
    (folder / "problems.jsonl").write_text("".join(f"{json.dumps(question)}\n" for question in QUESTIONS))
    argv = [
        *("compare", str(folder / "problems.jsonl"), "--schemes", "cot,best_of_n,voted", *BUDGET),
        *(
            "--params",
            str(folder / "params.json"),
            "--out",
            str(folder / "out"),
            "--seeds",
            "2",
            "--seed",
            "5",
        ),
        *("--learn", str(folder / "policy.json"), "--param", "cot.temperature=0.5"),
        *("--model", f"scripted:{folder / 'script.json'}", "--db", str(folder / "whole.db")),
    ]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        assert main(argv) == 0, err.getvalue()
    record = json.loads((folder / "out" / "comparison.json").read_text())
    return Whole(folder, out.getvalue(), err.getvalue(), record)


def test_the_figures_are_those_by_hand(whole: Whole) -> None:
    few, many, greedy = [0, 2, 2, 0], [2, 2, 2, 0], [0, 0, 2, 0]
    assert shares(whole.record) == {
        ("self_consistency", 200): few, ("self_consistency", 400): many,
        ("weighted_vote", 200): few, ("weighted_vote", 400): many,
        ("cot", 200): greedy, ("cot", 400): greedy,
        ("best_of_n", 200): few, ("best_of_n", 400): many,
        ("voted", 200): few, ("voted", 400): many,
    }  # fmt: skip
    chain, few_samples, samples = (
        whole.rows[key] for key in (("cot", 400), ("best_of_n", 200), ("best_of_n", 400))
    )
    assert (chain["searches"], chain["solved"], chain["share"]) == (8, 2, 0.25)
    assert (chain["tokens"], chain["model_calls"], chain["verifier_calls"]) == (24.0, 1.0, 0.0)
    assert chain["tool_calls"] >= 1
    assert (few_samples["tokens"], samples["tokens"]) == (72.0, 264.0)
    assert (few_samples["stopped"], chain["stopped"]) == ({"budget:tokens": 8}, {"finished": 8})
    assert all(row["tokens_most"] <= row["budget"] for row in whole.record["rows"])
    assert all(row["wall_seconds"] > 0 for row in whole.record["rows"])


def test_the_statistics_are_those_by_hand(whole: Whole) -> None:
    chain = whole.rows["cot", 400]
    # a quarter of a binomial (4, 1/4): P(0) = .316, P(3 or 4) = .051, P(4) = .004
    assert chain["interval"] == {"low": 0.0, "high": 0.75, "method": "bootstrap over problems"}
    assert set(chain["differences"]) == {"self_consistency", "weighted_vote"}
    apart = chain["differences"]["weighted_vote"]
    assert apart["mean"] == -0.5
    # two of four problems make the difference: four draws miss both with probability (1/2)^4
    assert apart["below"] == pytest.approx(15 / 16, abs=0.01)
    assert apart["p"] == 0.5  # 2 · (1/2)^2
    same = whole.rows["best_of_n", 200]["differences"]["weighted_vote"]
    # no problem differs: 2 of 4 each, φ = (2 · 2 - 4/2) / √2⁴ = .5, Wilson's spread .34996: ± .34996 · √(2 - 2 · .5)
    wide = pytest.approx(0.34996, abs=1e-5)
    assert (same["mean"], -same["low"], same["high"], same["below"], same["p"]) == (0.0, wide, wide, 0.0, 1.0)
    assert (apart["method"], same["method"]) == (
        "paired bootstrap over problems",
        "Newcombe's square-and-add",
    )
    methods = "Newcombe's square-and-add; paired bootstrap over problems"
    assert whole.record["statistics"]["difference"] == methods
    assert "; Newcombe's square-and-add (" in (whole.folder / "out" / "report.md").read_text()


def test_the_record_says_how_it_was_made(whole: Whole) -> None:
    record, rows = whole.record, whole.rows
    assert (record["task"], record["split"], record["seeds"]) == ("numbers", None, [5, 6])
    assert record["target"].endswith("problems.jsonl")
    assert record["budget"] == {"limit": "tokens", "values": [200, 400], "others": {}}
    assert record["model"]["spec"] == f"scripted:{whole.folder / 'script.json'}"
    assert record["model"]["name"].startswith("scripted:script@")
    assert record["scorer"] == {"spec": "auto", "name": None}
    assert "outcome:numbers:calculator" in record["judges"]
    assert record["prompts"] is None  # this model only continues text
    assert record["oracle"] is False
    assert record["code"]["version"] == __version__
    assert set(record["code"]) == {"version", "commit", "modified", "sources"}
    assert (record["statistics"]["resamples"], record["statistics"]["confidence"]) == (10_000, 0.95)
    common = record["settings"]
    assert (common["mode"], common["wave"], common["tools"]) == ("lockstep", 8, True)
    assert rows["voted", 200]["params"]["select"] == "majority"
    assert [rows["voted", b]["params"]["block"] for b in (200, 400)] == [4, 8]
    assert rows["cot", 200]["params"]["temperature"] == 0.5
    assert rows["voted", 200]["scheme"] == "best_of_n"
    assert len({run for row in record["rows"] for run in row["runs"]}) == 20
    assert len(record["problems"]) == 4
    assert all(len(row) == 4 for r in record["rows"] for row in r["tokens_by_seed"])


def test_the_recorded_command_makes_the_record(whole: Whole, cli: Cli) -> None:
    words = shlex.split(whole.record["command"])
    assert words[:2] == ["thoughtgraph", "compare"]
    again = cli(*words[1:], "--json")
    assert again.code == 0, again.err
    # nothing is searched again, so even the times are the same
    assert again.record == {**whole.record, "command": f"{whole.record['command']} --json"}


def test_the_report_and_the_picture(whole: Whole) -> None:
    assert whole.err == ""
    for word in ("weighted_vote", "voted", "264", "├", "●", "comparison.json", "report.md", "plot.png"):
        assert word in whole.out, word
    assert max(map(len, whole.out.splitlines()[:-1])) <= 110
    # 69 cells for 0 to 100 %: an interval from 0 to 75 % ends in cell 51, and 25 % is cell 17
    assert f"400  ├{'─' * 16}●{'─' * 33}┤" in whole.out
    report = (whole.folder / "out" / "report.md").read_text()
    for words in (
        "| 400 | cot | 2 of 8 | 25.0% | 0.0–75.0 % | 0 | 24 | 1.0 |",
        "| 400 | cot | weighted_vote | -50.0 |",
        "](plot.png)",
        "percentile bootstrap over problems (10,000 resamples), all seeds of a problem drawn together",
        "none: no reference took part in any search",
        "scripted:script@",
        "select=majority",
        "thoughtgraph compare ",
        "| 400 | 2 / 4 / 2 | cot, best_of_n, cot |",
        "| 200 | best_of_n | 8 | 0 |",
    ):
        assert words in report, words
    picture = (whole.folder / "out" / "plot.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_a_learned_table(whole: Whole) -> None:
    table = json.loads((whole.folder / "policy.json").read_text())
    assert table == whole.record["policy"]["table"]
    assert (table["task"], table["probe"]) == ("numbers", 4)
    assert table["model"] == whole.record["model"]["name"]
    # the calculator gives the first four samples 0001, 0111, 1111 and 0000: difficulties 3/4, 1/4, 0 and 1, with each seed
    edges = {budget: found["edges"] for budget, found in table["budgets"].items()}
    assert edges == {"200": [0, 0.75], "400": [0, 0.75]}
    # what all solve, or none, goes to cot, which pays least; what the samplers solve to the first of them by name
    for found in table["budgets"].values():
        assert [choice["scheme"] for choice in found["choices"]] == ["cot", "best_of_n", "cot"]
        assert all(set(choice) == {"scheme", "params"} for choice in found["choices"])
    assert whole.record["policy"]["cross_validated"]["200"]["sizes"] == [2, 4, 2]


def test_a_learned_table_is_one_that_compute_optimal_reads(whole: Whole, cli: Cli) -> None:
    options = ["--scheme", "compute_optimal", "--param", f"table={whole.folder / 'policy.json'}"]
    options += ["--model", f"scripted:{whole.folder / 'script.json'}", "--budget", "tokens=400"]
    solved = {q: cli("solve", q, *options, "--json").record["status"] for q in ("2 3 4 6", "1 2 3 4")}
    assert solved == {"2 3 4 6": "solved", "1 2 3 4": "solved"}


def test_another_comparison_shares_what_was_searched(cli: Cli) -> None:
    first = compare(cli, "--no-plot", "--json", schemes="cot").record
    more = compare(cli, "--no-plot", "--json").record
    runs = [{r["label"]: r["runs"] for r in record["rows"] if r["budget"] == 200} for record in (first, more)]
    assert {name: runs[1][name] for name in runs[0]} == runs[0]
    report = (cli.folder / "out" / "report.md").read_text()
    assert "| 200 | best_of_n | 2 of 4 | 50.0% | 15.0–85.0 % |" in report  # Wilson's: there is one seed
    assert "Intervals: Wilson's over problems." in report
    assert "plot.png" not in report
    assert len(json.loads(cli("runs", "--json").out)) == 10
    other = compare(cli, "--no-plot", "--json", "--param", "cot.temperature=0.1", schemes="cot").record
    now = {r["label"]: r["runs"] for r in other["rows"] if r["budget"] == 200}
    assert now["cot"] != runs[0]["cot"]
    assert now["self_consistency"] == runs[0]["self_consistency"]


def test_a_baseline_that_cannot_be_is_left_out_with_a_word(cli: Cli) -> None:
    path = cli.file({"question": "2 + 2?", "answer": 4}, {"question": "3 + 3?", "answer": 6})
    script = cli.folder / "text.json"
    answers = {"2 + 2?": ["Answer: 4"] * 99, "3 + 3?": ["Answer: 7"] * 99}
    script.write_text(json.dumps({text_prompt(question): told for question, told in answers.items()}))
    options = [
        "--task",
        "text",
        "--model",
        f"scripted:{script}",
        "--budget",
        "tokens=3k",
        "--param",
        "self_consistency.n=5",
    ]
    out = ["--out", str(cli.folder / "out"), "--learn", str(cli.folder / "policy.json")]
    done = cli("compare", path, "--schemes", "cot", *options, *out, "--no-plot", "--json")
    assert done.code == 0, done.err
    record = done.record
    labels = [row["label"] for row in record["rows"]]
    assert labels[0] == "self_consistency"
    assert labels[-1] == "cot"
    assert ("weighted_vote" in labels) != any("weighted_vote is left out" in note for note in record["notes"])
    assert all(row["solved_by_seed"] == [[1, 0]] for row in record["rows"])
    edges = json.loads((cli.folder / "policy.json").read_text())["budgets"]["3000"]["edges"]
    assert edges == []  # all agree on both, so nothing tells them apart


REFUSED: list[tuple[list[str], str]] = [
    (["--schemes", "baem"], "unknown scheme or label 'baem'; did you mean 'beam'?"),
    (["--schemes", "cot,,beam"], "write NAME,NAME"),
    (["--schemes", "cot,cot"], "'cot' is compared twice"),
    (["--budget", "tokns=500"], "did you mean 'tokens'?"),
    (["--budget", "tokens=1,2,seconds=1,2"], "several values to one limit only"),
    (["--param", "beam=5"], "write SCHEME.NAME=VALUE"),
    (["--param", "cot.width=5"], "unknown parameter 'width' of cot"),
    (["--params", "nowhere.yaml"], "cannot read 'nowhere.yaml'"),
    (["--learn", "p.json", "--budget", "seconds=1"], "give --learn with a budget of tokens"),
    (["--seeds", "0"], "see: thoughtgraph compare --help"),
    (["--bins", "0"], "see: thoughtgraph compare --help"),
    (["--scheme", "cot"], "No such option"),
    (["--task", "text"], "4 of 4 problems cannot be graded"),
    (["--model", "scripted:nowhere.json"], "cannot read the script"),
    (["--scorer", "builtin:nothing"], "nothing"),
]


@pytest.mark.parametrize(("more", "message"), REFUSED, ids=[" ".join(more) for more, _ in REFUSED])
def test_what_cannot_be_is_refused_before_anything_runs(cli: Cli, more: list[str], message: str) -> None:
    path = cli.file(*QUESTIONS)
    given = ["--schemes", "cot", "--budget", "tokens=200", "--model", f"scripted:{cli.script}", "--no-plot"]
    for flag in ("--schemes", "--budget", "--model"):
        if flag in more:
            del given[given.index(flag) : given.index(flag) + 2]
    done = cli("compare", path, *given, *more)
    assert done.code == ExitCode.USAGE
    assert message in done.error
    assert not Path(cli.db).exists() or cli("runs", "--json").record == []


def test_a_target_that_is_not_there(cli: Cli) -> None:
    for target, message in (("gmae24", "did you mean 'game24'?"), ("nowhere.jsonl", "there is no file")):
        done = cli("compare", target, "--schemes", "cot")
        assert done.code == ExitCode.USAGE
        assert message in done.error


def test_a_plot_asked_for_without_matplotlib_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = compare(cli, "--plot")
    assert done.code == ExitCode.USAGE
    assert "pip install -c constraints.txt '.[plot]' from the checkout" in done.error
    assert "--no-plot" in done.error
    assert not Path(cli.db).exists()


def test_without_matplotlib_the_picture_is_left_out_with_a_word(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for more, noted in (((), True), (("--json",), True), (("--no-plot",), False)):
        done = compare(cli, *more, schemes="cot")
        assert done.code == 0, done.err
        assert ("no picture was drawn: pip install -c constraints.txt '.[plot]'" in done.err) == noted
        assert "plot.png" not in done.out + (cli.folder / "out" / "report.md").read_text()
        assert not (cli.folder / "out" / "plot.png").exists()


def test_targets_that_cannot_be_written_are_refused_before_anything_runs(cli: Cli) -> None:
    (cli.folder / "out").write_text("a file")
    folder, under = str(cli.folder), str(cli.folder / "out" / "table.json")
    refused: list[tuple[list[str], str, str]] = [
        ([], "cannot make the folder", "give another --out"),
        (["--out", folder, "--learn", folder], f"--learn {folder!r} is a folder; give a file", ""),
        (["--out", folder, "--learn", under], "cannot make the folder", "give another --learn"),
    ]
    if sys.platform == "linux":  # where not even root writes to these
        refused += [
            (["--out", "/proc/new"], "cannot make the folder '/proc/new'", "give another --out"),
            (["--out", "/proc"], "cannot write to the folder '/proc'", "give another --out"),
            (["--out", folder, "--learn", "/proc/new"], "to the folder '/proc'", "give another --learn"),
            (["--out", folder, "--learn", "/proc/version"], "to '/proc/version'", "give another --learn"),
        ]
    for more, what, remedy in refused:
        done = compare(cli, "--no-plot", *more)
        assert done.code == ExitCode.USAGE
        assert what in done.error
        assert done.error.endswith(remedy)
        assert cli("runs", "--json").record == []


def test_what_is_in_the_way_of_a_table_is_replaced_only_by_what_was_learned(cli: Cli) -> None:
    table = cli.folder / "table.json"
    table.write_text("old")
    (cli.folder / "script.json").write_text("{}")  # every search fails, so nothing is learned
    done = compare(cli, "--no-plot", "--learn", str(table), schemes="cot")
    assert done.code != 0
    assert table.read_text() == "old"


def test_a_table_that_cannot_be_learned_is_refused_before_anything_runs(cli: Cli) -> None:
    few_shot = [f"--param={name}.prompting=few_shot" for name in ("self_consistency", "weighted_vote")]
    done = compare(cli, "--no-plot", "--learn", str(cli.folder / "table.json"), *few_shot, schemes="cot")
    assert done.code == ExitCode.USAGE
    assert "no policy table can be learned" in done.error
    assert cli("runs", "--json").record == []
    assert not (cli.folder / "out").exists()


def test_the_code_version_is_that_of_the_package(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    package = tmp_path / "package"
    package.mkdir()
    source = package / "__init__.py"
    source.write_text("one = 1\n")
    installed = code_version("1.0", package)
    assert installed == CodeVersion("1.0", sources=installed.sources)
    git("init", "-q")
    assert code_version("1.0", package) == installed  # in somebody's checkout, but not of it
    git("add", "package")
    git("commit", "-q", "-m", "one")
    found = code_version("1.0", package)
    assert found.commit is not None
    assert len(found.commit) == 40
    assert found.modified is False
    assert found.sources == installed.sources
    source.write_text("one = 2\n")
    changed = code_version("1.0", package)
    assert changed == CodeVersion("1.0", found.commit, True, changed.sources)
    assert changed.sources != found.sources
    assert str(code_version("1.0", package)) == f"1.0, commit {found.commit[:12]} with local changes"
