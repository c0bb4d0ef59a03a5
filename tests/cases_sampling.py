"""Cases of the strategy laws: searches over solutions, sampling, meta."""

from __future__ import annotations

from pathlib import Path

_TABLE = (Path(__file__).parent / "data" / "policy_table.json").read_text()

SMALL: dict[str, dict[str, object]] = {
    "llama_berry": {"n": 7, "starts": 2, "max_compared": 3},
    "ab_mcts_a": {"n": 12},
    "ab_mcts_m": {"n": 8},
    "particle_filter": {"n": 6},
    "particle_gibbs": {"n": 5, "iterations": 3, "references": 2},
    "adaptive_consistency": {"n": 12, "block": 3},
    "compute_optimal": {"table": _TABLE, "block": 2},
}
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("llama_berry", {"starts": 1, "max_compared": 16, "local": "printed", "stop_score": None}),
    ("llama_berry", {"action": "plain", "max_child": 1, "gamma": 0.5}),
    ("ab_mcts_a", {"prior": "beta", "stop_score": None}),
    ("ab_mcts_a", {"draw": "score", "arms": "second,third", "temperature": 0.8}),
    ("ab_mcts_m", {"arms": "second", "prune_size": 2}),
    ("particle_filter", {"resampling": "systematic", "select": "weighted", "sharpness": 3.0}),
    ("particle_filter", {"select": "majority", "aggregation": "min", "max_steps": 2, "stop_score": 1.0}),
    ("particle_gibbs", {"resampling": "systematic", "references": 1, "aggregation": "prod"}),
    ("adaptive_consistency", {"criterion": "dirichlet", "confidence": 0.7, "stop_score": 1.0}),
    ("adaptive_consistency", {"criterion": "window", "block": 2}),
    ("compute_optimal", {"budget_tokens": 3000}),
    ("compute_optimal", {"probe": 1, "temperature": None}),
    ("compute_optimal", {"probe": 12, "block": 5}),
]
ORDERLESS = {"particle_filter", "particle_gibbs", "adaptive_consistency"}
