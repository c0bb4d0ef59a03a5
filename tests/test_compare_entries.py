"""What is compared: budgets, labels, files of parameters, and which parameter goes before which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.cli.compare import read_budgets
from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes import get_scheme
from thoughtgraph.tasks.comparison.budgets import Budgets
from thoughtgraph.tasks.comparison.entries import BASELINES, Entry, read_entries, read_file

BUDGETS = Budgets("tokens", (500, 1000))


def entries(*labels: str, file: Any = None, over: Any = None) -> dict[str, Entry]:
    return {entry.label: entry for entry in read_entries(labels, BUDGETS, file, over)}


@pytest.mark.parametrize(
    ("parts", "limit", "values", "others"),
    [
        (["tokens=500,1000,2000"], "tokens", (500, 1000, 2000), {}),
        (["tokens=2k,500", "seconds=9.5"], "tokens", (500, 2000), {"seconds": 9.5}),
        (["tokens=1000,seconds=5,10"], "seconds", (5, 10), {"tokens": 1000}),
        (["seconds=5,tokens=1000"], "tokens", (1000,), {"seconds": 5}),
        (["usd=0.5"], "usd", (0.5,), {}),
    ],
)
def test_budgets_are_read(parts: list[str], limit: str, values: Any, others: Any) -> None:
    budgets = read_budgets(parts)
    assert (budgets.limit, budgets.values, budgets.others) == (limit, values, others)
    assert budgets.budget(values[0]) == Budget(**{**others, limit: values[0]})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["500"], "write LIMIT=NUMBER"),
        (["200,400"], "cannot read the budget '200'; write LIMIT=NUMBER,NUMBER, such as tokens=200,400"),
        (["tokens=500,seconds"], "tokens=seconds is not a number"),
        (["tokens=500,"], "tokens= is not a number"),
        (["tokens=500,500"], "given twice"),
        (["tokens=500", "tokens=600"], "given twice"),
        (["tokens=1,2", "seconds=1,2"], "several values to one limit only"),
        (["tokns=500"], "did you mean 'tokens'?"),
        (["tokens=0,500"], "impossible budget tokens=0"),
        (["tokens=1.5,2"], "not a whole number"),
    ],
)
def test_budgets_that_cannot_be_read(parts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_budgets(parts)


def test_the_baselines_are_always_there() -> None:
    found = entries("beam", "cot")
    assert list(found) == [*BASELINES, "beam", "cot"]
    assert [entry.added for entry in found.values()] == [True, True, False, False]
    assert list(entries("self_consistency", "beam")) == ["weighted_vote", "self_consistency", "beam"]
    assert not entries("weighted_vote")["weighted_vote"].added
    assert found["weighted_vote"].scheme in ("weighted_vote", "best_of_n")


def test_what_goes_before_what() -> None:
    file = {"best_of_n": {"block": 1, "temperature": 0.9, "budgets": {500: {"temperature": 0.5}, "1000": {}}}}
    entry = entries("best_of_n", file=file, over={"best_of_n": {"block": "2"}})["best_of_n"]
    fill = dict(get_scheme("best_of_n").fill)
    assert entry.params_at("500") == {**fill, "block": "2", "temperature": 0.5}
    assert entry.params_at("1000") == {**fill, "block": "2", "temperature": 0.9}
    asked = {"best_of_n": {"n": 3}}  # the user's own goes before what fills the budget
    assert entries("best_of_n", file=asked)["best_of_n"].params_at("500")["n"] == 3


def test_a_scheme_under_two_labels() -> None:
    file = {
        "majority": {"scheme": "best_of_n", "params": {"select": "majority"}, "budgets": {500: {"block": 1}}}
    }
    found = entries("best_of_n", "majority", file=file)
    assert found["majority"].scheme == "best_of_n"
    assert found["majority"].params_at("500")["select"] == "majority"
    assert found["majority"].params_at("500")["block"] == 1
    assert "block" not in found["majority"].params_at("1000")
    assert "select" not in found["best_of_n"].params_at("500")


def test_entries_that_are_not_compared_are_checked_all_the_same() -> None:
    file: dict[str, Any] = {"cot": {}, "beam": {"width": 8, "budgets": {250: {"width": 2}}}}
    assert "beam" not in entries("cot", file=file)
    with pytest.raises(UserError, match="width='many' is not possible"):
        entries("cot", file={"beam": {"width": "many"}})


BAD: list[tuple[Any, Any, str]] = [
    ({"baem": {"width": 8}}, {}, "unknown scheme 'baem' in the file of parameters; did you mean 'beam'?"),
    (
        {"beam": {"widht": 8}},
        {},
        "unknown parameter 'widht' of 'beam' in the file of parameters; did you mean 'width'?",
    ),
    (
        {"beam": {"budget": {500: {}}}},
        {},
        "'budget' of 'beam' in the file of parameters; did you mean 'budgets'?",
    ),
    (
        {"beam": {"budgets": {500: {"widht": 8}}}},
        {},
        "unknown parameter 'widht' of beam; did you mean 'width'?",
    ),
    (
        {"wide": {"width": 8}},
        {},
        "'wide' in the file of parameters is no scheme; name the .*: wide: {scheme: NAME}",
    ),
    (
        {"mcts": {"branching": 8}, "mine": {"scheme": "beam"}},
        {},
        "nothing of the file of parameters is compared; name one of its labels in --schemes: mcts, mine",
    ),
    ({"beam": {"width": 0}}, {}, "parameters of 'beam': scheme 'beam': width=0 is not possible"),
    ({"beam": [8]}, {}, r"the parameters of 'beam' are \[8\]; write NAME: VALUE pairs"),
    ({"beam": {"budgets": {500: 8}}}, {}, "the parameters of 'beam' are 8"),
    ({"beam": {"budgets": {"small": {}}}}, {}, "name the budget 'small'; write a number"),
    ({"beam": {"budgets": {2000: {"width": 2}}}}, {}, "budget 2000, which is not compared; .*now: 500, 1000"),
    ({"beam": {"budgets": {500: {"width": -1}}}}, {}, "width=-1 is not possible"),
    ({"beam": {"scheme": "cot"}}, {}, "'beam' is itself a scheme"),
    ({"mine": {"scheme": "baem"}}, {}, "unknown scheme 'baem'"),
    (
        {"mine": {"scheme": "beam", "width": 8}},
        {},
        "unknown field 'width' of 'mine' in the file of parameters",
    ),
    ({"my own": {"scheme": "beam"}}, {}, "spaces, commas or equals signs"),
    ({}, {"baem": {"width": "1"}}, "unknown scheme or label 'baem' in --param; did you mean 'beam'?"),
    ({}, {"mcts": {"c": "1"}}, "unknown scheme or label 'mcts' in --param"),  # a scheme, but not compared
    ({}, {"beam": {"width": "x"}}, "parameters of 'beam': scheme 'beam': width='x' is not possible"),
]


@pytest.mark.parametrize(("file", "over", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_parameters_are_one_clear_line(file: Any, over: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        entries("beam", file=file, over=over)
    assert "\n" not in str(caught.value)


def test_bad_labels() -> None:
    with pytest.raises(UserError, match="unknown scheme or label 'baem'; did you mean 'beam'"):
        entries("baem")
    with pytest.raises(UserError, match="'beam' is compared twice"):
        entries("beam", "beam")


def test_files_are_yaml_or_json(tmp_path: Path) -> None:
    value = {"beam": {"width": 8, "budgets": {"500": {"width": 2}}}}
    (tmp_path / "a.json").write_text(json.dumps(value))
    (tmp_path / "a.yaml").write_text(
        "# chosen on validation data\nbeam:\n  width: 8\n  budgets: {500: {width: 2}}\n"
    )
    for name in ("a.json", "a.yaml"):
        beam = entries("beam", file=read_file(tmp_path / name))["beam"]
        assert (beam.params_at("500")["width"], beam.params_at("1000")["width"]) == (2, 8)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    for name in ("a.json", "a.yaml"):
        (tmp_path / name).write_bytes(b"beam: {width: \xff}")
        with pytest.raises(UserError, match="no file of parameters: this is no text in UTF-8; write"):
            read_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is no file of parameters: .*: line 1 column 2.*; write parameters by scheme"),
        ("a.json", "[" * 100_000, "is no file of parameters"),
        ("a.json", '{"beam": {"width": 1, "width": 2}}', "'width' is no name, or given twice"),
        ("a.yaml", "beam: {width: 1}\nbeam: {width: 2}\n", "'beam' is no name, or given twice"),
        ("a.yaml", "beam: [", "is no file of parameters"),
        (
            "a.yaml",
            "beam: {width: 8\n  c: [",
            "parameters: line 2, column 4: expected ',' or '}', but got ':'; write",
        ),
        ("a.yaml", "{[1]: 2}", "is no file of parameters"),
        ("a.yaml", "- beam\n", "is no file of parameters; write parameters by scheme"),
        ("a.yaml", "", "is no file of parameters; write parameters by scheme"),
        ("a.yaml", "beam: !!python/object/apply:os.getcwd []", "is no file of parameters"),
    ],
)
def test_files_that_are_not_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_file(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot read"):
        read_file(tmp_path / "nowhere.yaml")
