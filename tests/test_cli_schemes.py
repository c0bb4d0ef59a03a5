"""`thoughtgraph schemes`: the table, the explanation of one scheme, files, and the parts of compositions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from thoughtgraph.agents.actions import BY_SCORER, EVALUATE, GENERATE
from thoughtgraph.cli.schemes import GROWING, HEADER, MODELS, OPERATORS, explanation, table
from thoughtgraph.graph.records import Operator
from thoughtgraph.graph.schemes import get_scheme, schemes
from thoughtgraph.graph.schemes.base import Model, Scheme
from thoughtgraph.graph.schemes.catalogue import PARTS
from thoughtgraph.graph.strategies.chains import cot

from .cli_world import Cli

FILE = """
name: mine
summary: a scheme of my own
selector: {part: descent, formula: {part: puct, c: 2.0}}
expander: {part: sampler, n: "${n}", merge: true}
backup: mean
finalizer: best
parameters:
  n: {type: int, default: 4, minimum: 1, doc: samples an expansion}
"""


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(FILE)
    return Cli(tmp_path, capsys)


def test_every_operator_and_every_model_has_a_letter_of_its_own() -> None:
    assert set(OPERATORS) == set(Operator)
    assert set(MODELS) == set(get_args(Model))
    for letters in (OPERATORS, MODELS):
        assert len(set(letters.values())) == len(letters)
    assert set(BY_SCORER) <= set(EVALUATE)


@pytest.mark.parametrize("width", [108, 110, 160, 240])
def test_the_table_has_every_column_of_every_scheme(width: int) -> None:
    found = list(schemes().values())
    text = table(found, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert re.split(r" {2,}", lines[0]) == list(HEADER)
    starts = [lines[0].index(column) for column in HEADER]
    for scheme in found:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{scheme.name} "))
        row = lines[at : at + next(i for i, line in enumerate(lines[at + 1 :], 1) if line[:1] != " ")]
        name, structure, step, strategy, operators, models, supervision, paper = (
            " ".join(line[start:end].strip() for line in row).strip()
            for start, end in zip(starts, [*starts[1:], None], strict=True)
        )
        assert (name, structure, step, strategy) == (
            scheme.name,
            scheme.structure,
            scheme.step,
            scheme.strategy,
        )
        assert {word for word, letter in OPERATORS.items() if letter in operators} == set(scheme.operators)
        assert {word for word, letter in MODELS.items() if letter in models} == set(scheme.models)
        assert supervision
        assert supervision.split()[0] == scheme.supervision.split()[0]
        assert paper in scheme.paper
        assert re.search(r"\d{4}\.\d{5}", paper)


def test_the_table_is_grouped_by_family_in_the_order_of_the_registry() -> None:
    found = schemes()
    lines = table(list(found.values()), 110).splitlines()
    families = list(dict.fromkeys(scheme.family for scheme in found.values()))
    assert [line for line in lines if line in families] == families
    names = [word for line in lines[1:] if (word := line.partition(" ")[0]) in found]
    assert names == list(found)


@pytest.mark.parametrize("width", [40, 60, 80, 95])
def test_a_narrow_terminal_gets_paragraphs_with_the_same(width: int) -> None:
    found = list(schemes().values())
    text = table(found, width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for scheme in found:
        start = flat.index(f" {scheme.name}: ")
        for fact in (scheme.summary, scheme.step, scheme.strategy, scheme.supervision):
            assert " ".join(fact.split()) in flat[start:]


def test_the_table_is_printed_and_its_record_is_whole(cli: Cli) -> None:
    rows = cli("schemes", "--json").record
    assert [row["name"] for row in rows] == list(schemes())
    printed = cli("schemes")
    assert printed.err == ""
    assert printed.out == table(list(schemes().values()), 110) + "\n"
    for row in rows:
        scheme = get_scheme(row["name"])
        assert row["family"] == scheme.family
        assert row["operators"] == list(scheme.operators)
        assert row["serial"] == scheme.serial
        assert (row["raw"], row["fill"]) == (scheme.raw, scheme.fill)
        assert [p["name"] for p in row["parameters"]] == [p.name for p in scheme.parameters]


@pytest.mark.parametrize("name", schemes())
def test_a_scheme_is_explained(name: str) -> None:
    scheme = get_scheme(name)
    text = explanation(scheme, name, 100)
    flat = " ".join(text.split())
    for fact in (
        scheme.summary,
        scheme.step,
        scheme.strategy,
        scheme.supervision,
        scheme.paper,
        scheme.serial,
    ):
        assert " ".join(fact.split()) in flat
    assert ", ".join(scheme.operators) in flat
    assert ", ".join(scheme.models) in flat
    for parameter in scheme.parameters:
        assert re.search(rf"(?m)^{parameter.name} ", text)
    for need in scheme.needs({p.name: p.default for p in scheme.parameters}):
        meaning = (EVALUATE | GENERATE | GROWING).get(need, "")
        assert meaning or need in ("scores", "step_scores") or need.startswith("agent:")
        assert " ".join(meaning.split()) in flat
        assert need.partition(":")[2] in flat
    for given in (scheme.raw, scheme.fill):
        for parameter in given:
            assert f"{parameter}=" in flat
    assert f"source {scheme.build.__module__}. " in flat
    assert ("serial no" in flat) == (not scheme.serial)


def test_needs_are_said_in_words_with_a_way_to_meet_them() -> None:
    needs = {"scores", "step_scores", "agent:second", "discriminate", "reflect", "value", "few_shot"}
    scheme = Scheme(
        "needy", "chains", "asks a lot", "chain", "thought", "none", (), ("policy",), "none", "none",
        build=lambda values, seed: cot(), needs=lambda values: frozenset(needs),
    )  # fmt: skip
    text = " ".join(explanation(scheme, "needy", 100).split())
    assert "scores of steps or solutions (--scorer MODEL, or --scorer judge" in text
    assert "scores of steps (a --scorer MODEL that scores them, or --scorer judge" in text
    assert "the model 'second' (--agent second=MODEL)" in text
    assert "--agent discriminator=MODEL" in text
    assert f"reflect: {EVALUATE['reflect']} (a chat model: --model, or --agent judge=MODEL)" in text
    assert (
        f"value: {EVALUATE['value']} (a chat model: --model, or --agent judge=MODEL, or a --scorer)" in text
    )
    assert f"few_shot: {GENERATE['few_shot']} (a chat model: --model)" in text
    assert "no parameters" in text
    assert "text" not in text.split("source")[1]


def test_a_file_is_explained_like_a_scheme(cli: Cli) -> None:
    done = cli("schemes", "mine.yaml")
    assert done.code == 0
    assert re.match(r"mine@[0-9a-f]{8}: a scheme of my own\n", done.out)
    assert re.search(r"(?m)^  source +mine\.yaml$", done.out)
    assert re.search(r"(?m)^n +4 +a whole number ≥ 1 +samples an expansion$", done.out)
    record = cli("schemes", "mine.yaml", "--json").record
    assert record["parameters"][0]["minimum"] == 1
    assert record["operators"][-1] == "evaluate"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["schemes", "mtcs"], "did you mean 'mcts'?"),
        (["schemes", "nowhere.yaml"], "cannot read the scheme 'nowhere.yaml' (No such file or directory)"),
        (["schemes", "bad.yaml"], "bad.yaml: selector.formula.c=-1 is not possible; give a number ≥ 0"),
        (["solve", "4 5 6 10", "--scheme", "bad.yaml"], "bad.yaml: selector.formula.c=-1 is not possible"),
        (["solve", "4 5 6 10", "--scheme", "mine.yaml", "--param", "n=0"], "n='0' is not possible"),
        (["solve", "4 5 6 10", "--scheme", "mine.yaml", "--param", "m=1"], "unknown parameter 'm' of mine@"),
    ],
)
def test_mistakes_are_one_line(cli: Cli, argv: list[str], message: str) -> None:
    Path("bad.yaml").write_text(FILE.replace("2.0", "-1"))
    done = cli(*argv, *(["--model", f"scripted:{cli.script}", "--db", cli.db] if argv[0] == "solve" else []))
    assert done.code == 2
    assert message in done.error


def test_the_parts_are_listed_with_their_fields(cli: Cli) -> None:
    listed = cli("schemes", "--parts").out
    record = cli("schemes", "--parts", "--json").record
    assert max(map(len, listed.splitlines())) <= 110
    assert sum(map(len, record.values())) == sum(map(len, PARTS.values()))
    for kind, parts in record.items():
        for name, part in parts.items():
            assert re.search(rf"(?m)^{kind} {name}: ", listed)
            assert "seed" not in part["fields"]
    assert record["formula"]["puct"]["fields"]["c"] == {
        "required": False,
        "default": 1.25,
        "allowed": "a number ≥ 0",
    }
    assert record["selector"]["descent"]["fields"]["formula"]["required"]
