"""Schemes of the user's own as YAML files: presets, compositions of parts, mistakes, and the record that needs no file."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Operator
from thoughtgraph.graph.schemes import composition, get_scheme, make_strategy, pin
from thoughtgraph.graph.schemes.catalogue import PARTS, SEARCH, Part, Setting
from thoughtgraph.graph.schemes.composition import COLUMNS, compose
from thoughtgraph.graph.schemes.fields import item_of, kind_of, object_of, options, single_of
from thoughtgraph.graph.schemes.reader import Reader
from thoughtgraph.graph.schemes.yaml_data import load
from thoughtgraph.graph.strategies.formulas import Formula
from thoughtgraph.graph.strategies.judges import Judge
from thoughtgraph.graph.strategies.mcts import Descent
from thoughtgraph.graph.strategies.parts import Finalizer
from thoughtgraph.graph.strategies.plan import Script
from thoughtgraph.graph.strategies.rounds import Keeper
from thoughtgraph.graph.strategies.search import TreeSearch

from .search_world import World, digest, run

DRAWN = """
name: drawn
selector: {part: blocks, n: 12, block: 5}
expander: {part: sampler, n: 5, horizon: answer, distinct: false, temperature: 0.7}
finalizer: vote
"""
GUIDED = """
name: guided
summary: a tree search of my own
selector:
  part: descent
  formula: {part: uct, c: "${c}"}
  max_expansions: 4
expander: {part: sampler, n: "${n}", merge: true, temperature: 0.8, heating: 0.1}
backup: leaf
finalizer: {part: vote, weighted: true, aggregation: null}
stop: {score: 1.0}
merge_states: true
paper: "arXiv 2403.00000"
parameters:
  n: {type: int, default: 3, minimum: 1, doc: samples an expansion}
  c: {type: float, default: 1.4, minimum: 0}
"""


class Folder:
    """A folder of files with schemes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, text: str, name: str = "mine.yaml") -> str:
        file = self.path / name
        file.write_text(text)
        return str(file)


@pytest.fixture
def write(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def unnamed(strategy: Any) -> Any:
    return dataclasses.replace(strategy, name="")


def test_a_preset_is_its_base_with_other_defaults(write: Folder) -> None:
    file = write("name: narrow\nsummary: a narrow beam\nbase: beam\nparams: {beams: 8, width: 2}\n")
    scheme, beam = get_scheme(file), get_scheme("beam")
    assert re.fullmatch(r"narrow@[0-9a-f]{8}", scheme.name)
    assert scheme.summary == "a narrow beam"
    assert (scheme.paper, scheme.operators, scheme.models) == (beam.paper, beam.operators, beam.models)
    assert scheme.needs({p.name: p.default for p in scheme.parameters}) == {"step_scores"}
    assert unnamed(make_strategy(file)) == unnamed(make_strategy("beam", {"beams": 8, "width": 2}))
    assert unnamed(make_strategy(file, {"width": "4"})) == unnamed(
        make_strategy("beam", {"beams": 8, "width": 4})
    )
    assert make_strategy(file).name == scheme.name


def test_what_a_preset_sets_is_not_filled_in_for_it(write: Folder) -> None:
    base = get_scheme("self_consistency")
    assert (dict(base.raw), set(base.fill)) == ({"prompting": "plain"}, {"n"})
    plain = get_scheme(write("name: a\nbase: self_consistency\n"))
    assert (plain.raw, plain.fill) == (base.raw, base.fill)
    text = "name: b\nbase: self_consistency\nparams: {n: 5, prompting: few_shot}\nfill: {block: 2}\n"
    own = get_scheme(write(text))
    assert (own.raw, own.fill) == ({}, {"block": 2})


SAME = {
    "self_consistency": """
        selector: {part: blocks, n: 40}
        expander: {part: sampler, n: 8, horizon: answer, distinct: false, temperature: 0.7, action: few_shot}
        finalizer: vote
        """,
    "mcts": """
        selector: {part: descent, formula: puct}
        expander: {part: sampler, n: 4, merge: true, prior: count}
        backup: mean
        finalizer: {part: best, aggregation: none}
        stop: {score: 1}
        """,
    "beam": """
        selector:
          part: rounds
          keeper: {part: best, beams: 16, width: 4}
          judge: {part: path_scores, aggregation: last}
          max_steps: 40
        expander: {part: sampler, n: 4, merge: true}
        finalizer: {part: vote, weighted: true}
        """,
    "dvts": """
        selector:
          part: rounds
          keeper: {part: best_of_each, subtrees: 4, width: 4}
          judge: {part: path_scores, aggregation: last}
          max_steps: 40
          temperature: 0.8
        expander: {part: sampler, n: 4, merge: true}
        finalizer: {part: last_candidates, inner: {part: vote, weighted: true}}
        """,
    "mcts_x1": """
        selector:
          part: paths
          descent: {formula: {part: puct, base: 19652, shift: 0, total: visits-1, priors: false}, max_expansions: 1}
          iterations: 32
        expander: {part: sampler, n: 2, temperature: 0.7, merge: true}
        backup: {part: weighted, gamma: 0.96, alpha: none}
        finalizer: {part: best, aggregation: none}
        """,
    "sequential_revisions": """
        selector: {part: plan, lines: 8, script: {part: revisions, attempts: 8, seen: 4, temperature: 0.7}}
        expander: {part: sampler, n: 1}
        finalizer: {part: hierarchy, within: {part: vote, weighted: true}, across: {part: vote, weighted: true}}
        """,
}
"""Registered schemes, written out."""


@pytest.mark.parametrize("name", SAME)
def test_a_composition_of_the_same_parts_searches_the_same(name: str, write: Folder) -> None:
    file = write(f"name: same\n{inspect.cleandoc(SAME[name])}\n")
    for world in (
        World(seed=1),
        World(seed=3, goal=2.0, failing=0.3, refuting=0.3, dropping=0.2, breaking=0.1),
    ):
        ours, theirs = (run(make_strategy(scheme), world, limit=200) for scheme in (file, name))
        assert len(ours.told) > 3
        assert digest(ours.asked, ours.answer) == digest(theirs.asked, theirs.answer)


def test_parameters_are_put_in_their_places(write: Folder) -> None:
    file = write(GUIDED)
    strategy: Any = make_strategy(file, {"n": "6"})
    assert (strategy.expander.n, strategy.selector.formula.c) == (6, 1.4)
    assert make_strategy(file, {"c": 0}) != make_strategy(file)
    [n, c] = get_scheme(file).parameters
    assert (n.doc, n.minimum, c.minimum, c.type) == ("samples an expansion", 1, 0, "float")
    for params, message in (
        ({"n": 0}, "n=0 is not possible; give a whole number ≥ 1"),
        ({"m": 1}, "unknown parameter 'm' of guided@"),
    ):
        with pytest.raises(UserError, match=message):
            make_strategy(file, params)


def test_values_that_a_parameter_allows_and_a_part_does_not(write: Folder) -> None:
    text = DRAWN.replace("n: 12", 'n: "${n}"') + "parameters: {n: {type: int, default: 5}}"
    with pytest.raises(
        UserError, match=re.escape("mine.yaml: selector.n=-1 is not possible; give a whole number ≥ 1")
    ):
        make_strategy(write(text), {"n": -1})


def test_the_seed_reaches_the_parts_that_draw_lots(write: Folder) -> None:
    text = """
        name: swarm
        selector:
          {part: particles, n: 6, max_steps: 40, aggregation: last, resampling: systematic, sharpness: 1, temperature: 0.8}
        expander: {part: sampler, n: 1}
        finalizer: {part: survivors, rule: best, aggregation: last}
        """
    file = write(inspect.cleandoc(text))
    seven: Any = make_strategy(file, seed=7)
    assert seven.selector.seed == 7
    assert get_scheme(file).family == "sampling"
    with pytest.raises(UserError, match=r"unknown field 'seed' of selector in "):
        get_scheme(write(inspect.cleandoc(text).replace("n: 6", "n: 6, seed: 3")))


def test_the_row_follows_from_the_parts_unless_the_file_says_otherwise(write: Folder) -> None:
    scheme = get_scheme(write(GUIDED))
    assert (scheme.family, scheme.structure, scheme.strategy) == ("Monte-Carlo tree search", "tree", "MCTS")
    assert (scheme.summary, scheme.paper) == ("a tree search of my own", "arXiv 2403.00000")
    row = (
        "family: graphs\nstructure: graph\nstep: idea\nstrategy: mine\noperators: [generate, refine]\n"
        "models: [policy, controller]\nsupervision: labels\nserial: it waits\n"
    )
    own = get_scheme(write(GUIDED + row))
    assert (own.family, own.structure, own.step, own.strategy) == ("graphs", "graph", "idea", "mine")
    assert own.operators == (Operator.GENERATE, Operator.REFINE)
    assert (own.models, own.supervision, own.serial) == (("policy", "controller"), "labels", "it waits")
    assert set(COLUMNS) < set(get_type_hints(type(scheme)))


@pytest.mark.parametrize("text", [DRAWN, GUIDED])
def test_the_operators_of_the_row_are_those_logged(text: str, write: Folder) -> None:
    file = write(text)
    seen: set[Operator] = set()
    for world in (World(seed=2, goal=2.0), World(seed=3, goal=2.0, failing=0.3, refuting=0.3, breaking=0.1)):
        trace = run(make_strategy(file), world, limit=500)
        assert trace.asked[-1] == []
        seen |= {operation.operator for operation in trace.state.operations}
    assert seen == set(get_scheme(file).operators)


def test_needs_are_declared_and_read_off_the_parts(write: Folder) -> None:
    def needs(text: str) -> frozenset[str]:
        return get_scheme(write(text)).needs({})

    assert needs(DRAWN) == set()
    assert needs(DRAWN + "needs: [scores, critique, agent:second]") == {"scores", "critique", "agent:second"}
    assert needs(DRAWN.replace("n: 5,", "n: 5, action: few_shot,")) == {"few_shot"}
    refined = "name: r\nselector: {part: plan, script: {part: refinement, rounds: 2, temperature: 0.7}}\n"
    refined += "expander: {part: sampler, n: 1}\nfinalizer: newest\n"
    assert needs(refined) == {"critique"}
    judged = "name: j\nselector: {part: rounds, keeper: {part: breadth, breadth: 5, n: 5}, judge: {part: votes, n: 5}, max_steps: 3}\n"
    assert needs(judged + "expander: {part: sampler, n: 1}\nfinalizer: best\n") == {"vote"}


def test_a_preset_of_a_registered_scheme_is_not_changed_by_us(write: Folder) -> None:
    before = get_scheme("mcts")
    get_scheme(write("name: mcts\nbase: mcts\nparams: {branching: 9}\n"))
    assert get_scheme("mcts") is before


BAD = [
    ("", "this is no object; write NAME: VALUE lines"),
    ("- a", "this is no object"),
    ("name: x", "give a base, for a preset, or a selector, for a composition of parts"),
    ("name: x\nbase: beam\nselector: blocks", "give a base, for a preset, or a selector"),
    ("name: x\nscheme: beam", "scheme is no field of a file; name the scheme that it changes as base: beam"),
    ("name: x\nscheme: [beam]", "name the scheme that it changes as base: NAME"),
    ("base: beam", "name is missing; give a name of letters"),
    ("name: x y\nbase: beam", "name='x y' is not possible; give a name of letters"),
    ("name: x\nbase: baem", "unknown scheme 'baem'; did you mean 'beam'?"),
    ("name: x\nbase: ./other.yaml", "base='./other.yaml' is not possible; give the name of a scheme"),
    ("name: x\nbase: beam\nparam: {}", "unknown field 'param' in mine.yaml; did you mean 'params'?"),
    ("name: x\nbase: beam\nparams: {beam: 3}", "unknown parameter 'beam' of beam; did you mean 'beams'?"),
    ("name: x\nbase: beam\nparams: {beams: 0}", "beams=0 is not possible; give a whole number ≥ 1"),
    ("name: x\nbase: beam\nparams: {beams: 2, width: 4}", "width=4 leaves no beam of 2"),
    ("name: x\nbase: beam\nparams: [1]", "params=[1] is not possible; give an object"),
    ("name: x\nbase: beam\nfill: {beams: 1}", "width=4 leaves no beam of 1"),
    ("name: x\nbase: beam\nfill: {m: 1}", "unknown parameter 'm' in the fill"),
    ("name: x\nbase: beam\npaper: 2408.03314", "paper=2408.03314 is not possible; give text, in quotes"),
    ("name: x\nbase: beam\nfamily: trees", "family='trees' is not possible; give one of chains, beams"),
    ("name: x\nbase: beam\nmodels: [polcy]", "models='polcy' is not possible; give one of policy"),
    ("name: x\nbase: beam\noperators: prune", "operators='prune' is not possible; give a list, each one of generate"),
    ("name: x\nname: y\nbase: beam", "line 2 has 'name' twice"),
    ("name: x\nbase: &a beam\nsummary: *a", "line 3 has an alias"),
    ("name: x\n1: y\nbase: beam", "line 2 has 1, which is no text"),
    ("name: x\nbase: beam\npaper: 2020-01-01", "paper=datetime.date(2020, 1, 1) is neither text nor number"),
    ("name: x\nbase: mcts\nparams: {c: .nan}", "params.c=nan is not a finite number"),
    ("name: x\nbase: mcts\nparams: {c: 0x" + "f" * 5000 + "}", "params.c is too large"),
    ("name: x\nbase: mcts\nparams: {c: " + "9" * 5000 + "}", "this is no YAML"),
    ("name: x\nbase: !!python/object/apply:os.getcwd []", "line 2: this is no YAML"),
    ("a: [", "this is no YAML"),
    ("a: " + "[" * 9000, "nested too deeply"),
    ("name: x\nbase: beam\x00", "this is no YAML"),
    ("# " + "x" * 70_000, "this is more than 65,536 characters"),
    ("name: x\nselector: blocks", "selector.n is missing; give a whole number ≥ 1"),
    ("name: x\nselector: 3", "selector=3 is not possible; give a part and its fields"),
    ("name: x\nselector: {n: 3}", "selector={'n': 3} is not possible; give a part and its fields"),
    (DRAWN.replace("blocks", "block"), "unknown part 'block' of selector in mine.yaml; did you mean 'blocks'?"),
    (DRAWN.replace("finalizer: vote", ""), "finalizer is missing; give one of the parts best, hierarchy"),
    (DRAWN.replace("12", "0"), "selector.n=0 is not possible; give a whole number ≥ 1"),
    (DRAWN.replace("12", "1.5"), "selector.n=1.5 is not possible; give a whole number ≥ 1"),
    (DRAWN.replace("12", "true"), "selector.n=True is not possible; give a whole number ≥ 1"),
    (DRAWN.replace("12", "null"), "selector.n=None is not possible; give a whole number ≥ 1"),
    (DRAWN.replace("12", "[1]"), "selector.n=[1] is not possible; give a whole number ≥ 1"),
    (DRAWN.replace("horizon: answer", "horizon: end"), "give one of step, answer, solution"),
    (DRAWN.replace("horizon: answer", "horizon: step"), "selector draws from the question only"),
    (DRAWN.replace("horizon", "horizn"), "unknown field 'horizn' of expander in mine.yaml; did you mean 'horizon'?"),
    (DRAWN.replace("distinct: false", "distinct: perhaps"), "give true or false"),
    (DRAWN.replace("distinct: false", "action: few_shots"), "did you mean 'few_shot'?"),
    (DRAWN.replace("distinct: false", "action: 3"), "give text, in quotes"),
    (DRAWN.replace("temperature: 0.7", "heating: 1"), "expander has a heating, which raises a temperature"),
    (DRAWN.replace("n: 5,", "n: 16385,"), "expander.n=16385 is not possible; give a whole number ≥ 1 and ≤ 16384"),
    (DRAWN + "stop: 1.0", "stop=1.0 is not possible; give an object"),
    (DRAWN + "stop: {score: 2}", "stop.score=2 is not possible; give a number ≥ 0 and ≤ 1, or none"),
    (DRAWN + "rule: {part: first_known, order: [outcome, stop]}", "rule.order='stop' is not possible; give one of outcome"),
    (DRAWN + "rule: {part: first_known, order: outcome}", "give a list, each one of outcome, value, step"),
    (DRAWN + "backup: {part: weighted, gamma: 2}", "backup.gamma=2 is not possible; give a number > 0 and ≤ 1"),
    (DRAWN + "finalizers: vote", "unknown field 'finalizers' in mine.yaml; did you mean 'finalizer'?"),
    (DRAWN + "needs: [score]", "unknown need 'score' in mine.yaml; did you mean 'scores'?"),
    (DRAWN.replace("finalizer: vote", "finalizer: {part: newest, n: 1}"), "finalizer has no fields; leave out 'n'"),
    (DRAWN.replace("finalizer: vote", "finalizer: {part: kept, choice: vote}"), "finalizer goes with the selector plan only"),
    (DRAWN.replace("{part: blocks, n: 12, block: 5}", "{part: descent, formula: puct}"), "a backup makes: add one"),
    (DRAWN.replace("{part: blocks, n: 12, block: 5}", "{part: descent, formula: uctt}"), "unknown part 'uctt' of selector.formula"),
    (DRAWN + "parameters: {n: {type: int, default: 4}}", "parameters.n is used nowhere"),
    (DRAWN + "parameters: {n: 4}", "parameters.n=4 is not possible; give an object"),
    (DRAWN + "parameters: {'a b': {type: int, default: 4}}", "parameters.a b is no name for a parameter"),
    (DRAWN.replace("12", "${n}"), 'line 3: this is no YAML (put "${…}" in quotes here)'),
    (DRAWN.replace("12", '"${n}"'), "selector.n is ${n}, and the file has no parameters"),
    (DRAWN.replace("12", '"${n}"') + "parameters: {m: {type: int, default: 4}}", "unknown parameter 'n' of selector.n"),
    (DRAWN.replace("12", '"a${n}"') + "parameters: {n: {type: int, default: 4}}", "give a place as the whole value"),
    (DRAWN.replace("12", '"${n}"') + "parameters: {n: {type: int}}", "parameters.n.default is missing"),
    (DRAWN.replace("12", '"${n}"') + "parameters: {n: {type: whole, default: 4}}", "parameters.n.type='whole' is not"),
    (DRAWN.replace("12", '"${n}"') + "parameters: {n: {type: int, default: 0}}", "selector.n=0 is not possible"),
    (DRAWN.replace("12", '"${n}"') + "parameters: {n: {type: int, default: 0, minimum: 1}}", "n.default=0 is not"),
    (DRAWN.replace("12", '"${n}"') + "parameters: {n: {type: choice, default: a}}", "has choices if its type is choice"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message[:50] for _, message in BAD])
def test_a_mistake_is_one_line_with_file_field_and_remedy(
    text: str, message: str, write: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(text)
    monkeypatch.chdir(write.path)
    with pytest.raises(UserError) as raised:
        get_scheme("mine.yaml")
    said = str(raised.value)
    assert message in said
    assert "mine.yaml" in said
    assert "\n" not in said
    assert len(said) < 500


def test_files_that_cannot_be_read(write: Folder) -> None:
    for name in (str(write.path / "none.yaml"), str(write.path / "none.YML")):
        with pytest.raises(UserError, match=r"cannot read the scheme .*No such file"):
            get_scheme(name)
    (write.path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match="cannot read the scheme"):
        get_scheme(str(write.path / "folder.yaml"))
    (write.path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="this is no text"):
        get_scheme(str(write.path / "bytes.yaml"))


def test_the_name_says_what_is_in_it(write: Folder) -> None:
    file = write(GUIDED)
    name = get_scheme(file).name
    assert get_scheme(write("# another comment\n" + GUIDED)).name == name
    assert get_scheme(write(GUIDED.replace("heating: 0.1", "heating: 0.2"))).name != name
    assert get_scheme(name).name == name


def test_a_run_needs_the_file_once(write: Folder) -> None:
    """What a run records, the name and the text, gives the same search in another process, when the file is gone."""
    file = write(GUIDED)
    name, text = pin(file)
    assert pin(name) == pin(name, text) == (name, text)
    assert text == GUIDED
    trace = run(make_strategy(file, {"n": 2}, seed=1), World(seed=3, goal=2.0, failing=0.1), limit=60)
    Path(file).write_text(GUIDED.replace("heating: 0.1", "heating: 0.5"))
    assert pin(file)[0] != name
    program = (
        "import json, sys; from thoughtgraph.graph.schemes import make_strategy, pin\n"
        "from search_world import World, digest, run\n"
        "name, text = json.load(sys.stdin); assert pin(name, text) == (name, text)\n"
        "trace = run(make_strategy(name, {'n': 2}, seed=1), World(seed=3, goal=2.0, failing=0.1), limit=60)\n"
        "print(digest(trace.asked, trace.answer))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([name, text]),
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(trace.asked, trace.answer)


def test_pinning_leaves_registered_schemes_alone(write: Folder) -> None:
    assert pin("mcts") == ("mcts", "")
    assert pin("mcts", GUIDED) == ("mcts", GUIDED)  # a run inside a thought of one with a composition
    assert pin("nothing_like_it") == ("nothing_like_it", "")
    with pytest.raises(UserError, match="'lost@12345678' was not read here; give its YAML file"):
        get_scheme("lost@12345678")
    with pytest.raises(UserError, match="the recorded scheme 'gone@1': this is no object"):
        pin("gone@1", "- a")


def test_the_examples_of_the_documentation_are_compositions() -> None:
    lines = inspect.cleandoc(composition.__doc__ or "").splitlines()
    code = "\n".join(text[4:] for text in lines if text.startswith("    ") or not text)
    texts = re.split(r"(?m)^(?=name:)", code)[1:]
    assert len(texts) == 2
    preset, composed = (compose(text, "the documentation", get_scheme) for text in texts)
    assert [p.default for p in preset.parameters if p.name in ("beams", "width")] == [8, 2]
    assert isinstance(composed.build({"n": 5}, 0), TreeSearch)


ENTRIES = [(kind.__name__, name, entry) for kind, parts in PARTS.items() for name, entry in parts.items()]


def supported(wanted: Any) -> bool:
    """Return whether a file can say a value of a field's type."""
    found, _ = options(wanted)
    if single_of(wanted) is not None:
        return True
    if len(found) == 1 and (item := item_of(found[0])) is not None:
        return supported(item)
    return len(found) == 1 and (kind_of(found[0]) is not None or object_of(found[0]) is not None)


@pytest.mark.parametrize(
    "entry", [*(entry for _, _, entry in ENTRIES), SEARCH], ids=lambda entry: entry.make.__name__
)
def test_every_field_of_every_part_can_be_said(entry: Part) -> None:
    assert entry.summary
    names = {field.name for field in dataclasses.fields(entry.make)}
    assert set(entry.limits) | set(entry.constant) <= names
    for name, setting in entry.settings.items():
        assert name == "name" or supported(setting.type), name


def values_of(setting: Setting) -> st.SearchStrategy[Any]:
    """Return values that a file may give a field, for those that take a single one."""
    single = single_of(setting.type, setting.limit)
    assert single is not None
    low, high = single.minimum, single.maximum
    if single.above is not None:
        low = single.above + 0.125
    if single.type == "int":
        made: st.SearchStrategy[Any] = st.integers(
            None if low is None else int(low), 10**6 if high is None else int(high)
        )
    elif single.type == "float":
        made = st.floats(-1e6 if low is None else low, 1e6 if high is None else high)
    elif single.type == "bool":
        made = st.booleans()
    else:
        made = st.sampled_from(single.choices or ("value", "vote"))
    return made | st.none() if single.optional else made


INNER: dict[Any, Any] = {
    Descent: {"formula": "uct"},
    Finalizer: "vote",
    Formula: "puct",
    Judge: {"part": "values", "n": 1},
    Keeper: {"part": "breadth", "breadth": 2, "n": 3},
    Script: {"part": "stepwise", "stride": 2, "max_steps": 3, "temperature": None},
}
"""What stands for the parts of parts."""


@pytest.mark.parametrize("entry", [entry for _, _, entry in ENTRIES], ids=lambda entry: entry.make.__name__)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_what_is_written_is_what_is_built(entry: Part, data: st.DataObject) -> None:
    """Values within the bounds go through YAML into the fields as they are; fields left out keep their defaults."""
    fields = {name: setting for name, setting in entry.settings.items() if name != "seed"}
    chosen: dict[str, Any] = {}
    for name, setting in fields.items():
        required = setting.default is dataclasses.MISSING
        if single_of(setting.type, setting.limit) is None:
            if required:
                chosen[name] = INNER[setting.type]
        elif required or data.draw(st.booleans(), label=f"{name}?"):
            chosen[name] = data.draw(values_of(setting), label=name)
    made = Reader("a test").fields(entry, load(yaml.safe_dump(chosen), "a test") if chosen else {}, "")
    for name, setting in fields.items():
        if single_of(setting.type, setting.limit) is not None:
            assert getattr(made, name) == chosen.get(name, setting.default)


def test_a_part_may_be_written_as_its_name(write: Folder) -> None:
    spelled = GUIDED.replace("backup: leaf", "backup: {part: leaf}")
    assert unnamed(make_strategy(write(GUIDED))) == unnamed(make_strategy(write(spelled)))


def test_no_number_is_read_as_another(write: Folder) -> None:
    strategy: Any = make_strategy(write(DRAWN.replace("0.7", "1e-1")))  # text, in YAML 1.1
    assert strategy.expander.temperature == 0.1
    strategy = make_strategy(write(DRAWN.replace("12", "'12'")))
    assert strategy.selector.n == 12
