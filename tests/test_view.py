# pyright: reportPrivateUsage=false
# Notebooks call _repr_html_ and _repr_mimebundle_, so these are tested as they are.

import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from view_graphs import (
    HOSTILE,
    PROBLEM,
    SOURCE,
    chain,
    graph_of,
    graphs,
    judged,
    small,
    thought,
    wide,
    with_texts,
)

from thoughtgraph.graph.display_text import cells
from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Problem
from thoughtgraph.graph.view import ReasoningGraph


def test_text_is_a_tree_best_first() -> None:
    assert (
        small().to_text()
        == """\
4 5 6 10 -> 24  9 visits
├── ✓ 4 * 5 = 20 (left: 6 10 20)  step 0.93 · ×3 · 1 visit · 14 tok
│   ├── ✓ 20 + 10 = 30 (left: 6 30)  value 0.75 (6/8) · answer 4 * 5 + 10 - 6
│   └── · 20 - 10 = 10 (left: 6 10)  step failed: out of memory
│       └── · both  also from #2
├── · #2 4 + 5 = 9 (left: 6 9 10)  step 0.41
└── ✗ 10 - 6 = 5 (left: 4 5 5)  refuted: 10 - 6 is 4, not 5 · 13 tok
answer: 4 * 5 + 10 - 6
7 thoughts, 1 refuted, 27 tokens"""
    )


def test_text_counts_what_it_leaves_out_and_keeps_the_path() -> None:
    assert (
        small().to_text(max_thoughts=1)
        == """\
4 5 6 10 -> 24  9 visits
├── ✓ 4 * 5 = 20 (left: 6 10 20)  step 0.93 · ×3 · 1 visit · 14 tok
│   ├── ✓ 20 + 10 = 30 (left: 6 30)  value 0.75 (6/8) · answer 4 * 5 + 10 - 6
│   └── … and 1 more (2 with all below)
└── … and 2 more
answer: 4 * 5 + 10 - 6
7 thoughts, 1 refuted, 27 tokens; 3 shown, 4 left out"""
    )


def test_mermaid_is_a_flowchart_with_all_parents() -> None:
    assert (
        small().to_mermaid()
        == """\
flowchart TD
  t0["4 5 6 10 -#62; 24<br/>9 visits"]
  t1["4 #42; 5 = 20 (left: 6 10 20)<br/>step 0.93 · ×3 · 1 visit · 14 tok"]
  t0 ==> t1
  t2["20 + 10 = 30 (left: 6 30)<br/>value 0.75 (6/8) · answer 4 #42; 5 + 10 - 6"]
  t1 ==> t2
  t3["20 - 10 = 10 (left: 6 10)<br/>step failed: out of memory"]
  t1 --> t3
  t4["both<br/>also from #35;2"]
  t3 --> t4
  t5["#35;2 4 + 5 = 9 (left: 6 9 10)<br/>step 0.41"]
  t0 --> t5
  t6["10 - 6 = 5 (left: 4 5 5)<br/>refuted: 10 - 6 is 4, not 5 · 13 tok"]
  t0 -.-> t6
  t5 --> t4
  classDef best stroke:#1a7f37,stroke-width:3px
  classDef refuted stroke:#999,color:#888,stroke-dasharray:4 3
  class t0,t1,t2 best
  class t6 refuted
"""
    )


def test_mermaid_states_what_it_leaves_out() -> None:
    source = small().to_mermaid(max_thoughts=4)
    assert 't3["… and 1 more (2 with all below)"]\n  t1 -.- t3\n' in source
    assert 't5["… and 1 more"]\n  t0 -.- t5\n' in source
    assert 'rest["4 of 7 thoughts shown"]' in source
    middle = chain(1000).to_mermaid(max_thoughts=6)
    assert "994 steps left out before it" in middle
    assert [f"step {i}<" in middle or f'step {i}"' in middle for i in (0, 2, 3, 997, 999)] == [
        *(True, True, False, True, True)
    ]


def test_mermaid_counts_parent_links_it_does_not_draw() -> None:
    source = graph_of(*small().thoughts.values(), best="m").to_mermaid(max_thoughts=4)
    assert "1 further parent links not drawn" in source
    dense = [thought(f"n{i}", tuple(f"n{j}" for j in reversed(range(i))), "t", i) for i in range(40)]
    drawn = graph_of(*dense).to_mermaid()
    assert drawn.count(" --> ") == 39 + 200
    assert "541 further parent links not drawn" in drawn


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('"] --> x[evil', "#34;#93; --#62; x#91;evil"),
        ("%%{init: {}}%%", "#37;#37;#123;init: #123;#125;#125;#37;#37;"),
        ("1. one", "1#46; one"),
        ("1.5 is 3/2", "1.5 is 3/2"),
        ("- dash", "#45; dash"),
        ("-3 - 4", "-3 - 4"),
        ("style x fill:#f00;", "style x fill#58;#35;f00#59;"),
        ("<b>`2*3_`", "#60;b#62;#96;2#42;3#95;#96;"),
        ("see https://e.org", "see https#58;//e.org"),
        ("one\ntwo", "one two"),
    ],
)
def test_mermaid_labels_are_only_text(text: str, label: str) -> None:
    assert f'  t1["{label}"]\n  t0 --> t1\n' in with_texts(text).to_mermaid()


def test_mermaid_stays_within_mermaids_limits() -> None:
    texts = ["{" * 100] * 100
    graph = with_texts(*texts)
    evaluations = {i: (judged(i, "rule", 0.0, text="{" * 200),) for i in graph.thoughts}
    source = graph_of(*graph.thoughts.values(), evaluations=evaluations).to_mermaid()
    assert len(source) < 50_000


def test_no_drawing_passes_control_characters_on() -> None:
    evaluations = {"n0": (judged("n0", "rule", 0.0, text=HOSTILE), judged("n0", "step", None, error=HOSTILE))}
    graph = graph_of(*with_texts(HOSTILE).thoughts.values(), evaluations=evaluations, answer=HOSTILE)
    graph = ReasoningGraph(Problem("p", "t", HOSTILE), graph.thoughts, graph.evaluations, HOSTILE, "n0")
    drawings = [graph.to_text(), graph.to_mermaid(), graph._repr_html_(), repr(graph), plain_rich(graph)]
    for drawing in drawings:
        assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800]", drawing) is None
        assert "ared bc" in drawing
    assert graph.to_text().count("\n") == 3


def plain_rich(graph: ReasoningGraph) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(graph)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rich_shows_markup_as_text() -> None:
    printed = plain_rich(with_texts("[red]x[/red] [link=https://e.org]y[/link] [/bad]", ":smile:"))
    assert "· [red]x[/red] [link=https://e.org]y[/link] [/bad]" in printed
    assert "· :smile:" in printed


def test_rich_draws_what_text_draws() -> None:
    printed = plain_rich(small()).rstrip("\n").split("\n")
    assert [line.rstrip() for line in printed[3:]] == small().to_text().split("\n")[1:-2]


class Tags(HTMLParser):
    """Collect the tags, and check that they close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_escapes_model_text() -> None:
    html = with_texts(
        "<script>alert(1)</script></svg> \" onload='x' &amp;", "<img src=x onerror=y>"
    )._repr_html_()
    tags = Tags(html)
    assert set(tags.seen) == {"div", "svg", "path", "g", "title", "circle", "text"}
    assert not [name for name in tags.attributes if name.startswith("on") or name in ("href", "src")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/svg&gt;" in html
    assert "&amp;amp;" in html


def test_html_is_self_contained() -> None:
    html = small()._repr_html_()
    Tags(html)
    assert re.findall(r"https?://[^\"]+", html) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in html
    assert SOURCE in html
    assert html.count("#a371f7") == 1  # the curve to the second parent


@pytest.mark.parametrize("text", ["&" * 500, "\U0001f600" * 500, "a" + "\U000e0100" * 500])
def test_html_is_bounded_whatever_the_thoughts_say(text: str) -> None:
    graph = with_texts(*[text] * 400)
    evaluations = {
        i: (judged(i, "rule", 0.0, text=text), judged(i, "step", None, error=text)) for i in graph.thoughts
    }
    html = graph_of(*graph.thoughts.values(), evaluations=evaluations, answer=text)._repr_html_()
    assert len(html.encode()) <= 200_000
    Tags(html)
    assert re.search(r"401 thoughts, 401 refuted; \d+ shown, \d+ left out", html)


def test_fifty_thousand_thoughts_are_drawn_small() -> None:
    steps = [thought(f"n{i}", (f"n{(i - 1) // 3}",) if i else (), f"step {i} <&>", 1) for i in range(50_000)]
    evaluations = {t.id: (judged(t.id, "step", i % 97 / 97),) for i, t in enumerate(steps)}
    graph = graph_of(*steps, evaluations=evaluations, answer="x", best="n49000")
    bundle = graph._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/vnd.mermaid", "text/plain"}
    assert len(bundle["text/html"].encode()) <= 200_000
    assert "50,000 thoughts; 60 shown, 49,940 left out" in bundle["text/plain"]
    assert "step 49000" in bundle["text/plain"]
    assert "60 of 50,000 thoughts shown" in bundle["text/vnd.mermaid"]
    counted = re.findall(r"… and ([\d,]+) more(?: \(([\d,]+) with all below\))?", bundle["text/plain"])
    assert sum(int((below or more).replace(",", "")) for more, below in counted) == 49_940


def test_a_chain_of_a_thousand_is_drawn() -> None:
    graph = chain(1001)
    assert len(graph.path()) == 1001
    lines = graph.to_text(max_thoughts=10, width=60).split("\n")
    assert len(lines) == 1003  # every thought of the path, the answer, the counts
    assert max(map(len, lines)) <= 60
    assert lines[1000] == "                        └── ✓ step 1000  depth 1000"
    assert "851 steps left out before it" in graph._repr_html_()
    assert plain_rich(graph).count("✓ step") == 1000
    assert graph.to_networkx().number_of_edges() == 1000
    assert ReasoningGraph.from_json(graph.to_json()) == graph


def test_side_branches_of_steps_left_out_are_counted_apart() -> None:
    thoughts = [*chain(20).thoughts.values(), thought("x", ("n10",), "x", 11), thought("y", ("n1",), "y", 2)]
    source = graph_of(*thoughts, best="n19").to_mermaid(max_thoughts=4)
    assert "16 steps left out before it" in source
    assert "… and 1 more (2 with all below)" in source


def test_many_siblings_are_collapsed_with_the_best_shown() -> None:
    text = wide(1000).to_text(max_thoughts=4)
    assert [line.split("  ")[0] for line in text.split("\n")] == [
        "q",
        "├── ✓ step 999",
        "├── · step 0",
        "├── · step 1",
        "└── … and 997 more",
        "answer: a",
        "1,001 thoughts; 4 shown, 997 left out",
    ]


@given(st.integers(40, 120), st.integers(1, 8))
def test_text_lines_fit_the_width(width: int, limit: int) -> None:
    for graph in (small(), with_texts("数" * 80, "x" * 400)):
        assert max(map(cells, graph.to_text(limit, width).split("\n"))) <= width


def test_networkx_has_every_thought_and_parent() -> None:
    result = small().to_networkx()
    assert isinstance(result, networkx.DiGraph)
    assert networkx.is_directed_acyclic_graph(result)
    assert dict(result.edges["c", "m"]) == {"operator": "aggregate", "position": 1}
    assert set(result.predecessors("m")) == {"e", "c"}
    node = result.nodes["a"]
    assert (node["text"], node["scores"], node["best"]) == (
        "4 * 5 = 20 (left: 6 10 20)",
        {"step": 0.93},
        True,
    )
    assert (node["count"], node["tokens"], node["visits"], node["refuted"]) == (3, 14, 1, None)
    assert result.nodes["b"]["refuted"] == "10 - 6 is 4, not 5"
    assert result.nodes["e"]["scores"] == {}
    assert result.nodes["m"]["logprob"] == -1.5
    assert result.graph["best"] == "d"


def test_path_follows_first_parents() -> None:
    graph = small()
    assert [t.id for t in graph.path()] == ["r", "a", "d"]
    assert [t.id for t in graph.path("m")] == ["r", "a", "e", "m"]
    assert with_texts("x").path() == ()
    with pytest.raises(UserError, match="no thought 'zz'"):
        graph.path("zz")


def test_a_newer_failure_does_not_hide_a_score() -> None:
    evaluations = {"r": (judged("r", "step", 0.5), judged("r", "step", None, error="lost"))}
    graph = graph_of(thought("r", (), "q", 0), evaluations=evaluations)
    assert graph.scores("r") == {"step": 0.5}


def test_a_search_not_begun_is_drawn_too() -> None:
    graph = ReasoningGraph(PROBLEM)
    assert graph.to_text() == "4 5 6 10 -> 24\nno answer\n0 thoughts"
    assert graph.to_mermaid() == 'flowchart TD\n  t0["4 5 6 10 -#62; 24"]\n'
    assert "4 5 6 10 -&gt; 24" in graph._repr_html_()
    assert "no answer" in plain_rich(graph)
    assert graph.root is None
    assert ReasoningGraph.from_json(graph.to_json()) == graph


def test_str_and_repr() -> None:
    assert str(small()) == small().to_text()
    assert repr(small()) == "<ReasoningGraph '4 5 6 10 -> 24': 7 thoughts, answer '4 * 5 + 10 - 6'>"


@given(graphs(), st.integers(1, 9))
def test_every_thought_is_shown_or_counted(graph: ReasoningGraph, limit: int) -> None:
    text = graph.to_text(limit)
    shown = len(re.findall(r"^(?:[│ ]{4})*[├└]── [✓✗·] ", text, re.MULTILINE)) + bool(graph.thoughts)
    hidden = [
        int(below or more)
        for more, below in re.findall(
            r"── … and (\d+) more(?: \((\d+) with all below\))?$", text, re.MULTILINE
        )
    ]
    assert shown + sum(hidden) == len(graph.thoughts)
    assert shown >= min(limit, len(graph.thoughts))
    Tags(graph._repr_html_())
    assert '\n  t0["' in graph.to_mermaid(limit)


def test_impossible_drawings_are_refused() -> None:
    with pytest.raises(UserError, match="max_thoughts=1"):
        small().to_mermaid(max_thoughts=0)
    with pytest.raises(UserError, match="width=40"):
        small().to_text(width=39)


def test_the_view_alone_loads_neither_rich_nor_networkx() -> None:
    program = "import sys, thoughtgraph.graph.view; print(sorted({'rich', 'networkx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
