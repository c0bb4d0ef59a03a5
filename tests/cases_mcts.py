"""Cases of the strategy laws: Monte-Carlo tree search over steps."""

from __future__ import annotations

SMALL: dict[str, dict[str, object]] = {
    "mcts_x1": {"branching": 3, "iterations": 20},
    "mcts_openr": {
        "branching": 3,
        "paths": 8,
        "prior": "count",
    },  # the machine's tests have no log-probabilities
    "rstar": {
        "rollouts": 6,
        "depth": 3,
        "thoughts": 2,
        "answers": 3,
        "subquestions": 2,
        "votes": 2,
    },
    "rstar_math": {"branching": 4, "iterations": 8},
    "rest_mcts": {"iterations": 15},
    "lats": {"branching": 3, "iterations": 8, "rollout": 2},
}
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("mcts_x1", {"simulations": 2, "terminal": "stop", "answer": "path", "stop_score": 1.0}),
    (
        "mcts_x1",
        {"simulations": 1, "rollout_temperature": 0.0, "alpha": 1.0, "lr": 0.5, "merge_states": True},
    ),
    ("mcts_x1", {"normalise": False, "max_expansions": 3, "iterations": 40, "widening": 2.0, "heating": 0.5}),
    ("mcts_openr", {"prior": "logprob", "select": "weighted", "aggregation": "min", "stop_score": 1.0}),
    ("mcts_openr", {"prior": "uniform", "select": "majority", "max_expansions": 2, "merge_states": True}),
    ("rstar", {"actions": "A1,A2", "discriminate": False, "stop_score": 1.0}),
    ("rstar", {"actions": "A3,A4,A5", "agree": 4, "max_expansions": 3, "depth": 5}),
    ("rstar", {"merge_states": True}),
    ("rstar_math", {"initialise": False, "depth": 2, "stop_score": 1.0}),
    ("rstar_math", {"select": "majority", "max_expansions": 2, "widening": 3.0, "merge_states": True}),
    ("rest_mcts", {"reflect": False, "end_gate": None, "max_expansions": 2}),
    ("rest_mcts", {"forward": 1, "alpha": 1.0, "merge_states": True}),
    ("lats", {"evaluate": "scores", "reflections": 0, "divide_twice": True}),
    ("lats", {"depth": 2, "rollout": 0, "replies": 2, "max_expansions": 2, "stop_score": None}),
    ("lats", {"merge_states": True}),
]
ORDERLESS: set[str] = set()
