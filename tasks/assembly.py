"""From settings to a machine's setup: the one place where tasks, models, tools, agents and strategies meet."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from ..agents.models.advice import Advice, builtin_advice
from ..agents.models.base import LanguageModel
from ..agents.models.codec import generation_from_json
from ..agents.models.replay import ReplayModel
from ..agents.models.reuse import Reuse
from ..graph.errors import UserError
from ..graph.host import Setup
from ..graph.ledger import RunSpec
from ..graph.schemes import get_scheme, make_strategy, pin
from ..graph.schemes.compute_optimal import PolicyTable, kept_table
from ..graph.schemes.inner import SchemeName
from ..graph.schemes.parameters import Parameter, Value, read_parameters
from ..storage.read import list_units, unit_model_calls
from ..storage.store import SqlStore
from .crew import Models, Replacements, build_team, load_models
from .needs import JUDGES, ROLES, check_needs, check_prices, check_roles
from .registry import task_of
from .settings import Settings
from .toolbox import build_tools, pinned

__all__ = ["Replacements", "assemble", "recommended", "replay_model"]


def assemble(
    settings: Settings,
    store: SqlStore,
    own: Replacements | None = None,
    run: str = "",
    reuse: Reuse | None = None,
) -> Setup:
    """Build the setup of a machine.

    Args:
        settings: what to build.
        store: where the search is recorded.
        own: agents and models of the user's own.
        run: id of the run whose units the machine will search; "" if it opens runs itself.
        reuse: answers that models gave in other runs; None asks them each time.

    Raises:
        UserError: on settings that fit nothing, a scheme that needs what is not there, or a recorded run whose own agents were not given again.
    """
    own = own or Replacements()
    missing = set(settings.custom) - set(own.names)
    if missing:
        raise UserError(
            f"this run used {', '.join(sorted(missing))} of your own; resume it from Python and give the same ones"
        )
    domain = task_of(settings).domain
    name, text = pin(settings.scheme, settings.composition)  # a file becomes part of the run's record
    settings = replace(settings, scheme=name, composition=text)
    scheme = get_scheme(name)
    if own.generator is None:
        settings = recommended(settings)
    settings = replace(settings, custom=own.names)
    check_roles(scheme, settings.agents)
    if settings.step_tokens is not None:
        domain = copy(domain)
        domain.step_tokens = settings.step_tokens
    models = load_models(settings, domain, own, lambda source: replay_model(store, source))
    if settings.budget.usd is not None:
        check_prices(models.every)
    if reuse is not None:
        models = models.reusing(reuse)
    chosen = Choices(settings, models)
    settings = replace(settings, params=chosen.params(settings.scheme, settings.params))
    # built once now, so that a bad name or parameter is an error here and not in the first search
    make_strategy(settings.scheme, settings.params, settings.seed)
    tools = build_tools(settings, domain, store, run, own.toolbox or ())
    settings = replace(settings, granted=pinned(settings.granted, tools.called))
    team = build_team(settings, domain, own, models, tools)
    judged = settings.scorer in JUDGES or bool(own.verifiers or own.critics)
    check_needs(
        scheme,
        settings.params,
        team,
        domain,
        tools=settings.tools,
        tests=tools.shown_tests is not None,
        scorer=models.scorer,
        judged=judged,
    )
    return Setup(
        domain=domain,
        team=team,
        strategy=lambda seed: make_strategy(settings.scheme, settings.params, seed),
        store=store,
        budget=settings.budget,
        spec=RunSpec(run, settings.task, settings.scheme, settings.as_json(), settings.seed),
        mode=settings.mode,
        wave=settings.wave,
        review=settings.review,
        models=models.every,
        tools=tools.every,
        complete=chosen.params,
    )


def recommended(settings: Settings) -> Settings:
    """Fill in what a shipped model recommends for its search, where the user set nothing; it is recorded with the run."""
    advice = builtin_advice(settings.model)
    if advice is None:
        return settings
    params = _chosen(settings, advice, settings.scheme, settings.params)
    # only those of this scheme: a model nobody asks need not be loaded
    agents = {**advice.agents.get(settings.scheme, {}), **settings.agents}
    min_p = advice.min_p if settings.min_p is None else settings.min_p
    step_tokens = advice.step_tokens if settings.step_tokens is None else settings.step_tokens
    unique = advice.unique if settings.unique is None else settings.unique
    return replace(
        settings, params=params, min_p=min_p, step_tokens=step_tokens, unique=unique, agents=agents
    )


class Choices:
    """What is filled in where the user set nothing: for a run's scheme, and for schemes inside its thoughts.

    In this order: the user's parameters; the user's temperature; the shipped model's recommendations; what a scheme needs to run with a model that
    only continues text; what follows from the settings (the budget's tokens, the names of the arms). A policy table is filled in as its text.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings = settings
        self._advice = builtin_advice(settings.model) if models.policy is not None else None
        self._raw = models.policy is not None and not models.policy.chat

    def params(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a scheme, completed.

        Raises:
            UserError: if there is no such scheme, a parameter is not allowed, or something that it needs is not known here: for this scheme,
                and for those that its parameters name.
        """
        scheme = get_scheme(name)
        filled: dict[str, Any] = dict(scheme.raw) if self._raw else {}
        filled |= _chosen(self._settings, self._advice, name, given)
        values = read_parameters(scheme.name, scheme.parameters, filled)
        for parameter in scheme.parameters:
            value = values[parameter.name]
            if isinstance(parameter, SchemeName):
                self.params(str(value), {})
            derived = self._derived(parameter, value)
            if derived != value:
                filled[parameter.name] = derived
        return filled

    def _derived(self, parameter: Parameter, value: Value) -> Value:
        """Return a parameter's value, or what follows from the settings where it is not set."""
        settings = self._settings
        if isinstance(parameter, PolicyTable):
            return kept_table(str(value), self._advice.policy_table if self._advice else None)
        if parameter.name == "budget_tokens" and value == 0:
            return settings.budget.tokens or 0
        if parameter.name == "arms" and value is None:
            return ",".join(name for name in settings.agents if name not in ROLES) or None
        return value


def _chosen(
    settings: Settings, advice: Advice | None, scheme: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the shipped model recommends for a scheme, below the user's temperature, below the parameters given."""
    advised: Mapping[str, Any] = {} if advice is None else advice.schemes.get(scheme, {})
    return {**advised, **_tempered(settings, scheme), **given}


def _tempered(settings: Settings, scheme: str) -> dict[str, Any]:
    """Return the user's temperature as a parameter, which goes before the scheme's own, if it has one."""
    has_own = any(parameter.name == "temperature" for parameter in get_scheme(scheme).parameters)
    if settings.temperature is None or not has_own:
        return {}
    return {"temperature": settings.temperature}


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
    thought = any(sample.reasoning is not None for one in recorded.values() for sample in one.samples)
    return ReplayModel(
        names,
        recorded,
        chat=not isinstance(calls[0].prompt, str),
        unique=any(call.parameters.get("unique") for call in calls),
        continues=any(_role(call.prompt) == "assistant" for call in calls),
        reasons=thought and not any(call.parameters.get("stop") for call in calls),
    )


def _role(prompt: Any) -> str | None:
    """Return who has the last turn of a recorded prompt; None of a raw text."""
    return None if isinstance(prompt, str) else prompt[-1]["role"]
