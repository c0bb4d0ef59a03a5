"""From settings to a team: which model plays which part, with the user's own agents in place of ours where given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..agents.critic import PromptedCritic, ValueCritic
from ..agents.evaluators import PromptedVerifier, YesNoVerifier, evaluators_for
from ..agents.generator import ContinuingGenerator, PromptedGenerator, StepGenerator
from ..agents.models.base import (
    LanguageModel,
    ScoringModel,
    continues_turns,
    draws_unique,
    reasons_first,
    score_kind,
    tells_alternatives,
)
from ..agents.models.registry import load_model, load_scorer
from ..agents.models.reuse import Reuse
from ..agents.protocols import Critic, Evaluator, Generator, ToolUser, Verifier
from ..agents.team import Team
from ..agents.tool_user import EquationChecker, ToolCaller
from ..agents.verifier import (
    OutcomeChecker,
    OutcomeScoreVerifier,
    RuleVerifier,
    StepScoreVerifier,
)
from ..graph.domain import Domain, shows_examples
from ..graph.errors import UserError
from ..tools.base import Tool
from ..tools.calculator import calculator_tool
from .needs import JUDGES, ROLES, check_scorer
from .settings import Settings
from .toolbox import Tools

Replay = Callable[[str], LanguageModel]
"""Gives the model of a `replay:RUN` spec."""


@dataclass(frozen=True, slots=True)
class Replacements:
    """Agents and models of the user's own in place of ours; None keeps ours."""

    model: LanguageModel | None = None
    scorer: ScoringModel | None = None
    generator: Generator | None = None
    tool_users: tuple[ToolUser, ...] | None = None
    toolbox: tuple[Tool, ...] | None = None
    """Beside those of the settings."""
    verifiers: tuple[Verifier, ...] | None = None
    critics: tuple[Critic, ...] | None = None
    others: Mapping[str, Generator] | None = None
    evaluators: Mapping[str, Evaluator] | None = None
    """Beside ours: ours answer the actions that are not among them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what was replaced, for the run's record."""
        return tuple(name for name in self.__dataclass_fields__ if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a search, loaded."""

    policy: LanguageModel | None
    """None where the user's own generator acts."""
    scorer: ScoringModel | None
    judge: LanguageModel | None
    """A chat model that can be asked for judgements: the `judge`, or the policy if it chats."""
    discriminator: LanguageModel | None
    arms: Mapping[str, LanguageModel]

    @property
    def every(self) -> tuple[LanguageModel | ScoringModel, ...]:
        """All of them, each once."""
        named = (self.policy, self.scorer, self.judge, self.discriminator, *self.arms.values())
        return tuple({id(model): model for model in named if model is not None}.values())

    def reusing(self, reuse: Reuse) -> Models:
        """Return the same models, which answer from memory what they answered before."""

        def one(model: LanguageModel | None) -> LanguageModel | None:
            return None if model is None else reuse.model(model)

        return Models(
            one(self.policy),
            None if self.scorer is None else reuse.scorer(self.scorer),
            one(self.judge),
            one(self.discriminator),
            {name: reuse.model(arm) for name, arm in self.arms.items()},
        )


def load_models(settings: Settings, domain: Domain, own: Replacements, replay: Replay) -> Models:
    """Load every model that the settings name.

    Raises:
        UserError, ModelUnavailableError: on a model that cannot be had, or that cannot do what it is named for.
    """
    check_scorer(settings.scorer)
    policy = own.model
    if policy is None and own.generator is None:
        _check_fit(settings, domain)
        policy = load_model(settings.model, replay=replay, **settings.model_options)
    if settings.stepping is not None and policy is not None and not policy.chat:
        raise UserError(
            f"stepping is how a chat model is asked, and {policy.name} continues raw text; leave --stepping out"
        )
    others = {name: load_model(spec, replay=replay) for name, spec in settings.agents.items()}
    judge = others.get("judge", policy if policy is not None and policy.chat else None)
    if judge is not None and not judge.chat:
        raise UserError(
            f"the judge {judge.name!r} only continues text; give a chat model: --agent judge=openai:NAME"
        )
    arms = {name: model for name, model in others.items() if name not in ROLES}
    return Models(policy, own.scorer or _scorer(settings), judge, others.get("discriminator"), arms)


def build_team(
    settings: Settings, domain: Domain, own: Replacements, models: Models, tools: Tools | None = None
) -> Team:
    """Build the agents.

    Raises:
        UserError: if settings ask for an agent that these models cannot be.
    """
    tools = tools or Tools(calculator_tool())
    verifiers: list[Verifier] = [RuleVerifier(domain)]
    if models.scorer is not None:
        outcome = score_kind(models.scorer) == "outcome"
        verifiers.append((OutcomeScoreVerifier if outcome else StepScoreVerifier)(models.scorer, domain))
    elif settings.scorer in JUDGES:
        verifiers.append(_judging(settings.scorer, models, domain))
    users: list[ToolUser] = []
    if settings.tools:  # last: of several verdicts on a solution the newest counts, and these are exact
        verifiers.append(OutcomeChecker(domain, tools.calculator))
        if tools.shown_tests is not None:
            verifiers.append(tools.shown_tests)
        users.append(EquationChecker(tools.calculator, domain))
    if tools.called:
        users.append(ToolCaller(tools.called))
    others = {name: _generator(settings, domain, model, tools, name) for name, model in models.arms.items()}
    evaluators = evaluators_for(models.judge, models.scorer, domain, models.discriminator)
    return Team(
        generator=own.generator or _generator(settings, domain, models.policy, tools),
        tool_users=tuple(users) if own.tool_users is None else own.tool_users,
        verifiers=tuple(verifiers) if own.verifiers is None else own.verifiers,
        critics=_critics(settings, domain, models) if own.critics is None else own.critics,
        others={**others, **(own.others or {})},
        evaluators={**evaluators, **(own.evaluators or {})},
    )


def _check_fit(settings: Settings, domain: Domain) -> None:
    """Refuse a shipped model on a task it was not made for: its answers would be noise."""
    name = settings.model.removeprefix("builtin:").partition("?")[0]
    if settings.model.startswith("builtin:") and domain.name != name:
        raise UserError(
            f"{settings.model} knows the task {name!r} only, not {domain.name!r}; give another model with --model"
        )


def _generator(
    settings: Settings, domain: Domain, model: LanguageModel | None, tools: Tools, agent: str = "generator"
) -> Generator:
    if model is None:
        raise UserError("a search needs a model or a generator")
    mine = tuple(tool for tool in tools.called if tool.granted_to(agent))
    if model.chat:
        kind = ContinuingGenerator if _continues(settings, model) else PromptedGenerator
        generator = kind(model, domain, tools=mine)
    else:
        if mine and not shows_examples(domain):
            raise UserError(
                f"{model.name} only writes steps of {domain.name!r} and calls no tools; give a model that chats, or leave the toolbox empty"
            )
        generator = StepGenerator(
            model,
            domain,
            min_p=settings.min_p or 0.0,
            unique=_unique(settings, model),
            shots=shows_examples(domain),
            tools=mine,
        )
    return generator if settings.temperature is None else replace(generator, temperature=settings.temperature)


def _continues(settings: Settings, model: LanguageModel) -> bool:
    """Return whether a chat model goes on with its own answer, or is asked for each step."""
    able = continues_turns(model) and not reasons_first(model)
    if settings.stepping == "continue" and not able:
        thinks = reasons_first(model)
        why = "thinks before it answers" if thinks else "is not known to go on with a turn of its own"
        what = "" if thinks else "; for a server that can, write openai:NAME?continue_final=true"
        raise UserError(f"{model.name} {why}; use --stepping ask{what}")
    return able if settings.stepping is None else settings.stepping == "continue"


def _unique(settings: Settings, model: LanguageModel) -> bool:
    if settings.unique and not draws_unique(model):
        raise UserError(
            f"{model.name} cannot draw without replacement; leave out unique, or use a model in this process"
        )
    return bool(settings.unique)


def _scorer(settings: Settings) -> ScoringModel | None:
    if settings.scorer == "auto":
        ours = settings.model.startswith("builtin:") and "generator" not in settings.custom
        return load_scorer(settings.model) if ours else None
    return None if settings.scorer in ("none", *JUDGES) else load_scorer(settings.scorer)


def _judging(scorer: str, models: Models, domain: Domain) -> Verifier:
    """Return the verifier that asks the judge: in a word, by votes, or by log-probability.

    One that does not say how likely its words were, or thinks before the first of them, is asked for votes instead, as its source says.
    """
    judge = models.judge
    if judge is None:
        raise UserError(
            f"the scorer {scorer!r} needs a chat model; give one: --agent judge=openai:NAME, or another --scorer"
        )
    if scorer == "judge":
        return PromptedVerifier(judge, domain)
    tells = tells_alternatives(judge) and not reasons_first(judge)
    return YesNoVerifier(judge, domain, by="logprob" if scorer == "judge:logprob" and tells else "votes")


def _critics(settings: Settings, domain: Domain, models: Models) -> tuple[Critic, ...]:
    if settings.critic == "none":
        return ()
    if settings.critic == "value":
        if models.scorer is None or score_kind(models.scorer) == "outcome":
            raise UserError("the value critic needs a scorer of steps or states; give one with --scorer")
        return (ValueCritic(models.scorer, domain),)
    if models.judge is None:
        raise UserError("the prompted critic needs a chat model; choose another critic or another model")
    return (PromptedCritic(models.judge, family=domain.instructions),)
