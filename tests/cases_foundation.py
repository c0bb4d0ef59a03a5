"""Cases of the strategy laws: chains, beam, mcts."""

from __future__ import annotations

SMALL: dict[str, dict[str, object]] = {
    "self_consistency": {"n": 11, "block": 3},
    "best_of_n": {"n": 11, "block": 4},
    "beam": {"beams": 6, "width": 2},
    "mcts": {"branching": 3},
}
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("best_of_n", {"select": "weighted", "aggregation": "prod", "stop_score": 1.0}),
    ("best_of_n", {"select": "majority"}),
    ("beam", {"aggregation": "mean", "select": "best", "stop_score": 1.0}),
    ("beam", {"aggregation": "min", "max_steps": 2}),
    ("mcts", {"selector": "uct", "backup": "weighted", "gamma": 0.96, "lr": 0.5}),
    ("mcts", {"prior": "logprob", "select": "weighted", "stop_score": None, "count_refuted": True}),
    ("mcts", {"prior": "uniform", "max_expansions": 1, "select": "majority"}),
    ("beam", {"merge_states": True}),
    ("mcts", {"merge_states": True}),
    ("mcts", {"merge_states": True, "backup": "weighted", "lr": 0.5}),
]
ORDERLESS = {"cot", "self_consistency", "best_of_n", "beam"}
