"""Cases of the strategy laws: beams and trees."""

from __future__ import annotations

SMALL: dict[str, dict[str, object]] = {
    "lookahead": {"beams": 4, "width": 2, "lookahead": 1},
    "dvts": {"beams": 6, "width": 2},
    "tot_bfs": {"n": 3, "breadth": 2},
    "tot_dfs": {"n": 3},
    "q_star": {"top_k": 3, "trajectories": 3},
}
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("beam", {"repeats": 3}),
    ("beam", {"repeats": 2, "merge_states": True, "max_steps": 2}),
    ("lookahead", {"lookahead": 0, "aggregation": "min"}),
    ("lookahead", {"lookahead": 3, "repeats": 2, "select": "best", "stop_score": 1.0}),
    ("lookahead", {"merge_states": True, "aggregation": "mean"}),
    ("dvts", {"repeats": 2, "aggregation": "prod"}),
    ("dvts", {"max_steps": 2, "select": "majority"}),
    ("dvts", {"merge_states": True}),
    ("tot_bfs", {"generate": "sample", "evaluate": "scores", "aggregation": "min"}),
    ("tot_bfs", {"evaluate": "vote", "method": "sample", "select": "weighted"}),
    ("tot_bfs", {"evaluate": "vote", "repeats": 2, "merge_states": True}),
    ("tot_bfs", {"method": "sample", "repeats": 2, "stop_score": 1.0}),
    ("tot_bfs", {"max_steps": 2, "merge_states": True}),
    ("tot_dfs", {"solutions": 4, "threshold": 0.4}),
    ("tot_dfs", {"solutions": 100, "evaluate": "vote", "threshold": 0.1, "merge_states": True}),
    ("tot_dfs", {"generate": "sample", "evaluate": "scores", "solutions": 100, "max_depth": 2}),
    ("tot_dfs", {"solutions": 100, "max_expansions": 7, "stop_score": 1.0}),
    ("q_star", {"aggregation": "sum", "lam": 0.5}),
    ("q_star", {"aggregation": "max", "trajectories": 100}),
    ("q_star", {"aggregation": "last", "stop_score": 1.0}),
    ("tot_dfs", {"repeats": 2, "solutions": 100, "threshold": 0.3}),
    ("q_star", {"repeats": 2}),
    ("q_star", {"repeats": 2, "trajectories": 100, "aggregation": "sum", "merge_states": True}),
    ("q_star", {"merge_states": True, "trajectories": 10}),
]
ORDERLESS: set[str] = set()
"""None: a stage may be told in any order, which `test_schemes_trees.py` tests, but stages and repeats follow each other."""
