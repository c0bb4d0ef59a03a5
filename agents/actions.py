"""The actions that strategies ask of agents: what exactly is wanted where the operator leaves it open.

A request names its operator (what becomes of the graph) and, where there is more than one way, an action (what is said to the agent). Actions
are words of this list, chosen by schemes; no text of a model, tool or problem can name one.
"""

from __future__ import annotations

from ..graph.records import EvaluationKind

GENERATE: dict[str, str] = {
    "": "the next step, or all steps to the answer, in the task's own format",
    "few_shot": "all steps to the answer, after worked examples (arXiv 2201.11903)",
    "zero_shot": 'all steps to the answer after "let\'s think step by step", in two calls (arXiv 2205.11916)',
    "propose": "several different next steps, listed in one reply (arXiv 2305.10601)",
    "finish": "all remaining steps to the answer (rStar A2, arXiv 2408.06195)",
    "subquestion": "the next sub-question with its answer (rStar A3)",
    "reanswer": "another answer to the last sub-question (rStar A4)",
    "rephrase": "the question in other words, its conditions listed (rStar A5)",
    "plan": "the sub-problems the question falls into, one a line",
    "split": "the parts the question falls into, one thought each",
    "feedback": "an attempt with what is wrong in it in words, then the attempt rewritten",
}
"""Actions of generate, refine and aggregate requests."""

BY_RAW = frozenset({"", "finish", "refine", "aggregate"})
"""Actions and operators that a model knows that only continues text."""

NOT_STEPS = frozenset({"plan", "split", "rephrase"})
"""Actions whose thoughts prepare a solution and are no part of it: tools and judges of steps have nothing to say of them."""

EVALUATE: dict[str, str] = {
    "value": "how likely each subject leads to a right answer: sure, likely or impossible (arXiv 2305.10601)",
    "vote": "which of the subjects is the most promising; the value of each is its share of the votes (arXiv 2305.10601)",
    "compare": "whether the first subject is better than the second (arXiv 2410.02884)",
    "critique": "what is wrong with each subject, in words (arXiv 2303.17651)",
    "reflect": "what a failed attempt teaches all later ones, in words (arXiv 2303.11366)",
    "discriminate": "whether another model, given the beginning of a solution, comes to the same answer (arXiv 2408.06195)",
    "control": "which of the offered operations comes next (arXiv 2308.09687)",
}
"""Actions of evaluation requests."""

BY_SCORER = frozenset({"value", "vote", "compare", "critique"})
"""Actions of evaluation requests that a step scorer can answer where no model can be asked in words."""

KINDS: dict[str, EvaluationKind] = {
    "value": "value",
    "vote": "value",
    "compare": "preference",
    "critique": "critique",
    "reflect": "reflection",
    "discriminate": "agreement",
    "control": "choice",
}
"""What kind of evaluation answers each."""
