"""Schemes by name: rows, parameters and their checks, schemes of other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scheme_cases import SMALL
from search_world import ROOT, World

from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.graph.schemes import Scheme, defaults, get_scheme, make_strategy, schemes
from thoughtgraph.graph.schemes.common import MOST_SAMPLES
from thoughtgraph.graph.schemes.parameters import Parameter, read_parameters
from thoughtgraph.graph.strategies.chains import cot

PLUGIN = """
from thoughtgraph.graph.schemes import Scheme, get_scheme
from thoughtgraph.graph.strategies.chains import cot

MINE = Scheme("mine", "chains", "one warm chain", "chain", "thought", "none", (), ("policy",), "none", "none",
              build=lambda values, seed: cot(temperature=0.5))
WRONG = "no scheme"
"""


def test_the_published_schemes_are_there_and_complete() -> None:
    found = schemes()
    assert {"cot", "self_consistency", "best_of_n", "beam", "mcts"} <= set(found)
    for name, scheme in found.items():
        strategy = make_strategy(name)
        assert strategy.name == name == scheme.name
        assert scheme.operators
        assert scheme.models
        assert scheme.summary
        assert scheme.paper.startswith("arXiv")


def test_defaults_are_allowed_values() -> None:
    for name, scheme in schemes().items():
        for parameter in scheme.parameters:
            assert parameter.read(parameter.default) == parameter.default
            assert parameter.doc
        assert make_strategy(name, defaults(name)) == make_strategy(name)


def test_values_may_come_from_a_command_line() -> None:
    typed = {"branching": 6, "c": 0.5, "count_refuted": True, "stop_score": None, "selector": "uct"}
    written = {"branching": "6", "c": ".5", "count_refuted": "yes", "stop_score": "none", "selector": "uct"}
    assert make_strategy("mcts", typed) == make_strategy("mcts", written)
    assert make_strategy("mcts", typed) != make_strategy("mcts")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"branching": 0}, "branching=0 is not possible; give a whole number ≥ 1"),
        ({"branching": 10**9}, "branching=1000000000 is not possible; give a whole number ≥ 1 and ≤ 16384"),
        ({"branching": "2.5"}, "whole number"),
        ({"branching": True}, "whole number"),
        ({"branching": None}, "whole number"),
        ({"branching": "none"}, "whole number"),
        ({"c": "nan"}, "c='nan' is not possible; give a number ≥ 0, or none"),
        ({"c": float("inf")}, "give a number"),
        ({"c": -1}, "give a number"),
        ({"gamma": 0, "backup": "weighted"}, "give a number > 0 and ≤ 1"),
        ({"stop_score": 1.5}, "≥ 0 and ≤ 1, or none"),
        ({"selector": "ucb"}, "give one of puct, uct"),
        ({"selector": 3}, "give one of puct, uct"),
        ({"count_refuted": "maybe"}, "give true or false"),
        ({"gamma": 0.9}, "backup=weighted"),
    ],
)
def test_values_that_are_not_allowed(params: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as raised:
        make_strategy("mcts", params)
    assert message in str(raised.value)
    assert "mcts" in str(raised.value) or "gamma" in params
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(schemes()))
def test_no_count_makes_a_request_ask_for_more_samples_than_the_most(name: str) -> None:
    """Whatever its other counts are: those without a bound, each above it in turn, make more requests, not larger ones."""
    for parameter in get_scheme(name).parameters:
        if parameter.type != "int" or parameter.maximum == MOST_SAMPLES:
            continue
        assert parameter.maximum is None
        try:
            strategy = make_strategy(name, {**SMALL.get(name, {}), parameter.name: MOST_SAMPLES + 1})
        except UserError:
            continue  # it does not go with the others
        world, state = World(goal=2.0), strategy.start(ROOT)
        for _ in range(12):
            requests, state = strategy.ask(state, 4)
            assert max((request.n for request in requests), default=1) <= MOST_SAMPLES, parameter.name
            state = strategy.tell(state, [world.do(request) for request in requests])


def test_bounds_leave_room_for_what_fills_a_budget() -> None:
    for name, scheme in schemes().items():
        values = read_parameters(name, scheme.parameters, scheme.fill)
        assert values == {**defaults(name), **scheme.fill}


def test_names_that_do_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mcts'"):
        make_strategy("mtcs")
    with pytest.raises(
        UnknownNameError, match="unknown parameter 'branchng' of mcts; did you mean 'branching'"
    ):
        make_strategy("mcts", {"branchng": 3})
    with pytest.raises(UserError, match="width=8 leaves no beam of 4"):
        make_strategy("beam", {"beams": 4, "width": 8})


def test_a_scheme_without_parameters_says_so() -> None:
    with pytest.raises(UserError, match="has no parameters; leave out 'n'"):
        read_parameters("bare", (), {"n": 1})


def test_large_whole_numbers_are_exact() -> None:
    count = Parameter("n", "int", 1, "how many")
    assert count.read("9007199254740993") == 9007199254740993
    assert count.read(2**70 + 1) == 2**70 + 1


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages with one that registers schemes."""
    (tmp_path / "warm_plugin.py").write_text(PLUGIN)
    info = tmp_path / "warm_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: warm-plugin\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "warm_plugin", raising=False)
    return info / "entry_points.txt"


def register(site: Path, *lines: str) -> None:
    site.write_text("[thoughtgraph.schemes]\n" + "\n".join(lines) + "\n")


def test_another_package_adds_a_scheme(site: Path) -> None:
    register(site, "mine = warm_plugin:MINE")
    assert isinstance(get_scheme("mine"), Scheme)
    assert list(schemes())[-1] == "mine"
    assert make_strategy("mine") == cot(temperature=0.5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mine = warm_plugin:NOTHING", "scheme 'mine' of package 'warm-plugin' cannot be loaded"),
        ("mine = no_such_module:X", "cannot be loaded"),
        ("mine = warm_plugin:WRONG", "is not a Scheme of that name"),
        ("other = warm_plugin:MINE", "is not a Scheme of that name"),
        ("beam = warm_plugin:MINE", "whose name is taken"),
    ],
)
def test_a_broken_package_is_named_and_leaves_ours_usable(site: Path, line: str, message: str) -> None:
    register(site, line)
    with pytest.raises(UserError, match=message):
        schemes()
    assert make_strategy("beam").name == "beam"


def test_schemes_load_nothing_heavy() -> None:
    code = "import sys, thoughtgraph.graph.schemes; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {
        "torch",
        "transformers",
        "langgraph",
        "langchain_core",
        "sqlalchemy",
        "numpy",
        "importlib.metadata",
    }
    assert not heavy & set(loaded.split())
