import json
from typing import Any

import pytest
from hypothesis import given
from view_graphs import PROBLEM, graph_of, graphs, judged, small, thought

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.view import ReasoningGraph


@given(graphs())
def test_json_round_trip(graph: ReasoningGraph) -> None:
    text = json.dumps(graph.to_json(), allow_nan=False)
    back = ReasoningGraph.from_json(json.loads(text))
    assert back == graph
    assert list(back.thoughts) == list(graph.thoughts)
    assert json.dumps(back.to_json()) == text


def change(path: str, value: Any) -> dict[str, Any]:
    data = json.loads(json.dumps(small().to_json()))
    *parents, last = path.split("/")
    place: Any = data
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 2, "not a graph of format"),
        ("thoughts", None, "'thoughts' is missing"),
        ("thoughts/1/depth", "1", "depth = '1'"),
        ("thoughts/1/terminal", 1, "terminal = 1"),
        ("thoughts/1/operator", "explode", "operator = 'explode'"),
        ("thoughts/1/operator", [], "operator = "),
        ("thoughts/1/parents", "r", "parents = 'r'"),
        ("thoughts/1/parents", ["zz"], "before its parent 'zz'"),
        ("thoughts/1/parents", [], "second root"),
        ("thoughts/1/extra", 1, "in excess: extra"),
        ("thoughts/1/logprob", float("nan"), "log-probability nan"),
        ("thoughts/5/id", "a", "a thought twice: 'a'"),
        ("evaluations/a/0/value", 2.0, "not in"),
        ("evaluations/a/0/kind", "vibes", "kind = 'vibes'"),
        ("evaluations/a", 3, "not an array"),
        ("evaluations/zz", [], "no thought 'zz'"),
        ("visits/a", -1, "-1 visits"),
        ("visits/a", True, "not a whole number"),
        ("best", "zz", "no thought 'zz'"),
        ("answer", 24, "'answer' is missing or not a text"),
        ("problem", None, "not an object"),
    ],
)
def test_json_that_is_not_a_graph_is_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReasoningGraph.from_json(change(path, value))


def test_records_that_are_not_one_graph_are_refused() -> None:
    with pytest.raises(UserError, match="filed under 'x'"):
        ReasoningGraph(PROBLEM, {"x": thought("r", (), "q", 0)})
    with pytest.raises(UserError, match="filed under 'r'"):
        graph_of(thought("r", (), "q", 0), evaluations={"r": (judged("other", "step", 1.0),)})
