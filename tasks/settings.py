"""What a user can set about a search, as one record that goes into the run's row and comes back on resume."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from ..graph.errors import UserError
from ..graph.records import Budget

CriticName = Literal["none", "value", "prompted"]
Stepping = Literal["ask", "continue"]

DEFAULT_BUDGET = Budget(tokens=10_000)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a run. All are plain data: models are specs, agents of your own are named in `custom`."""

    task: str = "numbers"
    scheme: str = "mcts"
    """Name of a scheme, or path of a YAML file that composes one."""
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The scheme's own parameters."""
    composition: str = ""
    """Text of the composition that `scheme` names, where it is a user's own: with it, a resume needs no file. Filled in by `assemble`."""
    model: str = "builtin:numbers"
    model_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Such as `base_url`."""
    scorer: str = "auto"
    """Spec of the step scorer; `auto` is the shipped one for the shipped policy and none otherwise; `judge` has the judge model say how good
    each step is, `judge:votes` and `judge:logprob` whether it is right (see `YesNoVerifier`); `none` is none."""
    critic: CriticName = "none"
    """value: the scorer judges states; prompted: the model says in words what is wrong."""
    tools: bool = True
    """Whether agents check by the exact calculator, and by the tests that a question shows."""
    toolbox: tuple[Mapping[str, Any], ...] = ()
    """Tools that agents may call in their steps: entries as `tools.registry.read_toolbox` returns them."""
    data: str = ""
    """Where the task's own data are; "" is the usual places."""
    granted: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the tools whose effect may not happen twice are, by name: a resume with others is refused. Filled in by `assemble`."""
    split: str = ""
    """Which problems of the task they are; only runs on `train` serve as examples for others."""
    temperature: float | None = None
    """≥ 0; None is the generator's own."""
    min_p: float | None = None
    """In [0, 1], see `agents.models.base.Sampling`; None is what the shipped model recommends, and 0 for any other."""
    unique: bool | None = None
    """Whether a model in this process draws next steps without replacement, so that none is paid for twice; None is what the shipped model recommends,
    and False for any other."""
    stepping: Stepping | None = None
    """How a chat model comes to its next step. ask: in a turn of its own, with the steps so far in the question; continue: it goes on with its answer, in
    which the steps so far stand (see `agents.continuing_generator`). None is continue where the model says that it can, and else ask."""
    step_tokens: int | None = None
    """Upper bound on the tokens of one step (≥ 1): what a call reserves of the budget until it is answered. None is what the shipped model recommends,
    and the task's own for any other."""
    budget: Budget = DEFAULT_BUDGET
    mode: Literal["lockstep", "rolling"] = "lockstep"
    wave: int = 8
    seed: int = 0
    review: Literal["never", "answer"] = "never"
    agents: Mapping[str, str] = field(default_factory=dict[str, str])
    """Specs of further models by role: `judge` answers evaluation requests, `discriminator` is rStar's second model; any other name is an
    arm that schemes with arms choose from."""
    custom: tuple[str, ...] = ()
    """Names of agents or models that were given as objects: a resume must be given them again."""

    def __post_init__(self) -> None:
        # not every caller is typed, so what the types promise is checked all the same
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("task", "scheme", "composition", "model", "scorer", "data", "split"):
            _require(isinstance(given[name], str), name, given, "a name")
        _require(
            isinstance(given["params"], Mapping), "params", given, "a mapping of the scheme's parameters"
        )
        _require(_of_texts(given["agents"]), "agents", given, "a mapping of roles to models")
        _require(_of_texts(given["granted"]), "granted", given, "a mapping of tools to what they are")
        _require(given["critic"] in get_args(CriticName), "critic", given, "none, value or prompted")
        _require(given["stepping"] in (None, *get_args(Stepping)), "stepping", given, "ask, continue or None")
        _require(
            isinstance(given["tools"], bool),
            "tools",
            given,
            "True or False (what agents may call is the option toolbox)",
        )
        _require(
            _is_toolbox(given["toolbox"]),
            "toolbox",
            given,
            "a tuple of tools by their options",
        )
        _require(_in_range(given["temperature"], math.inf), "temperature", given, "a number of 0 or more")
        _require(_in_range(given["min_p"], 1.0), "min_p", given, "a number from 0 to 1")
        _require(given["unique"] in (None, True, False), "unique", given, "True, False or None")
        _require(
            given["step_tokens"] is None or (type(given["step_tokens"]) is int and given["step_tokens"] >= 1),
            "step_tokens",
            given,
            "a whole number of 1 or more",
        )
        _require(isinstance(given["budget"], Budget), "budget", given, "a Budget, or its limits by name")
        _require(given["mode"] in ("lockstep", "rolling"), "mode", given, "lockstep or rolling")
        _require(
            type(given["wave"]) is int and given["wave"] >= 1, "wave", given, "a whole number of 1 or more"
        )
        _require(type(given["seed"]) is int, "seed", given, "a whole number")

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {
            "params": dict(self.params),
            "model_options": dict(self.model_options),
            "agents": dict(self.agents),
            "budget": self.budget.as_dict(),
            "custom": list(self.custom),
            "granted": dict(self.granted),
            "toolbox": [dict(entry) for entry in self.toolbox],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings of a recorded run.

        Raises:
            UserError: if they hold a field that this program does not know.
        """
        unknown = set(values) - {f.name for f in dataclasses.fields(cls)}
        if unknown:
            raise UserError(
                f"the run was made with settings unknown here: {', '.join(sorted(unknown))}; upgrade thoughtgraph"
            )
        known: dict[str, Any] = dict(values)
        known["budget"] = Budget(**known["budget"])
        known["custom"] = tuple(known.get("custom", ()))
        known["toolbox"] = tuple(known.get("toolbox", ()))
        return cls(**known)


def _in_range(value: Any, high: float) -> bool:
    """Return whether an optional number is in [0, high] and finite."""
    if value is None:
        return True
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 <= value <= high


def _is_toolbox(value: Any) -> bool:
    """Return whether a value is a tuple of mappings."""
    return isinstance(value, tuple) and all(
        isinstance(one, Mapping) for one in cast("tuple[Any, ...]", value)
    )


def _of_texts(value: Any) -> bool:
    """Return whether a value is a mapping to texts."""
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for text in cast("Mapping[str, Any]", value).values()
    )


def _require(fits: bool, name: str, given: Mapping[str, Any], wanted: str) -> None:
    if not fits:
        raise UserError(f"the setting {name}={given[name]!r} is not {wanted}; see help(thoughtgraph.solve)")
