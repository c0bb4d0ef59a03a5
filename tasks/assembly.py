"""From settings to a machine's setup: the one place where tasks, models, tools, agents and strategies meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..agents.critic import PromptedCritic, ValueCritic
from ..agents.generator import PromptedGenerator, StepGenerator
from ..agents.models.advice import builtin_advice
from ..agents.models.base import LanguageModel, ScoringModel
from ..agents.models.codec import generation_from_json
from ..agents.models.registry import load_model, load_scorer
from ..agents.models.replay import ReplayModel
from ..agents.protocols import Critic, Generator, ToolUser, Verifier
from ..agents.team import Team
from ..agents.tool_user import EquationChecker
from ..agents.verifier import OutcomeChecker, RuleVerifier, StepScoreVerifier
from ..graph.domain import Domain
from ..graph.errors import UserError
from ..graph.host import Setup
from ..graph.ledger import RunSpec
from ..graph.schemes import defaults, make_strategy
from ..storage.read import list_units, unit_model_calls
from ..storage.store import SqlStore
from ..tools.calculator import CalculatorTool
from .registry import load_task
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Replacements:
    """Agents and models of the user's own in place of ours; None keeps ours."""

    model: LanguageModel | None = None
    scorer: ScoringModel | None = None
    generator: Generator | None = None
    tool_users: tuple[ToolUser, ...] | None = None
    verifiers: tuple[Verifier, ...] | None = None
    critics: tuple[Critic, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what was replaced, for the run's record."""
        given = {
            "model": self.model,
            "scorer": self.scorer,
            "generator": self.generator,
            "tool_users": self.tool_users,
            "verifiers": self.verifiers,
            "critics": self.critics,
        }
        return tuple(name for name, value in given.items() if value is not None)


def assemble(settings: Settings, store: SqlStore, own: Replacements | None = None, run: str = "") -> Setup:
    """Build the setup of a machine.

    Args:
        settings: what to build.
        store: where the search is recorded.
        own: agents and models of the user's own.
        run: id of the run whose units the machine will search; "" if it opens runs itself.

    Raises:
        UserError: on settings that fit nothing, or a recorded run whose own agents were not given again.
    """
    own = own or Replacements()
    missing = set(settings.custom) - set(own.names)
    if missing:
        raise UserError(
            f"this run used {', '.join(sorted(missing))} of your own; resume it from Python and give the same ones"
        )
    asked = settings
    if own.generator is None:
        settings = recommended(settings)
    settings = replace(settings, params=_tempered(asked, settings.params))
    settings = replace(settings, custom=own.names)
    domain = load_task(settings.task).domain
    # built once now, so that a bad name or parameter is an error here and not in the first search
    make_strategy(settings.scheme, settings.params, settings.seed)
    return Setup(
        domain=domain,
        team=build_team(settings, domain, own, lambda source: replay_model(store, source)),
        strategy=lambda: make_strategy(settings.scheme, settings.params, settings.seed),
        store=store,
        budget=settings.budget,
        spec=RunSpec(run, settings.task, settings.scheme, settings.as_json(), settings.seed),
        mode=settings.mode,
        wave=settings.wave,
        review=settings.review,
    )


def recommended(settings: Settings) -> Settings:
    """Fill in what a shipped model recommends for its search, where the user set nothing; it is recorded with the run."""
    advice = builtin_advice(settings.model)
    if advice is None:
        return settings
    params = {**advice.schemes.get(settings.scheme, {}), **settings.params}
    return replace(settings, params=params, min_p=advice.min_p if settings.min_p is None else settings.min_p)


def _tempered(asked: Settings, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let the user's temperature go before the scheme's own, unless the user gave the scheme one too."""
    has_own = "temperature" in defaults(asked.scheme)
    if asked.temperature is None or "temperature" in asked.params or not has_own:
        return params
    return {**params, "temperature": asked.temperature}


def build_team(
    settings: Settings, domain: Domain, own: Replacements, replay: Callable[[str], LanguageModel]
) -> Team:
    """Build the agents; `replay` gives the model of a `replay:RUN` spec."""
    calculator = CalculatorTool()
    model = own.model
    if model is None and own.generator is None:
        _check_fit(settings, domain)
        model = load_model(settings.model, replay=replay, **settings.model_options)
    scorer = own.scorer or _scorer(settings)
    verifiers: list[Verifier] = [RuleVerifier(domain)]
    if settings.tools:
        verifiers.append(OutcomeChecker(domain, calculator))
    if scorer is not None:
        verifiers.append(StepScoreVerifier(scorer, domain))
    users: tuple[ToolUser, ...] = (EquationChecker(calculator, domain),) if settings.tools else ()
    return Team(
        generator=own.generator or _generator(settings, domain, model),
        tool_users=users if own.tool_users is None else own.tool_users,
        verifiers=tuple(verifiers) if own.verifiers is None else own.verifiers,
        critics=_critics(settings, domain, model, scorer) if own.critics is None else own.critics,
    )


def replay_model(store: SqlStore, run: str) -> LanguageModel:
    """Return a model that answers as the models of a recorded run did, call by call.

    Raises:
        UserError: if there is no such run, or it recorded no calls.
    """
    spec = store.run(run)
    calls = [
        call
        for unit in list_units(store.database, spec.id)
        for call in unit_model_calls(store.database, spec.id, unit.problem.id)
        if call.error is None
    ]
    if not calls:
        raise UserError(f"run {spec.id} recorded no model calls; there is nothing to replay")
    names = list(dict.fromkeys(call.model for call in calls))
    recorded = {call.id: generation_from_json(call.response) for call in calls}
    return ReplayModel(names, recorded, chat=not isinstance(calls[0].prompt, str))


def _check_fit(settings: Settings, domain: Domain) -> None:
    """Refuse a shipped model on a task it was not made for: its answers would be noise."""
    name = settings.model.removeprefix("builtin:")
    if settings.model.startswith("builtin:") and domain.name != name:
        raise UserError(
            f"{settings.model} knows the task {name!r} only, not {domain.name!r}; give another model with --model"
        )


def _generator(settings: Settings, domain: Domain, model: LanguageModel | None) -> Generator:
    if model is None:
        raise UserError("a search needs a model or a generator")
    generator = (
        PromptedGenerator(model, domain)
        if model.chat
        else StepGenerator(model, domain, min_p=settings.min_p or 0.0)
    )
    return generator if settings.temperature is None else replace(generator, temperature=settings.temperature)


def _scorer(settings: Settings) -> ScoringModel | None:
    if settings.scorer == "auto":
        ours = settings.model.startswith("builtin:") and "generator" not in settings.custom
        return load_scorer(settings.model) if ours else None
    return None if settings.scorer == "none" else load_scorer(settings.scorer)


def _critics(
    settings: Settings, domain: Domain, model: LanguageModel | None, scorer: ScoringModel | None
) -> tuple[Critic, ...]:
    if settings.critic == "none":
        return ()
    if settings.critic == "value":
        if scorer is None:
            raise UserError("the value critic needs a scorer; give one with --scorer")
        return (ValueCritic(scorer, domain),)
    if model is None or not model.chat:
        raise UserError("the prompted critic needs a chat model; choose another critic or another model")
    return (PromptedCritic(model),)
