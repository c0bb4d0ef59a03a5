"""Cases of the strategy laws: chains of attempts, workflows, graphs of operations, forests."""

from __future__ import annotations

SMALL: dict[str, dict[str, object]] = {
    "weighted_vote": {"n": 11, "block": 4},
    "stepwise_bon": {"n": 3},
    "self_refine": {"rounds": 2},
    "sequential_revisions": {"chains": 3, "revisions": 5},
    "agent_workflow": {"solvers": 5},
    "got": {"generate": 3, "aggregate": 2, "refine": 2},
    "forest": {"trees": 5},
}
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("cot", {"prompting": "zero_shot"}),
    ("best_of_n", {"by": "orm", "prompting": "plain"}),
    ("best_of_n", {"by": "prm", "stop_score": 1.0}),
    ("best_of_n", {"by": "prm", "select": "weighted", "aggregation": "mean"}),
    ("weighted_vote", {"aggregation": "min"}),
    ("stepwise_bon", {"chains": 4, "select": "majority", "max_steps": 2}),
    ("stepwise_bon", {"n": 1, "chains": 40, "stop_score": 0.0}),
    ("self_refine", {"chains": 4, "stop_score": 1.0}),
    ("self_refine", {"chains": 3, "select": "best"}),
    ("sequential_revisions", {"select": "majority", "seen": 1}),
    ("sequential_revisions", {"chains": 1, "select": "weighted", "stop_score": 1.0}),
    ("sequential_revisions", {"revisions": 1, "select": "best"}),
    ("agent_workflow", {"plan": False, "check": False, "select": "majority"}),
    ("agent_workflow", {"max_parts": 1, "n": 3, "workflows": 3}),
    ("got", {"rounds": 3, "keep": 3, "judge": "value", "stop_score": None}),
    ("got", {"parts": 2, "control": "model", "rounds": 2}),
    ("got", {"control": "model", "rounds": 4, "judge": "value", "keep": 1}),
    ("got", {"rounds": 0, "parts": 3}),
    ("forest", {"select": "weighted", "share": 0.5}),
    ("forest", {"trees": 1, "scheme": "beam", "stop_score": 1.0}),
]
ORDERLESS = {
    "weighted_vote",
    "stepwise_bon",
    "self_refine",
    "sequential_revisions",
    "agent_workflow",
    "got",
    "forest",
}
