"""LLaMA-Berry (arXiv 2410.02884): Monte-Carlo tree search over whole solutions, ranked against each other; see `strategies/self_refine_tree.py`.

Constants: c = 1.4 in UCT, 2 children, α = 0.9, γ = 0.1. The paper has one first solution; here each is a search of its own inside a thought
(`inner`, by default one chain): a tree of chains. The answer is the solution with the highest Q; one without any known comparison comes last.
"""

from __future__ import annotations

from ..errors import UserError
from ..records import Operator
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.formulas import Uct
from ..strategies.parts import Ask
from ..strategies.search import TreeSearch
from ..strategies.self_refine_tree import Ranking, SelfRefineTree
from ..strategies.solutions import HighestValue
from .base import Scheme, Values
from .common import ENDLESS, choice, stop_score, temperature, whole
from .inner import inner, needs_of, search_in
from .parameters import Parameter


def _build(values: Values, seed: int) -> TreeSearch[Ranking]:
    if values["inner"] == "llama_berry":
        raise UserError(
            "scheme 'llama_berry': inner=llama_berry never comes to a first solution; give another"
        )
    heat = values["temperature"]
    action = "feedback" if values["action"] == "feedback" else ""
    rewrite = Ask(Operator.REFINE, action, horizon="solution", distinct=False, temperature=heat)
    selector = SelfRefineTree(
        values["n"],
        values["starts"],
        search_in(values["inner"], None, 1.0 / values["starts"], heat),
        rewrite,
        Uct(values["c"]),
        values["max_child"],
        values["max_compared"],
        values["alpha"],
        values["gamma"],
        values["local"] == "printed",
    )
    stop = Stop(values["stop_score"])
    return TreeSearch("llama_berry", selector, Sampler(1, "solution"), HighestValue(), stop=stop)


def _needs(values: Values) -> frozenset[str]:
    own = {"compare", "feedback"} if values["action"] == "feedback" else {"compare"}
    return needs_of(values["inner"]) | own


_LLAMA_BERRY = Scheme(
    name="llama_berry",
    family="Monte-Carlo tree search",
    summary="Monte-Carlo tree search over whole solutions, ranked by pairwise preferences",
    structure="nested",
    step="solution",
    strategy="MCTS",
    operators=(
        Operator.GENERATE,
        Operator.REFINE,
        Operator.SELECT,
        Operator.EVALUATE,
        Operator.BACKPROPAGATE,
        Operator.PRUNE,
    ),
    models=("policy", "preference model"),
    supervision="preference pairs from step and outcome labels",
    paper="arXiv 2410.02884",
    build=_build,
    parameters=(
        whole("n", 16, "solutions, first ones included"),
        whole("starts", 1, "first solutions"),
        inner("inner", "cot", "scheme that brings a first solution forth"),
        choice(
            "action",
            "feedback",
            ("feedback", "plain"),
            "how a solution is rewritten: after saying what is wrong with it, or at once",
        ),
        Parameter("c", "float", 1.4, "exploration constant of UCT", minimum=0.0),
        whole("max_child", 2, "children from which on a solution with a better child is passed over"),
        whole("max_compared", 16, "solutions that a new one is compared with at most, the best first"),
        Parameter("alpha", "float", 0.9, "weight of the global rank in Q", minimum=0.0, maximum=1.0),
        Parameter("gamma", "float", 0.1, "learning rate of the backup", minimum=0.0, maximum=1.0),
        choice(
            "local",
            "wins",
            ("wins", "printed"),
            "local value: the share of children a solution beats, or (as the paper prints it) is beaten by",
        ),
        temperature(0.7),
        stop_score(1.0),
    ),
    needs=_needs,
    raw={"action": "plain"},
    fill={"n": ENDLESS},
)

SCHEMES = (_LLAMA_BERRY,)
