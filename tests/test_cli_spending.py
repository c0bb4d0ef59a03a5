"""What the command line says of budgets that ran out and of what was paid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thoughtgraph.cli.output import figure

from .cli_world import WRONG, Cli, model_server


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def test_a_budget_that_ran_out_says_so(cli: Cli) -> None:
    script = cli.folder / "wrong.json"
    script.write_text(json.dumps({"1 1 1 1 -> 24\n": [WRONG] * 64}))
    model = f"scripted:{script}"
    for budget, limit, name in (
        ("tokens=40", "tokens", "tokens"),
        ("model_calls=1", "model calls", "model_calls"),
    ):
        done = cli("solve", "1 1 1 1", "--scheme", "mcts", "--model", model, "--budget", budget)
        [said] = [text for text in done.out.splitlines() if "ran out" in text]
        before = (
            "no answer found before" if "no answer" in done.out else "not solved: this answer is wrong, and"
        )
        assert said == f"{before} the budget of {limit} ran out; a larger one may help: --budget {name}=…"


def test_small_sums_are_shown_in_full(cli: Cli) -> None:
    vote = ("--task", "text", "--scheme", "self_consistency", "--param", "n=1", "--budget", "usd=0.05")
    with model_server(0.0, "Answer: 4") as url:
        done = cli("solve", "2 + 2?", *vote, "--model", f"openai:m?base_url={url}&price=3,15")
    assert done.code == 0
    note = "used 0.00048 of 0.050 usd: self_consistency was done"  # 10 tokens at 3 and 30 at 15 a million
    assert note in done.out
    assert "$0.00048" in done.out


@pytest.mark.parametrize(
    ("amount", "decimals", "shown"),
    [
        (12_000, 2, "12,000"),
        (1234.5, 2, "1,234.50"),
        (0.5, 2, "0.50"),
        (0.0, 2, "0.00"),
        (0.0123, 4, "0.0123"),
        (0.0123, 2, "0.012"),
        (0.00005, 2, "0.000050"),
        (3e-7, 4, "0.00000030"),
    ],
)
def test_a_figure_shows_two_digits_at_least(amount: float, decimals: int, shown: str) -> None:
    assert figure(amount, decimals) == shown
