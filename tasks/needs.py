"""What a scheme needs of a team, and what to do where it is missing: asked before the search, not found out in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..agents.actions import BY_SCORER, EVALUATE
from ..agents.models.base import LanguageModel, ScoringModel, knows_price, score_kind
from ..agents.models.registry import SCORER_PREFIXES
from ..agents.team import Team
from ..graph.domain import Domain
from ..graph.errors import UnknownNameError, UserError
from ..graph.schemes import Scheme
from ..graph.schemes.parameters import read_parameters

ROLES = ("judge", "discriminator")
"""Roles that agents play by name; every other name is an arm."""
JUDGES = ("judge", "judge:votes", "judge:logprob")
"""Scorers that are the judge asked in words: sure, likely or impossible; the share of yes among votes; how likely yes is as its first word."""
SCORERS = ("auto", "none", *JUDGES)
"""Scorers that are a word; all others are specs of scoring models."""


def check_scorer(scorer: str) -> None:
    """Refuse a scorer that is neither a word nor a spec; raises UserError with all there are."""
    prefix, _, name = scorer.partition(":")
    if scorer not in SCORERS and not (prefix in SCORER_PREFIXES and name):
        known = ", ".join((*SCORERS, *(f"{prefix}:NAME" for prefix in SCORER_PREFIXES)))
        raise UserError(f"unknown scorer {scorer!r}; choose one of: {known}")


def check_prices(models: Iterable[LanguageModel | ScoringModel]) -> None:
    """Refuse a budget in dollars for models of which nobody said what they cost: it would never bind.

    Raises:
        UserError: naming one, and how to say it.
    """
    for model in models:
        if not knows_price(model):
            raise UserError(
                f"--budget usd= cannot bind: {model.name} has no price; say &price=IN,OUT in its name, as in openai:NAME?price=3,15: "
                "dollars per million prompt and completion tokens, 0,0 if it is free"
            )


def check_roles(scheme: Scheme, agents: Mapping[str, str]) -> None:
    """Refuse a further model that nobody would ask: a name that is no role is an arm, which few schemes have.

    Raises:
        UnknownNameError: naming the role meant, if it looks like one.
    """
    if any(parameter.name == "arms" for parameter in scheme.parameters):
        return
    for name in agents:
        if name not in ROLES:
            raise UnknownNameError(f"role of a further model in the scheme {scheme.name!r}", name, ROLES)


def check_needs(
    scheme: Scheme,
    params: Mapping[str, object],
    team: Team,
    domain: Domain,
    *,
    tools: bool,
    tests: bool,
    scorer: ScoringModel | None,
    judged: bool,
) -> None:
    """Refuse a search whose scheme would ask for what nobody here can give.

    Args:
        scheme: the scheme.
        params: its parameters as given; the rest are its defaults.
        team: who acts.
        domain: the task.
        tools: whether agents may use the calculator.
        tests: whether finished programs are run against tests that the question shows.
        scorer: the scoring model.
        judged: whether somebody else scores steps: a judge, or agents of the user's own.

    Raises:
        UserError: naming what is missing and how to supply it.
    """
    values = read_parameters(scheme.name, scheme.parameters, params)
    steps_scored = judged or (tools and domain.checks)
    scored = steps_scored or tests or scorer is not None
    whole_only = "the tests that a question shows score" if tests and not steps_scored else ""
    if scorer is not None:
        whole_only = f"{scorer.name} scores" if score_kind(scorer) == "outcome" and not judged else ""
    for need in sorted(scheme.needs(values)):
        remedy = _remedy(scheme.name, need, team, scored=scored, whole_only=whole_only)
        if remedy is not None:
            raise UserError(f"the scheme {scheme.name!r} {remedy}")


def _remedy(scheme: str, need: str, team: Team, *, scored: bool, whole_only: str) -> str | None:
    """Return what is missing and what to do about it; None if the need is met.

    `scored`: whether somebody gives scores; `whole_only`: who is alone in that and scores finished solutions only, with the verb; "" if nobody.
    """
    role, _, name = need.partition(":")
    if need == "step_scores" and whole_only:
        return (
            f"needs scores of steps, and {whole_only} finished solutions only; "
            "give a step scorer with --scorer MODEL, --scorer judge, or a scheme that chooses among solutions, such as best_of_n"
        )
    if need in ("scores", "step_scores"):
        wanted = (
            "needs scores and nobody here gives any; add a step scorer with --scorer MODEL, or --scorer judge"
        )
        return None if scored else wanted
    if role == "agent":
        known = name in team.others or (name == "discriminator" and "discriminate" in team.evaluators)
        return None if known else f"needs the model {name!r}; give one with --agent {name}=MODEL"
    if need in EVALUATE:
        if need == "discriminate":
            remedy = "give a second model with --agent discriminator=MODEL"
        else:
            scorer = ", or a --scorer" if need in BY_SCORER else ""
            remedy = f"give a chat model with --model or --agent judge=MODEL{scorer}"
        return None if need in team.evaluators else f"asks for judgements of the kind {need!r}; {remedy}"
    actions: Any = getattr(team.generator, "actions", None)
    if actions is None or need in actions:
        return None
    return (
        f"asks for the action {need!r}, which {team.generator.name} cannot do; give a chat model with --model, "
        f"or other parameters (see: thoughtgraph schemes {scheme})"
    )
