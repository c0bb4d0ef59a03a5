"""Parameters that several schemes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .parameters import Parameter

ENDLESS = 1_000_000
"""More than any budget pays for: of whatever makes a scheme go on, in its `fill`."""

MOST_SAMPLES = 16_384
"""Samples that one request may ask for at most: they are drawn, held and recorded together. Searches are tested with ten thousand. What makes a
search go on is not bounded by it: further requests are."""


def temperature(default: float | None) -> Parameter:
    """Return the sampling temperature, with its default."""
    doc = "sampling temperature; none: the generator's own"
    return Parameter("temperature", "float", default, doc, minimum=0.0, optional=True)


def stop_score(default: float | None) -> Parameter:
    """Return the score at which a search ends."""
    doc = "end the search at a solution whose outcome checks average this or more; none: never"
    return Parameter("stop_score", "float", default, doc, minimum=0.0, maximum=1.0, optional=True)


def select(default: str, *, joint: bool = False) -> Parameter:
    """Return the rule by which the answer is chosen; `joint` where all steps of a solution are thoughts that the policy wrote."""
    doc = "how the answer is chosen: the best-scored solution, the most frequent answer, or votes weighted by scores"
    choices = ("best", "majority", "weighted")
    if joint:
        doc += "; joint: the highest product of score and the policy's probability of the path"
        choices += ("joint",)
    return Parameter("select", "choice", default, doc, choices=choices)


def aggregation(default: str) -> Parameter:
    """Return the rule by which step scores become one."""
    doc = "how the step scores of a path become one where no outcome was checked"
    return Parameter("aggregation", "choice", default, doc, choices=("last", "min", "prod", "mean"))


def whole(name: str, default: int, doc: str, minimum: int = 1) -> Parameter:
    """Return a parameter that counts something."""
    return Parameter(name, "int", default, doc, minimum=minimum)


def samples(name: str, default: int, doc: str, minimum: int = 1) -> Parameter:
    """Return a parameter that counts the samples of one request."""
    return Parameter(name, "int", default, doc, minimum=minimum, maximum=MOST_SAMPLES)


def choice(name: str, default: str, choices: tuple[str, ...], doc: str) -> Parameter:
    """Return a parameter that is one of these words."""
    return Parameter(name, "choice", default, doc, choices=choices)


BLOCK = samples("block", 8, "samples a request: the unit of concurrency and of stopping")
MERGE_STATES = Parameter(
    "merge_states", "bool", False, "whether thoughts that reach equal states share a node and its statistics"
)
PROMPTING = Parameter(
    "prompting",
    "choice",
    "few_shot",
    "after worked examples, after \"let's think step by step\" in two calls, or in the generator's own way",
    choices=("few_shot", "zero_shot", "plain"),
)
"""How a chain is asked for."""


def prompted(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the need of a generator that can be asked like this."""
    return frozenset() if values["prompting"] == "plain" else frozenset({values["prompting"]})


def prompt_action(values: Mapping[str, Any]) -> str:
    """Return the action that asks like this."""
    return "" if values["prompting"] == "plain" else values["prompting"]
