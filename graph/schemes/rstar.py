"""rStar: five human-like reasoning actions, and a second model that must agree (arXiv 2408.06195 and its code).

A1 one step, A2 all remaining steps, A3 the next sub-question with its answer, A4 another answer to it, A5 the question in other words;
`strategies/rstar.py` says what may follow what and what becomes of the samples, `strategies/consistency.py` how the answer is chosen.

The discriminator is the model of the role `discriminator`. With the shipped model it is the policy itself (its search.json names builtin:numbers):
self-discrimination, not the paper's second model. `--agent discriminator=MODEL` gives another.

Samples a request: A1 3, A2 32, A3 3 × 10, A4 10, A5 1, at T = 0.8; 32 roll-outs, depth 5 (the authors: 8 for MATH), UCT with w = 2. The discriminator gets
4 beginnings of a solution and must come to its answer from 2. `answers`, `votes` and `rollouts` are what a small budget lowers first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..strategies.base import Strategy
from ..strategies.consistency import MutualConsistency
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.formulas import Uct
from ..strategies.rstar import ACTIONS, LEGAL, QUESTION, ActionRollouts
from ..strategies.search import TreeSearch
from .base import Scheme
from .common import MERGE_STATES, MOST_SAMPLES, samples, stop_score, temperature, whole
from .iterated import AGAIN, OPERATORS, fill
from .parameters import Parameter


def _actions(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the actions chosen.

    Raises:
        UserError: on a name that is none, or if a search could not begin or end with these.
    """
    chosen = tuple(word.strip().upper() for word in values["actions"].split(","))
    unknown = [name for name in chosen if name not in ACTIONS]
    if unknown:
        raise UserError(f"rstar knows no action {unknown[0]!r}; give some of {','.join(ACTIONS)}")
    if not set(chosen) & set(LEGAL[QUESTION]) - {"A5"}:
        raise UserError(
            f"no solution can come of actions={values['actions']!r}; add A2, all remaining steps at once"
        )
    return chosen


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    if values["agree"] > values["prefixes"]:
        raise UserError(
            f"agree={values['agree']} of prefixes={values['prefixes']} cannot be; give agree ≤ prefixes"
        )
    actions, pairs = _actions(values), values["subquestions"] * values["votes"]
    if "A3" in actions and pairs > MOST_SAMPLES:
        raise UserError(
            f"subquestions={values['subquestions']} × votes={values['votes']} samples are too many for one request; "
            f"give {MOST_SAMPLES} at most"
        )
    counts = {
        "A1": values["thoughts"],
        "A2": values["answers"],
        "A3": pairs,
        "A4": values["votes"],
        "A5": 1,
    }
    selector = ActionRollouts(
        seed,
        actions,
        counts,
        keeps=values["subquestions"],
        rollouts=values["rollouts"],
        depth=values["depth"],
        formula=Uct(values["w"]),
        temperature=values["temperature"],
        prefixes=values["prefixes"] if values["discriminate"] else 0,
        max_rounds=values["max_expansions"],
    )
    return TreeSearch(
        "rstar",
        selector,
        Sampler(1),
        MutualConsistency(values["agree"]),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    needed = {ACTIONS[name] for name in _actions(values)} - {""}
    return frozenset(
        needed | ({"discriminate", "agent:discriminator"} if values["discriminate"] else set[str]())
    )


_RSTAR = Scheme(
    name="rstar",
    family="Monte-Carlo tree search",
    summary="roll-outs over five reasoning actions, rewarded by votes; a second model must agree (rStar)",
    structure="tree",
    step="thought, sub-question or whole solution",
    strategy="MCTS",
    operators=OPERATORS,
    models=("policy", "discriminator"),
    supervision="none",
    paper="arXiv 2408.06195",
    build=_build,
    needs=_needs,
    raw={"actions": "A1,A2"},
    fill=fill("rollouts"),
    parameters=(
        whole("rollouts", 32, "roll-outs"),
        Parameter("actions", "text", "A1,A2,A3,A4,A5", "the actions that may be asked"),
        whole("depth", 5, "depth at which thoughts are not expanded any more"),
        Parameter("w", "float", 2.0, "exploration constant", minimum=0.0),
        samples("thoughts", 3, "samples of A1, one step each"),
        samples("answers", 32, "samples of A2, all remaining steps each: they vote on one answer"),
        samples("subquestions", 3, "sub-questions that A3 keeps"),
        samples("votes", 10, "samples that vote on the answer to a sub-question (A3, A4)"),
        Parameter(
            "discriminate",
            "bool",
            True,
            "whether the model of the role discriminator must agree with the answer: a second one, or the policy itself (so builtin:numbers)",
        ),
        samples("prefixes", 4, "beginnings of a solution that the second model completes"),
        whole("agree", 2, "how many of them must come to the same answer"),
        AGAIN,
        temperature(0.8),
        stop_score(None),
        MERGE_STATES,
    ),
)

SCHEMES = (_RSTAR,)
