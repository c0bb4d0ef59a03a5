"""Evaluators: who answers what a strategy asks about thoughts.

evaluators_for(judge, None, domain, None)       # a chat model: value, vote, compare, critique, reflect, control
evaluators_for(None, scorer, domain, None)      # a step scorer: value, vote, compare, critique; an outcome model: vote, compare
evaluators_for(None, scorer, domain, other)     # and a second model: discriminate
"""

from __future__ import annotations

from ..graph.domain import Domain
from .evaluators_agreement import Discriminator
from .evaluators_prompted import (
    PromptedComparison,
    PromptedControl,
    PromptedCritique,
    PromptedReflection,
    PromptedValue,
    PromptedVote,
)
from .evaluators_scored import ScoredComparison, ScoredCritique, ScoredValue, ScoredVote
from .models.base import LanguageModel, ScoringModel, score_kind
from .protocols import Evaluator
from .verifier_prompted import PromptedVerifier, YesNoVerifier

__all__ = [
    "Discriminator",
    "PromptedComparison",
    "PromptedControl",
    "PromptedCritique",
    "PromptedReflection",
    "PromptedValue",
    "PromptedVerifier",
    "PromptedVote",
    "ScoredComparison",
    "ScoredCritique",
    "ScoredValue",
    "ScoredVote",
    "YesNoVerifier",
    "evaluators_for",
]


def evaluators_for(
    model: LanguageModel | None,
    scorer: ScoringModel | None,
    domain: Domain,
    discriminator: LanguageModel | None,
) -> dict[str, Evaluator]:
    """Return the evaluators that these models make possible, by action; see `actions.EVALUATE`.

    Args:
        model: who is asked in words; one that does not chat is passed over.
        scorer: stands in where there is no such model, for what scores can say: one of whole solutions votes and compares, and knows no values of
            states and no weakest step.
        domain: of the task.
        discriminator: who finishes solutions again, for `discriminate`; chat or raw text.
    """
    evaluators: dict[str, Evaluator] = {}
    if model is not None and model.chat:
        evaluators |= {
            "value": PromptedValue(model, domain),
            "vote": PromptedVote(model, domain),
            "compare": PromptedComparison(model, domain),
            "critique": PromptedCritique(model, domain),
            "reflect": PromptedReflection(model, domain),
            "control": PromptedControl(model, domain),
        }
    elif scorer is not None:
        evaluators |= {"vote": ScoredVote(scorer, domain), "compare": ScoredComparison(scorer, domain)}
        if score_kind(scorer) == "step":
            evaluators |= {"value": ScoredValue(scorer, domain), "critique": ScoredCritique(scorer, domain)}
    if discriminator is not None:
        evaluators["discriminate"] = Discriminator(discriminator, domain)
    return evaluators
